//! `rollcall`, the operator's CLI. Tables for people, `--json` for scripts, and exit codes: 0 done, 1 refused or not
//! found, 2 wrong arguments or configuration, 3 PostgreSQL or RabbitMQ is away (try again).

mod context;
mod dead;
mod keys;
mod link;
mod mail;
mod migrate;
mod output;
mod pull;
mod reports;
mod schemas;
mod settings;
mod tenants;
mod top;
mod users;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use context::{Context, Failure};
use shared::config::{self, Service};

/// The operator's CLI of Rollcall.
#[derive(Parser)]
#[command(name = "rollcall", version)]
struct Cli {
    /// Prints JSON instead of tables and sentences.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or not found, 2 wrong arguments or configuration, 3 PostgreSQL or RabbitMQ is away.";

#[derive(Subcommand)]
enum Command {
    /// Brings the database's schema up to this version; safe to run at any time, by several at once.
    Migrate(migrate::Arguments),
    /// Companies.
    #[command(subcommand)]
    Tenant(tenants::Command),
    /// Extension schemas that tenants register.
    #[command(subcommand)]
    Schema(schemas::Command),
    /// API keys of identity providers and other clients.
    #[command(subcommand)]
    Key(keys::Command),
    /// People.
    #[command(subcommand)]
    User(users::Command),
    /// Writes a report: who lives where, what was assigned to them, who is not linked.
    Report(reports::Arguments),
    /// Lists active accounts that no identity provider owns, why, and what to do.
    Unlinked(reports::Unlinked),
    /// Links such accounts to the identity provider, many at once.
    Link(link::Arguments),
    /// Shows who asked for what, when, and what came of it.
    Activity(reports::Activity),
    /// The pull from Okta's API of what SCIM does not carry.
    #[command(subcommand)]
    Pull(pull::Command),
    /// What people are written, and what it looks like.
    #[command(subcommand)]
    Mail(mail::Command),
    /// Messages that could not be dealt with.
    #[command(subcommand)]
    Dead(dead::Command),
    /// Shows queues and workers as they are, and goes on showing them.
    Top(top::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::command().after_help(format!(
        "{}\nWhere DATABASE_URL and AMQP_URL are not set, .run/servers.env is looked for in this folder and above, and beside \
         the program.\n\n{EXIT_CODES}",
        config::variables_help(Service::Cli)
    ));
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rollcall: {failure}");
            failure.exit_code()
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let context = Context::from_env(cli.json)?;
    match cli.command {
        Command::Migrate(arguments) => migrate::run(&context, &arguments).await,
        Command::Tenant(command) => tenants::run(&context, command).await,
        Command::Schema(command) => schemas::run(&context, command).await,
        Command::Key(command) => keys::run(&context, command).await,
        Command::User(command) => users::run(&context, command).await,
        Command::Report(arguments) => reports::report(&context, arguments).await,
        Command::Unlinked(arguments) => reports::unlinked(&context, arguments).await,
        Command::Link(arguments) => link::run(&context, arguments).await,
        Command::Activity(arguments) => reports::activity(&context, arguments).await,
        Command::Pull(command) => pull::run(&context, command).await,
        Command::Mail(command) => mail::run(&context, command).await,
        Command::Dead(command) => dead::run(&context, command).await,
        Command::Top(arguments) => top::run(&context, &arguments).await,
    }
}
