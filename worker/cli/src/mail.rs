//! `rollcall mail`.

mod ledger;
mod preview;

use clap::Subcommand;
use uuid::Uuid;

use crate::context::{self, CliContext, Failure};

/// The commands of `rollcall mail`.
#[derive(Subcommand)]
pub enum Command {
    /// List mail with its delivery state, latest first.
    List(ledger::Which),
    /// Show a mail: its content, its attempts, and why it was not sent.
    Show {
        /// The id (see `rollcall mail list`).
        #[arg(value_parser = context::id)]
        id: Uuid,
    },
    /// Send a pending mail now, or resend a sent or failed one with the same Message-ID.
    Resend {
        /// The id (see `rollcall mail list`).
        #[arg(value_parser = context::id)]
        id: Uuid,
    },
    /// Write a sample mail with the tenant's settings to a file for the browser.
    Preview(preview::Arguments),
}

/// Runs the command.
pub async fn run(context: &CliContext, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(which) => ledger::list(context, which).await,
        Command::Show { id } => ledger::show(context, id).await,
        Command::Resend { id } => ledger::resend(context, id).await,
        Command::Preview(arguments) => preview::run(context, &arguments).await,
    }
}
