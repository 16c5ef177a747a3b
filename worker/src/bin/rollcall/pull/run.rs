//! `rollcall pull run` and `confirm`: a request to the ingests, and what comes of it.

use std::time::Duration;

use clap::Args;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use shared::postgres::pulls::{self as rows, PullRow, RunRow};
use shared::postgres::schema::pull_requests;
use shared::postgres::tenants::Tenant;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::status::{gone, sentence, shown_run};
use crate::context::{Context, Failure};
use crate::output;

/// How often to look.
const LOOK: Duration = Duration::from_millis(200);
/// How long until an ingest has taken it, if one runs that has the key.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// How long a request is kept.
const KEPT: time::Duration = time::Duration::days(30);

/// A run by hand.
#[derive(Args)]
pub struct Now {
    /// The tenant's name.
    tenant: String,
    /// Returns as soon as it is asked for; `rollcall pull status` shows what comes of it.
    #[arg(long)]
    no_wait: bool,
}

/// Runs `run`.
pub async fn run(context: &Context, now: &Now) -> Result<(), Failure> {
    let (tenant, pull) = configured(context, &now.tenant).await?;
    let id = request(context, &tenant, None).await?;
    follow(context, &tenant, &pull, id, now, false).await
}

/// Runs `confirm`.
pub async fn confirm(context: &Context, now: &Now) -> Result<(), Failure> {
    let (tenant, pull) = configured(context, &now.tenant).await?;
    let last = rows::last_run(&mut *context.pool.get().await?, tenant.id).await?;
    let asking = last.filter(|run| run.state == "asks").ok_or_else(|| {
        Failure::Refused(format!("the last pull of {} does not ask for anything", tenant.name))
    })?;
    if !pull.archive_missing {
        let how = format!("rollcall pull set {} --archive-missing …", tenant.name);
        return Err(Failure::Refused(format!("nobody is archived by pulls any more: {how}")));
    }
    request(context, &tenant, Some(asking.id)).await?;
    follow(context, &tenant, &pull, asking.id, now, true).await
}

async fn configured(context: &Context, name: &str) -> Result<(Tenant, PullRow), Failure> {
    let tenant = context.tenant(name).await?;
    let pull = rows::find(&mut *context.pool.get().await?, tenant.id).await?;
    let missing = || Failure::Refused(format!("{0} has no pull: rollcall pull set {0}", tenant.name));
    let pull = pull.ok_or_else(missing)?;
    Ok((tenant, pull))
}

/// Leaves word for the ingests.
async fn request(context: &Context, tenant: &Tenant, confirms: Option<Uuid>) -> Result<Uuid, Failure> {
    let (id, now) = (shared::id::new(), context.clock.now());
    let mut connection = context.pool.get().await?;
    let old = pull_requests::table.filter(pull_requests::requested_at.lt(now - KEPT));
    diesel::delete(old).execute(&mut connection).await?;
    let row = (
        pull_requests::id.eq(id),
        pull_requests::tenant_id.eq(tenant.id),
        pull_requests::confirms.eq(confirms),
        pull_requests::requested_at.eq::<OffsetDateTime>(now),
    );
    diesel::insert_into(pull_requests::table).values(row).execute(&mut connection).await?;
    Ok(id)
}

/// Waits for the run's end, and tells it.
async fn follow(
    context: &Context,
    tenant: &Tenant,
    pull: &PullRow,
    id: Uuid,
    now: &Now,
    is_confirmed: bool,
) -> Result<(), Failure> {
    if now.no_wait {
        if context.json {
            output::json(&serde_json::json!({ "id": id, "state": "waiting" }));
        } else {
            println!("the pull of {0} is asked for: rollcall pull status {0}", tenant.name);
        }
        return Ok(());
    }
    let began = Instant::now();
    loop {
        sleep(LOOK).await;
        let find = async |c: &mut _| rows::run(c, id).await;
        let run = context.pool.bounded(find).await?;
        let is_over = |run: &RunRow| match &*run.state {
            "waiting" | "running" => false,
            // One that asked goes on as soon as an ingest has seen that it may.
            "asks" => !is_confirmed,
            _ => true,
        };
        match run {
            Some(run) if is_over(&run) => return tell(context, tenant, pull, &run).await,
            Some(run) if run.state == "running" => {}
            _ if began.elapsed() > TAKEN_WITHIN => {
                return Err(Failure::Late(format!(
                    "no ingest has taken the pull of {} yet (it stays asked for): does one run that has ROLLCALL_SECRET_KEY?",
                    tenant.name
                )));
            }
            _ => {}
        }
    }
}

async fn tell(context: &Context, tenant: &Tenant, pull: &PullRow, run: &RunRow) -> Result<(), Failure> {
    if context.json {
        let gone = gone(&mut *context.pool.get().await?, run.id).await?;
        output::json(&shown_run(run, &gone));
    } else if run.state == "done" {
        println!(
            "the pull of {} is done: {} people at Okta, {} of them told something new",
            tenant.name, run.people, run.changes
        );
        println!("{} are not known here; {} values could not be read", run.strangers, run.unreadable);
        println!("{} active here are gone there, {} of them archived", run.gone.unwrap_or(0), run.archiving);
    }
    // In a sentence, and by the exit code: not all was done.
    sentence(&tenant.name, pull.limit_percent, run).map_or(Ok(()), |said| Err(Failure::Refused(said)))
}
