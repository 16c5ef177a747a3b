//! `rollcall migrate`.

use clap::Args;
use serde_json::json;
use shared::postgres::migrations;

use crate::context::{Context, Failure};
use crate::output;

/// The arguments of `rollcall migrate`.
#[derive(Args)]
pub struct Arguments {
    /// Only shows what is still to be applied.
    #[arg(long, conflicts_with = "revert")]
    status: bool,
    /// Takes the last migration back, with the data that it brought.
    #[arg(long)]
    revert: bool,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.status {
        let pending = migrations::pending(&context.pool).await?;
        show(context, "pending", &pending, "the schema is up to date");
    } else if arguments.revert {
        let reverted: Vec<String> = migrations::revert(&context.pool).await?.into_iter().collect();
        show(context, "reverted", &reverted, "there was nothing to take back");
    } else {
        let applied = migrations::run(&context.pool).await?;
        show(context, "applied", &applied, "the schema is up to date");
    }
    Ok(())
}

fn show(context: &Context, what: &str, names: &[String], nothing: &str) {
    if context.json {
        output::json(&json!({ what: names }));
    } else if names.is_empty() {
        println!("{nothing}");
    } else {
        names.iter().for_each(|name| println!("{what} {name}"));
    }
}
