//! `rollcall pull`: whose people are pulled from Okta's API, and what came of it. What is asked for here an ingest does.

mod follow;
mod run;
mod set;
mod status;
mod token;

use clap::Subcommand;

use crate::context::{Context, Failure};

/// The commands of `rollcall pull`.
#[derive(Subcommand)]
pub enum Command {
    /// Configures a tenant's pull, or changes what is given of its configuration. It runs at the times of ROLLCALL_PULL_AT.
    Set(set::Set),
    /// Ends a tenant's pull, and forgets its token. What it brought stays.
    Unset {
        /// The tenant's name.
        tenant: String,
    },
    /// Pulls a tenant's people now, and waits until what it brought is applied.
    Run(run::Now),
    /// Shows how pulls are configured, and what came of the last run of each.
    Status {
        /// The tenant's name; all tenants with a pull if it is left out.
        tenant: Option<String>,
    },
    /// Lets a pull that asks archive all whom it found gone at Okta.
    Confirm(run::Confirmation),
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Set(set) => set::set(context, &set).await,
        Command::Run(now) => run::run(context, &now).await,
        Command::Confirm(confirmation) => run::confirm(context, &confirmation).await,
        Command::Unset { tenant } => set::unset(context, &tenant).await,
        Command::Status { tenant } => status::status(context, tenant.as_deref()).await,
    }
}
