//! `notifications` as the sender's queue: claim what is due, settle what became of it. Times are Postgres' own.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::postgres::Error;
use shared::postgres::schema::notifications;
use time::OffsetDateTime;
use uuid::Uuid;

use super::assignments;
use super::ledger::Context;
use crate::decide::{COMPLETED, DELETED, UNSUBSCRIBED, WITHDRAWN};

/// Tenants that limit their mail have a row each, which is locked by whoever claims for them.
const PACE: &str = "insert into mail_pace (tenant_id)
  select t.id from tenants t where jsonb_typeof(t.settings->'mails_per_minute') = 'number'
    and t.settings->'mails_per_minute' <> '0' and not exists (select 1 from mail_pace p where p.tenant_id = t.id)
  on conflict do nothing";

/// What is due. What can wait does not overtake the person's first mail. (A subquery with a limit is looked up by its index, row by row.)
macro_rules! due {
    () => {
        "n.state in ('pending', 'claimed') and n.due_at <= now()
           and (n.kind not in ('assignment', 'digest') or (select 1 from notifications f
             where f.user_id = n.user_id and f.kind = 'first_assignment' and f.state in ('pending', 'claimed')
               and f.sent_at is null limit 1) is null)"
    };
}

/// How long a tenant's mails are apart; null where they are not limited.
macro_rules! gap {
    () => {
        "interval '60 seconds' / nullif(case when jsonb_typeof(t.settings->'mails_per_minute') = 'number'
           and t.settings->>'mails_per_minute' ~ '^[0-9]{1,10}$'
           then (t.settings->>'mails_per_minute')::float8 else 0 end, 0)"
    };
}

/// One mail of each tenant that limits its mail, if its time has come. (Who wants more than one in a second gets them by several looks: a
/// second is made up for.)
const LIMITED: &str = concat!(
    "with chosen as (
    select d.id, p.tenant_id, p.gap
    from (select p.tenant_id, ",
    gap!(),
    " as gap from mail_pace p join tenants t on t.id = p.tenant_id
        where p.next_at <= now() order by p.next_at for update of p skip locked) p
      cross join lateral (select n.id from notifications n where n.tenant_id = p.tenant_id and ",
    due!(),
    " order by n.due_at limit 1 for update skip locked) d
    where p.gap is not null limit $1)
  update mail_pace p set next_at = greatest(p.next_at, now() - greatest(interval '1 second' - gap, interval '0')) + gap
  from chosen where chosen.tenant_id = p.tenant_id returning chosen.id"
);

/// These mails, and those of tenants that do not limit their mail. Rows that another notifier is claiming are skipped, not waited for.
///
/// What its person cannot get, or does not want, any more is suppressed, unless it was sent before. A row that was claimed and never
/// settled may have been sent. The 72 hours begin with the first attempt.
const CLAIM: &str = concat!(
    "with free as (
    select n.id from notifications n join tenants t on t.id = n.tenant_id where ",
    gap!(),
    " is null and ",
    due!(),
    " order by n.due_at limit $3 for update of n skip locked),
  due as (
    select n.id, u.given_name, u.family_name, u.display_name, u.user_name, u.email, u.locale, u.timezone,
           t.name as tenant, t.settings,
           case when u.id is null then $1 when u.archived_at is not null then $2
                when n.kind in ('assignment', 'digest') and exists (select 1 from unsubscribed o
                  where o.tenant_id = n.tenant_id and o.user_id = n.user_id) then $5 end as gone
    from (select unnest($6) as id union all select id from free) c join notifications n on n.id = c.id
      join tenants t on t.id = n.tenant_id left join users u on u.id = n.user_id and u.tenant_id = n.tenant_id)
  update notifications n set
    state = case when due.gone is null then 'claimed' when n.sent_at is null then 'suppressed' else 'sent' end,
    reason = case when n.sent_at is null then due.gone end,
    attempts = n.attempts + case when due.gone is null then 1 else 0 end,
    in_doubt = n.in_doubt or n.state = 'claimed',
    give_up_at = coalesce(n.give_up_at, now() + interval '72 hours'),
    due_at = now() + $4 * interval '1 second'
  from due where n.id = due.id
  returning n.id, n.tenant_id, n.user_id, n.kind, due.gone as reason, n.event_id, n.context, n.attempts,
            coalesce(n.dated_at, n.decided_at) as dated_at, n.give_up_at <= now() as is_last,
            due.tenant, due.settings, due.locale, due.timezone,
            due.given_name, due.family_name, due.display_name, due.user_name, due.email"
);

