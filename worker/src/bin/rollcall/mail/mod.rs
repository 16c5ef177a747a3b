//! `rollcall mail`.

mod preview;

use clap::Subcommand;

use crate::context::{Context, Failure};

/// The commands of `rollcall mail`.
#[derive(Subcommand)]
pub enum Command {
    /// Writes a mail to nobody into a file that a browser shows, as the tenant's people would get it.
    Preview(preview::Arguments),
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Preview(arguments) => preview::run(context, &arguments).await,
    }
}
