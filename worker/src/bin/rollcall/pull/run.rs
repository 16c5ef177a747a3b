//! `rollcall pull run` and `confirm`: a request to the ingests, and what comes of it.

use clap::Args;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use shared::postgres::pulls::{self as rows, PullRow};
use shared::postgres::schema::pull_requests;
use shared::postgres::tenants::Tenant;
use time::OffsetDateTime;
use uuid::Uuid;

use super::follow::Following;
use super::status::{ambiguity, gone, sentence, show_gone, shown_run};
use crate::context::{self, Context, Failure};
use crate::output;

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

/// A run that asks, and may go on.
#[derive(Args)]
pub struct Confirmation {
    #[command(flatten)]
    now: Now,
    /// The id of the run that asks, as it says itself: so that none is confirmed but the one that was read of.
    #[arg(value_parser = context::id)]
    run: Option<Uuid>,
}

/// Runs `run`.
pub async fn run(context: &Context, now: &Now) -> Result<(), Failure> {
    let (tenant, _) = configured(context, &now.tenant).await?;
    let id = request(context, &tenant, None).await?;
    follow(context, &tenant, id, now, false).await
}

/// Runs `confirm`.
pub async fn confirm(context: &Context, confirmation: &Confirmation) -> Result<(), Failure> {
    let now = &confirmation.now;
    let (tenant, pull) = configured(context, &now.tenant).await?;
    let name = &tenant.name;
    let last = rows::last_run(&mut *context.pool.get().await?, tenant.id).await?;
    let asking = last.ok_or_else(|| Failure::Refused(format!("no pull of {name} ever ran")))?;
    if let Some(named) = confirmation.run.filter(|named| *named != asking.id) {
        return Err(Failure::Refused(format!("the last pull of {name} is {}, not {named}", asking.id)));
    }
    if asking.state != "asks" {
        return Err(Failure::Refused(format!("the last pull of {name} does not ask for anything")));
    }
    if asking.set_at != Some(pull.set_at) {
        let why = "was configured anew since it asked";
        return Err(Failure::Refused(format!("the pull of {name} {why}: rollcall pull run {name}")));
    }
    request(context, &tenant, Some(asking.id)).await?;
    follow(context, &tenant, asking.id, now, true).await
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
    id: Uuid,
    now: &Now,
    is_confirmed: bool,
) -> Result<(), Failure> {
    let name = &tenant.name;
    if now.no_wait {
        if context.json {
            output::json(&serde_json::json!({ "id": id, "state": "waiting" }));
        } else {
            println!("the pull of {name} is asked for: rollcall pull status {name}");
        }
        return Ok(());
    }
    let mut following = Following::new(context, tenant, id, is_confirmed);
    let run = following.until_ended().await?;
    let verdicts = following.until_applied(&run).await?;
    let mut connection = context.pool.get().await?;
    let gone = gone(&mut connection, run.id).await?;
    if context.json {
        output::json(&shown_run(&run, verdicts, &gone));
    } else if run.state == "done" {
        println!(
            "the pull of {name} is done: {} people at Okta, something new to tell of {} of them",
            run.people, run.changes
        );
        println!("{} are not known here; {} values could not be read", run.strangers, run.unreadable);
        if let Some(said) = ambiguity(&run) {
            println!("{said}");
        }
        println!("{} active here are gone there, {} of them archived", gone.len(), verdicts.archived);
        if verdicts.kept > 0 {
            println!("{} have changed meanwhile, and were left as they are", verdicts.kept);
        }
    }
    if !context.json {
        show_gone(&gone);
    }
    // In a sentence, and by the exit code: not all was done.
    sentence(name, &run, verdicts).map_or(Ok(()), |said| Err(Failure::Refused(said)))
}
