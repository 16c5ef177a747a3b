//! `rollcall pull run` and `confirm`: request a run from the ingests and follow it.

use clap::Args;
use operations::pulls::{self, Requested};
use uuid::Uuid;

use super::progress::Printer;
use super::status::{ambiguity, sentence, show_missing};
use crate::context::{self, CliContext, Failure};
use crate::output;

/// The arguments of `rollcall pull run`.
#[derive(Args)]
pub struct Now {
    /// The tenant's name.
    tenant: String,
    /// Return as soon as the pull is requested. `rollcall pull status` shows its result.
    #[arg(long)]
    no_wait: bool,
}

/// The arguments of `rollcall pull confirm`.
#[derive(Args)]
pub struct Confirmation {
    #[command(flatten)]
    now: Now,
    /// The id of the run to confirm, from its output. Ensures that only the run you have reviewed is confirmed.
    #[arg(value_parser = context::id)]
    run: Option<Uuid>,
}

/// Runs `run`.
pub async fn run(context: &CliContext, now: &Now) -> Result<(), Failure> {
    let tenant = context.operator.tenant(&now.tenant).await?;
    let requested = pulls::request(&context.operator, &tenant).await?;
    follow(context, &requested, now).await
}

/// Runs `confirm`.
pub async fn confirm(context: &CliContext, confirmation: &Confirmation) -> Result<(), Failure> {
    let tenant = context.operator.tenant(&confirmation.now.tenant).await?;
    let requested = pulls::confirm(&context.operator, &tenant, confirmation.run).await?;
    follow(context, &requested, &confirmation.now).await
}

/// Waits for the end of the run and reports its result.
async fn follow(context: &CliContext, requested: &Requested, now: &Now) -> Result<(), Failure> {
    let name = &requested.tenant;
    if now.no_wait {
        if context.json {
            output::json(requested);
        } else {
            say!("the pull of {name} is requested; see `rollcall pull status {name}`");
        }
        return Ok(());
    }
    let mut printer = Printer::default();
    let run = pulls::follow(&context.operator, requested, |progress| printer.print(name, &progress)).await?;
    if context.json {
        output::json(&run);
    } else if run.state == "done" {
        say!("the pull of {name} is done: {} users in Okta, {} with changes", run.people, run.changes);
        say!("{} have no account here; {} values could not be read", run.strangers, run.unreadable);
        if let Some(said) = ambiguity(&run) {
            say!("{said}");
        }
        let missing = run.missing.len();
        say!("{missing} active users are missing in Okta, {} of them were archived", run.archived);
        if run.kept > 0 {
            say!("{} were not archived because they have changed since", run.kept);
        }
    }
    if !context.json {
        show_missing(&run.missing);
    }
    // An incomplete run is reported in a sentence and by the exit code.
    sentence(name, &run).map_or(Ok(()), |said| Err(Failure::refused(said)))
}
