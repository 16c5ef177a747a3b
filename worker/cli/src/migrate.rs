//! `rollcall migrate`.

use clap::Args;
use database::migrations;
use serde_json::json;

use crate::context::{CliContext, Failure};
use crate::output;

/// The arguments of `rollcall migrate`.
#[derive(Args)]
pub struct Arguments {
    /// Only list pending migrations.
    #[arg(long, conflicts_with = "revert")]
    status: bool,
    /// Revert the last migration. Data that it added is lost.
    #[arg(long)]
    revert: bool,
}

/// Runs the command.
pub async fn run(context: &CliContext, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.status {
        let pending = migrations::pending(&context.operator.pool).await?;
        show(context, "pending", &pending, "the schema is up to date");
    } else if arguments.revert {
        let reverted: Vec<String> = migrations::revert(&context.operator.pool).await?.into_iter().collect();
        show(context, "reverted", &reverted, "there is no migration to revert");
    } else {
        let migrated = migrations::run(&context.operator.pool).await?;
        show(context, "applied", &migrated.applied, "the schema is up to date");
        if !migrated.missing_roles.is_empty() {
            eprintln!(
                "The roles {} do not exist, and this database user may not create roles. If the services are to have users \
                 of their own, let an administrator create them (see the handbook, Operate Rollcall), then run this again.",
                migrated.missing_roles.join(", ")
            );
        }
    }
    Ok(())
}

fn show(context: &CliContext, what: &str, names: &[String], nothing: &str) {
    if context.json {
        output::json(&json!({ what: names }));
    } else if names.is_empty() {
        say!("{nothing}");
    } else {
        names.iter().for_each(|name| say!("{what} {name}"));
    }
}
