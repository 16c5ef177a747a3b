//! `rollcall mail list|show|resend`: the ledger of mail, and sending a mail of it again.
//!
//! It says who by id, and not by name: what people are called stands in the roster.

use clap::Args;
use clap::builder::PossibleValuesParser;
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use shared::postgres::Error;
use shared::postgres::schema::{notifications, tenants, unsubscribed, users};
use time::OffsetDateTime;
use uuid::Uuid;
use wording::Kind;

use crate::context::{self, Context, Failure};
use crate::output;

/// What can become of a mail.
const STATES: [&str; 5] = ["pending", "claimed", "sent", "suppressed", "failed"];

/// The kinds of mail that a person can stop.
const OPTIONAL: [&str; 2] = [Kind::Assignment.as_str(), Kind::Digest.as_str()];

/// Which lines of the ledger.
#[derive(Args)]
pub struct Which {
    /// Of one tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// To one user, by SCIM id.
    #[arg(long, value_name = "ID", value_parser = context::id)]
    user: Option<Uuid>,
    /// In this state.
    #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
    state: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u16,
}

/// A line.
#[derive(Queryable, Selectable)]
#[diesel(table_name = notifications, check_for_backend(diesel::pg::Pg))]
struct Line {
    id: Uuid,
    user_id: Uuid,
    kind: String,
    state: String,
    reason: Option<String>,
    event_source: String,
    event_id: String,
    context: Value,
    attempts: i32,
    decided_at: OffsetDateTime,
    due_at: OffsetDateTime,
    sent_at: Option<OffsetDateTime>,
    in_doubt: bool,
    last_attempt: Option<Value>,
}

impl Line {
    /// Why it is as it is: for good, or so far.
    fn why(&self) -> Option<&str> {
        let last = || self.last_attempt.as_ref()?.get("why")?.as_str();
        self.reason.as_deref().or_else(last)
    }

    /// When it is tried next, if it is.
    fn next(&self) -> Option<OffsetDateTime> {
        matches!(self.state.as_str(), "pending" | "claimed").then_some(self.due_at)
    }

    fn summary(&self, tenant: &str) -> Value {
        json!({
            "id": self.id, "tenant": tenant, "user": self.user_id, "kind": self.kind, "state": self.state,
            "why": self.why(), "attempts": self.attempts, "decided_at": output::rfc3339(Some(self.decided_at)),
            "next_at": output::rfc3339(self.next()), "sent_at": output::rfc3339(self.sent_at),
        })
    }
}

/// Lists lines, the latest first.
pub async fn list(context: &Context, which: &Which) -> Result<(), Failure> {
    let mut query = notifications::table
        .inner_join(tenants::table.on(tenants::id.eq(notifications::tenant_id)))
        .select((Line::as_select(), tenants::name))
        .order((notifications::decided_at.desc(), notifications::id))
        .limit(which.limit.into())
        .into_boxed();
    if let Some(name) = &which.tenant {
        query = query.filter(notifications::tenant_id.eq(context.tenant(name).await?.id));
    }
    if let Some(user) = which.user {
        query = query.filter(notifications::user_id.eq(user));
    }
    if let Some(state) = &which.state {
        query = query.filter(notifications::state.eq(state));
    }
    let mut connection = context.pool.get().await?;
    let lines: Vec<(Line, String)> = query.load(&mut connection).await?;
    if context.json {
        output::json(&lines.iter().map(|(line, tenant)| line.summary(tenant)).collect());
        return Ok(());
    }
    let row = |(line, tenant): &(Line, String)| {
        vec![
            line.id.to_string(),
            tenant.clone(),
            line.user_id.to_string(),
            line.kind.clone(),
            line.state.clone(),
            line.attempts.to_string(),
            output::moment(Some(line.decided_at)),
            line.why().unwrap_or("-").to_owned(),
        ]
    };
    let headings = ["id", "tenant", "user", "kind", "state", "attempts", "decided (UTC)", "why"];
    output::table(&headings, lines.iter().map(row).collect(), "no mail");
    Ok(())
}

