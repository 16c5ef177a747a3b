//! `notifications` as the sender's queue: claim what is due, settle the outcome. Times are computed by Postgres.

use std::time::Duration;

use database::Error;
use database::schema::notifications;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::assignments;
use super::ledger::Context;
use crate::decide::{COMPLETED, DELETED, UNSUBSCRIBED, WITHDRAWN};

/// Each rate-limited tenant has one row, which is locked to claim mail for it.
const RATE_LIMIT: &str = "insert into mail_rates (tenant_id)
  select t.id from tenants t where jsonb_typeof(t.settings->'mails_per_minute') = 'number'
    and t.settings->'mails_per_minute' <> '0' and not exists (select 1 from mail_rates p where p.tenant_id = t.id)
  on conflict do nothing";

/// Mail that is due. Optional mail does not overtake the user's first-assignment mail. (The subquery with a limit makes
/// Postgres use the index for each row.)
macro_rules! due {
    () => {
        "n.state in ('pending', 'sending') and n.due_at <= now()
           and (n.kind not in ('assignment', 'digest') or (select 1 from notifications f
             where f.user_id = n.user_id and f.kind = 'first_assignment' and f.state in ('pending', 'sending')
               and f.sent_at is null limit 1) is null)"
    };
}

/// The minimum interval between a tenant's mails; null if the tenant is not rate-limited.
macro_rules! gap {
    () => {
        "interval '60 seconds' / nullif(case when jsonb_typeof(t.settings->'mails_per_minute') = 'number'
           and t.settings->>'mails_per_minute' ~ '^[0-9]{1,10}$'
           then (t.settings->>'mails_per_minute')::float8 else 0 end, 0)"
    };
}

/// One due mail of each rate-limited tenant whose interval has passed. Higher rates than one a second are reached by
/// several queries: up to a second of unused rate is carried over.
const LIMITED: &str = concat!(
    "with chosen as (
    select d.id, p.tenant_id, p.gap
    from (select p.tenant_id, ",
    gap!(),
    " as gap from mail_rates p join tenants t on t.id = p.tenant_id
        where p.next_at <= now() order by p.next_at for update of p skip locked) p
      cross join lateral (select n.id from notifications n where n.tenant_id = p.tenant_id and ",
    due!(),
    " order by n.due_at limit 1 for update skip locked) d
    where p.gap is not null limit $1)
  update mail_rates p set next_at = greatest(p.next_at, now() - greatest(interval '1 second' - gap, interval '0')) + gap
  from chosen where chosen.tenant_id = p.tenant_id returning chosen.id"
);

/// Claims the given mails and those of tenants without a rate limit. Rows locked by another notifier are skipped.
///
/// Mail is suppressed if its user was archived or deleted or has unsubscribed, unless it was sent before. A row that is
/// still claimed when its lease ends may have been sent. The 72 hours begin with the first attempt.
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
    state = case when due.gone is null then 'sending' when n.sent_at is null then 'suppressed' else 'sent' end,
    reason = case when n.sent_at is null then due.gone end,
    attempts = n.attempts + case when due.gone is null then 1 else 0 end,
    in_doubt = n.in_doubt or n.state = 'sending',
    give_up_at = coalesce(n.give_up_at, now() + interval '72 hours'),
    due_at = now() + $4 * interval '1 second'
  from due where n.id = due.id
  returning n.id, n.tenant_id, n.user_id, n.kind, due.gone as reason, n.event_id, n.context, n.attempts,
            coalesce(n.dated_at, n.decided_at) as dated_at, n.give_up_at <= now() as is_last,
            due.tenant, due.settings, due.locale, due.timezone,
            due.given_name, due.family_name, due.display_name, due.user_name, due.email"
);

/// Mail that is suppressed does not count against the rate limit.
const GIVE_BACK: &str = "update mail_rates set next_at = now() where tenant_id = any($1)";

/// A mail of a rate-limited tenant.
#[derive(QueryableByName)]
struct Chosen {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

/// A mail claimed by this notifier, or suppressed while claiming.
#[derive(Clone, QueryableByName)]
pub struct Claim {
    /// The row's id.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    /// Whose.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub tenant_id: Uuid,
    /// The recipient's id.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub user_id: Uuid,
    /// Its kind.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// Why it was suppressed, if it was.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// The id of the event that caused it.
    #[diesel(sql_type = Text)]
    pub event_id: String,
    /// Its content, see [`super::ledger::Context`].
    #[diesel(sql_type = Jsonb)]
    pub context: Value,
    /// The number of attempts, including this one.
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// The original due time, used as the Date header.
    #[diesel(sql_type = Timestamptz)]
    pub dated_at: OffsetDateTime,
    /// Whether this is the last attempt, because the time for retries is over.
    #[diesel(sql_type = Bool)]
    pub is_last: bool,
    /// The tenant's name.
    #[diesel(sql_type = Text)]
    pub tenant: String,
    /// What the tenant chose, see [`domain::settings::Settings`].
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

/// The user's attributes. Not `Debug`, because they are personal data.
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
    /// The recipient.
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

/// Claims at most `limit` mails that are due, for the duration of `lease`, within the tenants' rate limits. Assignments
/// completed before the first attempt are removed.
///
/// # Errors
/// See [`Error`].
pub async fn claim(
    connection: &mut AsyncPgConnection,
    limit: i64,
    lease: Duration,
) -> Result<Vec<Claim>, Error> {
    let claim = async |connection: &mut AsyncPgConnection| {
        diesel::sql_query(RATE_LIMIT).execute(connection).await?;
        let limited = diesel::sql_query(LIMITED).bind::<BigInt, _>(limit);
        let limited: Vec<Uuid> =
            limited.get_results::<Chosen>(connection).await?.into_iter().map(|chosen| chosen.id).collect();
        // `limited` has at most `limit` rows.
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

/// Removes completed assignments from mails that have not been tried yet, and suppresses those that become empty.
async fn leave_out_completed(connection: &mut AsyncPgConnection, claims: &mut [Claim]) -> Result<(), Error> {
    let new = |claim: &&mut Claim| claim.attempts == 1 && claim.reason.is_none();
    let mut said: Vec<(&mut Claim, Context)> = claims
        .iter_mut()
        .filter(new)
        // An invalid context is reported when the mail is built.
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

/// The outcome of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Sent.
    Sent(OffsetDateTime),
    /// Not sent; retry after this pause.
    Again(Duration),
    /// Outcome unknown; retry after this pause.
    Unknown(Duration),
    /// Given up, for this reason.
    Failed(String),
}

/// How an attempt ended, as stored in the ledger.
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

/// Records the outcome of a claim. If the lease has expired and another notifier has claimed the row, only success is
/// recorded.
///
/// # Errors
/// See [`Error`].
pub async fn settle(
    connection: &mut AsyncPgConnection,
    claim: &Claim,
    settlement: &Settlement,
    attempt: &Attempt,
) -> Result<(), Error> {
    let row = notifications::table.find(claim.id).filter(notifications::state.eq("sending"));
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
            // Mail that was sent before keeps the state `sent`.
            let sent = ours.filter(notifications::sent_at.is_not_null());
            diesel::update(sent).set((notifications::state.eq("sent"), last)).execute(connection).await?
        }
    };
    Ok(())
}
