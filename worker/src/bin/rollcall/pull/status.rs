//! `rollcall pull status`: how pulls are configured, what came of the last run of each, and who is gone at Okta.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use shared::postgres::pulls::{self as rows, PullRow, RunRow, Verdicts};
use shared::postgres::schema::{pull_gone, pulls, tenants, users};
use uuid::Uuid;

use crate::context::{Context, Failure};
use crate::output;

/// Runs it.
pub async fn status(context: &Context, tenant: Option<&str>) -> Result<(), Failure> {
    let mut connection = context.pool.get().await?;
    let all = pulls::table.inner_join(tenants::table.on(tenants::id.eq(pulls::tenant_id)));
    let all = all.order(tenants::name).select((tenants::name, PullRow::as_select()));
    let mut configured: Vec<(String, PullRow)> = all.load(&mut connection).await?;
    if let Some(name) = tenant {
        let tenant = context.tenant(name).await?;
        configured.retain(|(_, row)| row.tenant_id == tenant.id);
        if configured.is_empty() {
            return Err(Failure::Refused(format!("{0} has no pull: rollcall pull set {0}", tenant.name)));
        }
    }
    let mut pulls = Vec::new();
    for (name, row) in configured {
        let run = rows::last_run(&mut connection, row.tenant_id).await?;
        let verdicts = match &run {
            Some(run) => rows::verdicts(&mut connection, run).await?,
            None => Verdicts::default(),
        };
        pulls.push((name, row, run, verdicts));
    }
    if context.json {
        let mut shown = Vec::new();
        for (name, row, run, verdicts) in &pulls {
            let run = match run {
                Some(run) => shown_run(run, *verdicts, &gone(&mut connection, run.id).await?),
                None => Value::Null,
            };
            shown.push(json!({
                "tenant": name, "okta_url": row.okta_url, "group": row.group_id, "map": row.map,
                "archive_missing": row.archive_missing, "limit_percent": row.limit_percent,
                "set_at": output::rfc3339(Some(row.set_at)), "last_run": run,
            }));
        }
        output::json(&Value::Array(shown));
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
    let empty = "nobody is pulled from Okta yet: rollcall pull set TENANT";
    let lines = pulls.iter().map(|(name, _, run, verdicts)| line(name, run.as_ref(), *verdicts));
    output::table(&headings, lines.collect(), empty);
    for (name, _, run, verdicts) in &pulls {
        let Some(run) = run else { continue };
        if let Some(said) = ambiguity(run) {
            println!("{name}: {said}");
        }
        if let Some(said) = sentence(name, run, *verdicts) {
            println!("{said}");
        }
        // Of all tenants it would be long.
        if tenant.is_some() {
            show_gone(&gone(&mut connection, run.id).await?);
        }
    }
    Ok(())
}

fn line(name: &str, run: Option<&RunRow>, verdicts: Verdicts) -> Vec<String> {
    let Some(run) = run else {
        return [name, "-", "never ran", "-", "-", "-", "-", "-", "-", "-"].map(str::to_owned).to_vec();
    };
    let or_none = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let counts = [run.people, run.changes, run.strangers, run.unreadable, run.ambiguous];
    let counts = counts.map(|count| count.to_string());
    let mut line =
        vec![name.to_owned(), output::moment(run.started_at.or(Some(run.due_at))), run.state.clone()];
    line.extend(counts);
    line.extend([or_none(run.gone), verdicts.archived.to_string()]);
    line
}

/// What an operator must know of a run that is not simply done.
pub fn sentence(tenant: &str, run: &RunRow, verdicts: Verdicts) -> Option<String> {
    let reason = run.reason.as_deref().unwrap_or("?");
    let (queued, decided) = (run.changes + run.archiving, verdicts.all());
    match &*run.state {
        "running" if run.reason.is_some() => Some(format!("the pull of {tenant} waits: {reason}")),
        "done" if decided < queued => Some(format!(
            "{decided} of {queued} changes of the pull of {tenant} have their verdict: the others wait for workers, or are \
             dead letters (rollcall dead list)"
        )),
        "failed" => Some(format!("the pull of {tenant} failed: {reason}")),
        "asks" => Some(format!(
            "the pull of {tenant} asks: {reason}; nobody is archived before `rollcall pull confirm {tenant} {}`",
            run.id,
        )),
        _ => None,
    }
}

/// Whose data were told to nobody, because several accounts here have their external id.
pub fn ambiguity(run: &RunRow) -> Option<String> {
    let said = "people share their external id with others here, and no account has their login: nothing was told of them";
    (run.ambiguous > 0).then(|| format!("{} {said}", run.ambiguous))
}

/// A run as scripts read it.
pub fn shown_run(run: &RunRow, verdicts: Verdicts, gone: &[Gone]) -> Value {
    let ids: Vec<Uuid> = gone.iter().map(|(id, _)| *id).collect();
    json!({
        "id": run.id, "state": run.state, "phase": run.phase, "reason": run.reason,
        "due_at": output::rfc3339(Some(run.due_at)), "started_at": output::rfc3339(run.started_at),
        "finished_at": output::rfc3339(run.finished_at), "pages": run.pages, "people": run.people,
        "strangers": run.strangers, "changes": run.changes, "applied": verdicts.told, "unreadable": run.unreadable,
        "ambiguous": run.ambiguous,
        "roster": run.roster, "linked": run.linked, "gone": run.gone, "archiving": run.archiving,
        "archived": verdicts.archived, "kept": verdicts.kept, "confirmed": run.confirmed, "gone_ids": ids,
    })
}

/// Somebody who is gone: the id, and the userName if the account is still there.
pub type Gone = (Uuid, Option<String>);

/// Whom a run found active here and gone there.
pub async fn gone(connection: &mut AsyncPgConnection, run: Uuid) -> Result<Vec<Gone>, Failure> {
    let own = pull_gone::table.filter(pull_gone::run_id.eq(run));
    let named = own.left_join(users::table.on(users::id.eq(pull_gone::user_id)));
    let named = named.order(pull_gone::user_id);
    Ok(named.select((pull_gone::user_id, users::user_name.nullable())).load(connection).await?)
}

/// Prints them, if there are any.
pub fn show_gone(gone: &[Gone]) {
    if gone.is_empty() {
        return;
    }
    let line = |(id, name): &Gone| vec![id.to_string(), name.clone().unwrap_or_else(|| "-".to_owned())];
    println!("active here and gone at Okta:");
    output::table(&["id", "userName"], gone.iter().map(line).collect(), "");
}
