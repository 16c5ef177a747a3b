//! `rollcall link`: sets the externalId of accounts that are not linked to an identity provider, in bulk, from a CSV
//! file.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use operations::links::{self, Links, NotLinked};

use crate::context::{CliContext, Failure};
use crate::output;

/// The arguments of `rollcall link`.
#[derive(Args)]
pub struct Arguments {
    /// The tenant's name. Optional if there is only one tenant.
    tenant: Option<String>,
    /// The tenant's name, as an option.
    #[arg(long = "tenant", value_name = "TENANT", conflicts_with = "tenant")]
    named: Option<String>,
    /// A CSV file with the columns userName (or email) and externalId. In Okta, the externalId is the user's id, such
    /// as 00u1abcd.
    #[arg(long)]
    csv: PathBuf,
    /// Only show what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub async fn run(context: &CliContext, arguments: Arguments) -> Result<(), Failure> {
    let operator = &context.operator;
    let tenant = operator.tenant_or_only(arguments.named.or(arguments.tenant).as_deref()).await?;
    let unreadable = |error| Failure::usage(format!("--csv: the file cannot be read: {error}"));
    let bytes = std::fs::read(&arguments.csv).map_err(unreadable)?;
    let lines = links::read(&bytes).map_err(|why| Failure::usage(format!("--csv: {why}")))?;
    let result = links::run(operator, &tenant, lines, arguments.dry_run, progress).await?;
    show(context, &result);
    let all = result.all();
    match (result.not_linked.len(), result.unanswered) {
        (0, _) => Ok(()),
        (left, 0) => Err(Failure::refused(format!("{left} of {all} lines were not linked"))),
        (left, _) => Err(Failure::late(format!(
            "{left} of {all} lines were not linked or are still pending; run the command again with the same file"
        ))),
    }
}

/// Shows a progress bar if the standard error is a terminal.
fn progress(done: usize, all: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{}{}", bar(done, all), if done == all { "\n" } else { "" });
    }
}

fn bar(done: usize, all: usize) -> String {
    const WIDTH: usize = 40;
    let full = done * WIDTH / all.max(1);
    format!("[{}{}] {done}/{all}", "#".repeat(full), ".".repeat(WIDTH - full))
}

fn show(context: &CliContext, result: &Links) {
    if context.json {
        output::json(result);
        return;
    }
    let Links { dry_run, linked, linked_already, not_linked, .. } = result;
    let verb = if *dry_run { "would be linked" } else { "linked" };
    output::line(&format!("{linked} accounts {verb}, {linked_already} already linked"));
    if !not_linked.is_empty() {
        let row = |left: &NotLinked| vec![left.line.to_string(), left.user.clone(), left.reason.clone()];
        let rows = not_linked.iter().map(row).collect();
        output::table(&["line", "user", "not linked because"], rows, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_bar_matches_the_progress() {
        assert_eq!(bar(0, 4), format!("[{}] 0/4", ".".repeat(40)));
        assert_eq!(bar(1, 4), format!("[{}{}] 1/4", "#".repeat(10), ".".repeat(30)));
        assert_eq!(bar(4, 4), format!("[{}] 4/4", "#".repeat(40)));
    }
}