/// What is not sent after all takes nobody's turn.
const GIVE_BACK: &str = "update mail_pace set next_at = now() where tenant_id = any($1)";

/// A mail of a tenant that limits its mail.
#[derive(QueryableByName)]
struct Chosen {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

/// A mail that is this notifier's to send, or that was found suppressed when it was claimed.
#[derive(Clone, QueryableByName)]
pub struct Claim {
    /// The row's id.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    /// Whose.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub tenant_id: Uuid,
    /// To whom.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub user_id: Uuid,
    /// Its kind.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// Why it is not to be sent after all.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// The event behind it.
    #[diesel(sql_type = Text)]
    pub event_id: String,
    /// What it says, see [`super::ledger::Context`].
    #[diesel(sql_type = Jsonb)]
    pub context: Value,
    /// How many times it was claimed, this one counted.
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// When it was to be sent: its Date.
    #[diesel(sql_type = Timestamptz)]
    pub dated_at: OffsetDateTime,
    /// Whether it has been tried for so long that this is the last attempt.
    #[diesel(sql_type = Bool)]
    pub is_last: bool,
    /// The tenant's name.
    #[diesel(sql_type = Text)]
    pub tenant: String,
    /// What the tenant chose, see [`shared::settings::Settings`].
    #[diesel(sql_type = Jsonb)]
    pub settings: Value,
    #[diesel(sql_type = Nullable<Text>)]
    locale: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    timezone: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    given_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    family_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    display_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    user_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    email: Option<String>,
}

/// The person as the roster has them. No `Debug`: it is all personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// SCIM's `name.givenName`.
    pub given_name: String,
    /// SCIM's `name.familyName`.
    pub family_name: String,
    /// SCIM's `displayName`.
    pub display_name: Option<String>,
    /// SCIM's `userName`.
    pub user_name: String,
    /// SCIM's primary email.
    pub email: String,
    /// SCIM's `locale`.
    pub locale: Option<String>,
    /// SCIM's `timezone`.
    pub timezone: Option<String>,
}

impl Claim {
    /// To whom it goes.
    #[must_use]
    pub fn person(&self) -> Person {
        Person {
            given_name: self.given_name.clone().unwrap_or_default(),
            family_name: self.family_name.clone().unwrap_or_default(),
            display_name: self.display_name.clone(),
            user_name: self.user_name.clone().unwrap_or_default(),
            email: self.email.clone().unwrap_or_default(),
            locale: self.locale.clone(),
            timezone: self.timezone.clone(),
        }
    }
}

/// Claims at most `limit` mails that are due, for as long as `lease`; no more of a tenant than it wants sent. What was completed
/// before the first attempt is left out.
///
/// # Errors
/// See [`Error`].
pub async fn claim(
    connection: &mut AsyncPgConnection,
    limit: i64,
    lease: Duration,
) -> Result<Vec<Claim>, Error> {
    let claim = async |connection: &mut AsyncPgConnection| {
        diesel::sql_query(PACE).execute(connection).await?;
        let limited = diesel::sql_query(LIMITED).bind::<BigInt, _>(limit);
        let limited: Vec<Uuid> =
            limited.get_results::<Chosen>(connection).await?.into_iter().map(|chosen| chosen.id).collect();
        // There are at most so many: the limit.
        let free = limit - i64::try_from(limited.len()).unwrap_or(limit);
        let claim = diesel::sql_query(CLAIM)
            .bind::<Text, _>(DELETED)
            .bind::<Text, _>(WITHDRAWN)
            .bind::<BigInt, _>(free)
            .bind::<Double, _>(lease.as_secs_f64())
            .bind::<Text, _>(UNSUBSCRIBED)
            .bind::<Array<diesel::sql_types::Uuid>, _>(&limited);
        let mut claims = claim.get_results(connection).await?;
        leave_out_completed(connection, &mut claims).await?;
        let unsent = claims.iter().filter(|claim| claim.reason.is_some() && limited.contains(&claim.id));
        let unsent: Vec<Uuid> = unsent.map(|claim| claim.tenant_id).collect();
        if !unsent.is_empty() {
            let give_back = diesel::sql_query(GIVE_BACK).bind::<Array<diesel::sql_types::Uuid>, _>(unsent);
            give_back.execute(connection).await?;
        }
        Ok(claims)
    };
    connection.transaction(claim).await
}

