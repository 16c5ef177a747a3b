//! `rollcall`, the operators' CLI. It prints tables for people and, with `--json`, JSON for scripts. Exit codes: 0
//! success, 1 rejected or not found, 2 invalid arguments or configuration, 3 PostgreSQL or RabbitMQ unavailable (try
//! again).

#[macro_use]
mod output;

mod audit;
mod context;
mod dead;
mod keys;
mod link;
mod mail;
mod migrate;
mod pull;
mod reports;
mod schemas;
mod tenants;
mod top;
mod users;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use context::{CliContext, Failure};
use operations::audit::Action;
use platform::config::{self, Service};

/// The operators' CLI of Rollcall.
#[derive(Parser)]
#[command(name = "rollcall", version)]
struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 success, 1 rejected or not found, 2 invalid arguments or configuration, 3 PostgreSQL or RabbitMQ unavailable (try again).";

#[derive(Subcommand)]
enum Command {
    /// Migrate the database schema to this version. Safe to run at any time, also concurrently.
    Migrate(migrate::Arguments),
    /// Manage tenants and their settings.
    #[command(subcommand)]
    Tenant(tenants::Command),
    /// Manage the extension schemas of tenants.
    #[command(subcommand)]
    Schema(schemas::Command),
    /// Manage API keys of identity providers and other clients.
    #[command(subcommand)]
    Key(keys::Command),
    /// Manage users.
    #[command(subcommand)]
    User(users::Command),
    /// Write a report: learners, assignments, locations, business units or unlinked accounts.
    Report(reports::Arguments),
    /// List active accounts that are not linked to an identity provider, with the reason.
    Unlinked(reports::Unlinked),
    /// Link accounts to the identity provider in bulk, from a CSV file.
    Link(link::Arguments),
    /// Show the activity log: requested changes and their outcomes.
    Activity(reports::Activity),
    /// Configure and run the pull, which reads attributes from Okta's API that SCIM does not carry.
    #[command(subcommand)]
    Pull(pull::Command),
    /// List, show, resend and preview mail.
    #[command(subcommand)]
    Mail(mail::Command),
    /// Inspect, redrive and drop dead letters.
    #[command(subcommand)]
    Dead(dead::Command),
    /// Show queues and workers live.
    Top(top::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::command().after_help(format!(
        "{}\nIf DATABASE_URL and AMQP_URL are not set, rollcall looks for .run/servers.env in this directory and its parents, \
         and beside the program. The file and its folder must belong to you or to root, and nobody else may be able to \
         write them.\n\n{EXIT_CODES}",
        config::variables_help(Service::Cli)
    ));
    let matches = command.get_matches();
    let action = audit::action(&matches);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match recorded(cli, action).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&format!("rollcall: {failure}"));
            failure.exit_code()
        }
    }
}

/// Runs a command, with an entry in the audit trail before and after it if it writes.
async fn recorded(cli: Cli, action: Option<Action>) -> Result<(), Failure> {
    let is_migration = matches!(cli.command, Command::Migrate(_));
    let context = CliContext::from_env(cli.json, is_migration)?;
    let Some(action) = action else { return run(&context, cli.command).await };
    // The table may not exist before a migration, or after its reversal.
    let begun = if is_migration { action.begun() } else { action.begin(&context.operator).await? };
    let result = run(&context, cli.command).await;
    let failure = result.as_ref().err().map(Failure::kind);
    let ended = begun.end(&context.operator, failure).await;
    if let (Err(error), false) = (ended, is_migration) {
        output::complain(&format!("rollcall: the result was not recorded in the audit trail: {error}"));
    }
    result
}

async fn run(context: &CliContext, command: Command) -> Result<(), Failure> {
    match command {
        Command::Migrate(arguments) => migrate::run(context, &arguments).await,
        Command::Tenant(command) => tenants::run(context, command).await,
        Command::Schema(command) => schemas::run(context, command).await,
        Command::Key(command) => keys::run(context, command).await,
        Command::User(command) => users::run(context, command).await,
        Command::Report(arguments) => reports::report(context, arguments).await,
        Command::Unlinked(arguments) => reports::unlinked(context, arguments).await,
        Command::Link(arguments) => link::run(context, arguments).await,
        Command::Activity(arguments) => reports::activity(context, arguments).await,
        Command::Pull(command) => pull::run(context, command).await,
        Command::Mail(command) => mail::run(context, command).await,
        Command::Dead(command) => dead::run(context, command).await,
        Command::Top(arguments) => top::run(context, &arguments).await,
    }
}
