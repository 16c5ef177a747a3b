//! `rollcall pull status`: the configured pulls, their last runs, and the users missing in Okta.

use operations::pulls::{self, Missing, Run};

use crate::context::{CliContext, Failure};
use crate::output;

/// Runs the command.
pub async fn status(context: &CliContext, tenant: Option<&str>) -> Result<(), Failure> {
    let tenant = match tenant {
        Some(name) => Some(context.operator.tenant(name).await?),
        None => None,
    };
    let pulls = pulls::status(&context.operator, tenant.as_ref()).await?;
    if context.json {
        output::json(&pulls);
        return Ok(());
    }
    let headings = [
        "tenant",
        "last run (UTC)",
        "state",
        "people",
        "changes",
        "strangers",
        "unreadable",
        "ambiguous",
        "gone",
        "archived",
    ];
    let empty = "no pulls are configured; add one with `rollcall pull set TENANT`";
    let lines = pulls.iter().map(|pull| line(&pull.configured.tenant, pull.last_run.as_ref()));
    output::table(&headings, lines.collect(), empty);
    for pull in &pulls {
        let (name, Some(run)) = (&pull.configured.tenant, &pull.last_run) else { continue };
        if let Some(said) = ambiguity(run) {
            say!("{name}: {said}");
        }
        if let Some(said) = sentence(name, run) {
            say!("{said}");
        }
        // For all tenants the list would be too long.
        if tenant.is_some() {
            show_missing(&run.missing);
        }
    }
    Ok(())
}

fn line(name: &str, run: Option<&Run>) -> Vec<String> {
    let Some(run) = run else {
        return [name, "-", "never ran", "-", "-", "-", "-", "-", "-", "-"].map(str::to_owned).to_vec();
    };
    let or_none = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let counts = [run.people, run.changes, run.strangers, run.unreadable, run.ambiguous];
    let counts = counts.map(|count| count.to_string());
    let mut line =
        vec![name.to_owned(), output::moment(run.started_at.or(Some(run.due_at))), run.state.clone()];
    line.extend(counts);
    line.extend([or_none(run.gone), run.archived.to_string()]);
    line
}

/// A message about a run that is not simply done.
pub fn sentence(tenant: &str, run: &Run) -> Option<String> {
    let reason = run.reason.as_deref().unwrap_or("?");
    let (queued, decided) = (run.queued(), run.decided());
    match &*run.state {
        "running" if run.reason.is_some() => Some(format!("the pull of {tenant} waits: {reason}")),
        "done" if decided < queued => Some(format!(
            "{decided} of {queued} changes of the pull of {tenant} have a verdict; the others are still queued or are dead letters \
             (rollcall dead list)"
        )),
        "failed" => Some(format!("the pull of {tenant} failed: {reason}")),
        "asks" => Some(format!(
            "the pull of {tenant} awaits confirmation: {reason}; to archive these users, run `rollcall pull confirm {tenant} {}`",
            run.id,
        )),
        _ => None,
    }
}

/// A message about Okta users who were skipped because several accounts have their external id.
pub fn ambiguity(run: &Run) -> Option<String> {
    let said = "Okta users were skipped: several accounts share their external id, and none has their login";
    (run.ambiguous > 0).then(|| format!("{} {said}", run.ambiguous))
}

/// Prints the missing users, if there are any.
pub fn show_missing(missing: &[Missing]) {
    if missing.is_empty() {
        return;
    }
    let line =
        |user: &Missing| vec![user.id.to_string(), user.user_name.clone().unwrap_or_else(|| "-".to_owned())];
    say!("active here but missing in Okta:");
    output::table(&["id", "userName"], missing.iter().map(line).collect(), "");
}