/// Shows all of one line.
pub async fn show(context: &Context, id: Uuid) -> Result<(), Failure> {
    let mut connection = context.pool.get().await?;
    let query = notifications::table
        .inner_join(tenants::table.on(tenants::id.eq(notifications::tenant_id)))
        .filter(notifications::id.eq(id))
        .select((Line::as_select(), tenants::name));
    let found: Option<(Line, String)> = query.first(&mut connection).await.optional()?;
    let (line, tenant) = found.ok_or_else(unknown)?;
    let mut object = line.summary(&tenant);
    object["in_doubt"] = line.in_doubt.into();
    object["last_attempt"] = line.last_attempt.unwrap_or_default();
    object["event"] = json!({ "source": line.event_source, "id": line.event_id });
    object["says"] = line.context;
    if context.json {
        output::json(&object);
        return Ok(());
    }
    for (name, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => println!("{name:<13} {text}"),
            Value::Null => println!("{name:<13} -"),
            value => println!("{name:<13} {value}"),
        }
    }
    Ok(())
}

/// Has the notifier send a mail at once that waits, or again that was sent or given up: the same one, with the same Message-ID.
pub async fn resend(context: &Context, id: Uuid) -> Result<(), Failure> {
    let mut connection = context.pool.get().await?;
    let living = users::table
        .filter(users::id.eq(notifications::user_id).and(users::tenant_id.eq(notifications::tenant_id)))
        .filter(users::archived_at.is_null());
    let stopped = unsubscribed::table
        .filter(unsubscribed::tenant_id.eq(notifications::tenant_id))
        .filter(unsubscribed::user_id.eq(notifications::user_id));
    let wanted = notifications::kind.ne_all(OPTIONAL).or(not(exists(stopped)));
    let ours = notifications::table.find(id).filter(exists(living)).filter(wanted);
    let now = || diesel::dsl::sql::<Timestamptz>("now()");
    let waits = ours.clone().filter(notifications::state.eq("pending"));
    // Its Date is when it was to be sent, and is kept from the first attempt on.
    let dated = "case when attempts = 0 then now() else dated_at end";
    let at_once = (
        notifications::due_at.eq(now()),
        notifications::dated_at.eq(diesel::dsl::sql::<Nullable<Timestamptz>>(dated)),
    );
    let mut changed = diesel::update(waits).set(at_once).execute(&mut connection).await?;
    if changed == 0 {
        let set = (
            notifications::state.eq("pending"),
            notifications::due_at.eq(now()),
            // The 72 hours and the pauses begin anew; but what was tried once says no more.
            notifications::give_up_at.eq(None::<OffsetDateTime>),
            notifications::attempts.eq(1),
            notifications::reason.eq(None::<String>),
        );
        let ended = ours.filter(notifications::state.eq_any(["sent", "failed"]));
        changed = match diesel::update(ended).set(set).execute(&mut connection).await.map_err(Error::from) {
            Err(Error::Taken { .. }) => {
                let what = "the person was sent another mail of this kind meanwhile, and gets only one";
                return Err(Failure::Refused(what.to_owned()));
            }
            changed => changed?,
        };
    }
    if changed == 0 {
        let row = notifications::table.find(id).select(notifications::state);
        let state: Option<String> = row.first(&mut connection).await.optional()?;
        return Err(match state.as_deref() {
            None => unknown(),
            Some("claimed") => Failure::Refused("it is being sent at this moment".to_owned()),
            Some("suppressed") => {
                Failure::Refused("it was decided not to send it: rollcall mail show says why".to_owned())
            }
            Some(_) => Failure::Refused(
                "the person is archived, or gone, or wants no more mail about assignments".to_owned(),
            ),
        });
    }
    if context.json {
        output::json(&json!({ "id": id, "state": "pending" }));
    } else {
        println!("the notifier sends it: rollcall mail show {id}");
    }
    Ok(())
}

fn unknown() -> Failure {
    Failure::Refused("there is no mail with that id: rollcall mail list shows them".to_owned())
}
