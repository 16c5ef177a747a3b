//! `rollcall pull`: configures, starts and shows pulls from Okta's API. The ingests run them.

mod progress;
mod renew;
mod run;
mod set;
mod status;
mod token;

use clap::Subcommand;

use crate::context::{CliContext, Failure};

/// The commands of `rollcall pull`.
#[derive(Subcommand)]
pub enum Command {
    /// Configure a tenant's pull. Options that are not given keep their values. Pulls run at the times in
    /// ROLLCALL_PULL_AT.
    Set(set::Set),
    /// Remove a tenant's pull with its token. Pulled data is kept.
    Unset {
        /// The tenant's name.
        tenant: String,
    },
    /// Pull a tenant's users now, and wait until the changes are applied.
    Run(run::Now),
    /// Show pulls and the result of the last run of each.
    Status {
        /// The tenant's name. The default is all tenants with a pull.
        tenant: Option<String>,
    },
    /// Encrypt the stored tokens of all tenants with the first key in ROLLCALL_SECRET_KEY, after a new key was put in
    /// front of the old one.
    Renew,
    /// Allow a pull that awaits confirmation to archive the users who are missing in Okta.
    Confirm(run::Confirmation),
}

/// Runs the command.
pub async fn run(context: &CliContext, command: Command) -> Result<(), Failure> {
    match command {
        Command::Set(set) => set::set(context, set).await,
        Command::Renew => renew::renew(context).await,
        Command::Run(now) => run::run(context, &now).await,
        Command::Confirm(confirmation) => run::confirm(context, &confirmation).await,
        Command::Unset { tenant } => set::unset(context, &tenant).await,
        Command::Status { tenant } => status::status(context, tenant.as_deref()).await,
    }
}
