//! `rollcall pull status`: how pulls are configured, what came of the last run of each, and who is gone at Okta.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};
use shared::postgres::pulls::{self as rows, PullRow, RunRow};
use shared::postgres::schema::{pull_gone, pulls, tenants};
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
        pulls.push((name, row, run));
    }
    if context.json {
        let mut shown = Vec::new();
        for (name, row, run) in &pulls {
            let run = match run {
                Some(run) => shown_run(run, &gone(&mut connection, run.id).await?),
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
        "gone",
        "archived",
    ];
    let empty = "nobody is pulled from Okta yet: rollcall pull set TENANT";
    output::table(&headings, pulls.iter().map(|(name, _, run)| line(name, run.as_ref())).collect(), empty);
    for (name, row, run) in &pulls {
        if let Some(said) = run.as_ref().and_then(|run| sentence(name, row.limit_percent, run)) {
            println!("{said}");
        }
    }
    Ok(())
}

fn line(name: &str, run: Option<&RunRow>) -> Vec<String> {
    let Some(run) = run else {
        return [name, "-", "never ran", "-", "-", "-", "-", "-", "-"].map(str::to_owned).to_vec();
    };
    let or_none = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let counts = [run.people, run.changes, run.strangers, run.unreadable].map(|count| count.to_string());
    let mut line =
        vec![name.to_owned(), output::moment(run.started_at.or(Some(run.due_at))), run.state.clone()];
    line.extend(counts);
    line.extend([or_none(run.gone), run.archiving.to_string()]);
    line
}

/// What an operator must know of a run that is not simply done.
pub fn sentence(tenant: &str, limit: i16, run: &RunRow) -> Option<String> {
    match &*run.state {
        "failed" => Some(format!("the pull of {tenant} failed: {}", run.reason.as_deref().unwrap_or("?"))),
        "asks" => Some(format!(
            "{} of {} active people of {tenant} are gone at Okta, more than {limit} %: nobody is archived before \
             `rollcall pull confirm {tenant}`",
            run.gone.unwrap_or(0),
            run.roster.unwrap_or(0),
        )),
        _ => None,
    }
}

/// A run as scripts read it.
pub fn shown_run(run: &RunRow, gone: &[Uuid]) -> Value {
    json!({
        "id": run.id, "state": run.state, "phase": run.phase, "reason": run.reason,
        "due_at": output::rfc3339(Some(run.due_at)), "started_at": output::rfc3339(run.started_at),
        "finished_at": output::rfc3339(run.finished_at), "pages": run.pages, "people": run.people,
        "strangers": run.strangers, "changes": run.changes, "unreadable": run.unreadable, "roster": run.roster,
        "gone": run.gone, "archived": run.archiving, "confirmed": run.confirmed, "gone_ids": gone,
    })
}

/// The ids of those whom a run found active here and gone there.
pub async fn gone(connection: &mut AsyncPgConnection, run: Uuid) -> Result<Vec<Uuid>, Failure> {
    let own = pull_gone::table.filter(pull_gone::run_id.eq(run));
    Ok(own.order(pull_gone::user_id).select(pull_gone::user_id).load(connection).await?)
}