/// Takes out of mails that nobody has tried to send yet what was completed meanwhile; what is empty then is suppressed.
async fn leave_out_completed(connection: &mut AsyncPgConnection, claims: &mut [Claim]) -> Result<(), Error> {
    let new = |claim: &&mut Claim| claim.attempts == 1 && claim.reason.is_none();
    let mut said: Vec<(&mut Claim, Context)> = claims
        .iter_mut()
        .filter(new)
        // What cannot be read is found when the mail is written.
        .filter_map(|claim| Context::deserialize(&claim.context).ok().map(|context| (claim, context)))
        .collect();
    let tenants: Vec<Uuid> = said.iter().map(|(claim, _)| claim.tenant_id).collect();
    let ids: Vec<String> = said.iter().flat_map(|(_, context)| context.assignments()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let completed = assignments::completed(connection, &tenants, &ids).await?;
    for (claim, context) in &mut said {
        if !context.leave_out(|id| completed.contains(&(claim.tenant_id, id.to_owned()))) {
            continue;
        }
        let row = notifications::table.find(claim.id);
        if context.items().is_empty() {
            let set = (notifications::state.eq("suppressed"), notifications::reason.eq(COMPLETED));
            diesel::update(row).set((set, notifications::attempts.eq(0))).execute(connection).await?;
            claim.reason = Some(COMPLETED.to_owned());
        } else {
            claim.context = serde_json::to_value(&*context).unwrap_or_default();
            diesel::update(row).set(notifications::context.eq(&claim.context)).execute(connection).await?;
        }
    }
    Ok(())
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was sent.
    Sent(OffsetDateTime),
    /// It was not sent: again after this pause.
    Again(Duration),
    /// Nobody knows whether it was sent: again after this pause.
    Unknown(Duration),
    /// It is given up, for this reason.
    Failed(String),
}

/// How an attempt ended, as the ledger keeps it beside what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How: `sent`, `refused`, `put_off`, `unknown` or `unwritten`.
    pub ended: &'static str,
    /// Why, without personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Writes down what became of a claim. If the lease ran out meanwhile and somebody else has claimed the row, only good
/// news is written.
///
/// # Errors
/// See [`Error`].
pub async fn settle(
    connection: &mut AsyncPgConnection,
    claim: &Claim,
    settlement: &Settlement,
    attempt: &Attempt,
) -> Result<(), Error> {
    let row = notifications::table.find(claim.id).filter(notifications::state.eq("claimed"));
    let ours = row.filter(notifications::attempts.eq(claim.attempts));
    let last = notifications::last_attempt.eq(serde_json::to_value(attempt).ok());
    let due = |pause: &Duration| {
        let seconds = pause.as_secs_f64().into_sql::<Double>();
        notifications::due_at
            .eq(diesel::dsl::sql::<Timestamptz>("now() + interval '1 second' * ").bind::<Double, _>(seconds))
    };
    match settlement {
        Settlement::Sent(at) => {
            let sent = (notifications::state.eq("sent"), notifications::sent_at.eq(at), last);
            diesel::update(row).set(sent).execute(connection).await?
        }
        Settlement::Again(pause) => {
            let again = (notifications::state.eq("pending"), due(pause), last);
            diesel::update(ours).set(again).execute(connection).await?
        }
        Settlement::Unknown(pause) => {
            let doubtful = (notifications::state.eq("pending"), notifications::in_doubt.eq(true));
            diesel::update(ours).set((doubtful, due(pause), last)).execute(connection).await?
        }
        Settlement::Failed(reason) => {
            let is_doubtful = notifications::in_doubt.or((attempt.ended == "unknown").into_sql::<Bool>());
            let failed = (notifications::state.eq("failed"), notifications::reason.eq(reason));
            let failed = (failed, notifications::in_doubt.eq(is_doubtful), last.clone());
            let anew = ours.filter(notifications::sent_at.is_null());
            diesel::update(anew).set(failed).execute(connection).await?;
            // What went out before stays sent.
            let sent = ours.filter(notifications::sent_at.is_not_null());
            diesel::update(sent).set((notifications::state.eq("sent"), last)).execute(connection).await?
        }
    };
    Ok(())
}
