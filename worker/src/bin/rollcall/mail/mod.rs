//! `rollcall mail`.

mod ledger;
mod preview;

use clap::Subcommand;
use uuid::Uuid;

use crate::context::{self, Context, Failure};

/// The commands of `rollcall mail`.
#[derive(Subcommand)]
pub enum Command {
    /// Lists what was decided about mail and what came of it, the latest first.
    List(ledger::Which),
    /// Shows all about one mail: what it says, what was tried, why it was not sent.
    Show {
        /// Its id, as `rollcall mail list` shows it.
        #[arg(value_parser = context::id)]
        id: Uuid,
    },
    /// Sends a mail at once that waits, or again that was sent or given up: the same one, with the same Message-ID.
    Resend {
        /// Its id, as `rollcall mail list` shows it.
        #[arg(value_parser = context::id)]
        id: Uuid,
    },
    /// Writes a mail to nobody into a file that a browser shows, as the tenant's people would get it.
    Preview(preview::Arguments),
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(which) => ledger::list(context, &which).await,
        Command::Show { id } => ledger::show(context, id).await,
        Command::Resend { id } => ledger::resend(context, id).await,
        Command::Preview(arguments) => preview::run(context, &arguments).await,
    }
}
