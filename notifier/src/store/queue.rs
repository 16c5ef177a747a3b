//! `notifications` as the sender's queue: claim what is due, settle what became of it. Times are Postgres' own.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::Value;
use shared::postgres::Error;
use shared::postgres::schema::notifications;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::decide::{ARCHIVED, DELETED, UNSUBSCRIBED};

/// Rows that another notifier is claiming are skipped, not waited for. What its person cannot get, or does not want, any more is suppressed.
const CLAIM: &str = "with due as (
    select n.id, u.given_name, u.family_name, u.display_name, u.user_name, u.email, u.locale, u.timezone,
           t.name as tenant, t.settings,
           case when u.id is null then $1 when u.archived_at is not null then $2
                when n.kind in ('assignment', 'digest') and exists (select 1 from unsubscribed o
                  where o.tenant_id = n.tenant_id and o.user_id = n.user_id) then $6 end as gone
    from notifications n join tenants t on t.id = n.tenant_id
      left join users u on u.id = n.user_id and u.tenant_id = n.tenant_id
    where n.state in ('pending', 'claimed') and n.due_at <= now() and n.tenant_id <> all($5)
    order by n.due_at limit $3
    for update of n skip locked)
  update notifications n set
    state = case when due.gone is null then 'claimed' else 'suppressed' end,
    reason = due.gone,
    attempts = n.attempts + case when due.gone is null then 1 else 0 end,
    due_at = now() + $4 * interval '1 second'
  from due where n.id = due.id
  returning n.id, n.tenant_id, n.user_id, n.kind, n.reason, n.event_id, n.context, n.attempts, n.decided_at,
            coalesce(n.give_up_at, n.decided_at + interval '72 hours') <= now() as is_last,
            due.tenant, due.settings, due.locale, due.timezone,
            due.given_name, due.family_name, due.display_name, due.user_name, due.email";

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
    /// When it was decided: its Date.
    #[diesel(sql_type = Timestamptz)]
    pub decided_at: OffsetDateTime,
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

/// Claims at most `limit` mails that are due, for as long as `lease`; none of the tenants in `paused`.
///
/// # Errors
/// See [`Error`].
pub async fn claim(
    connection: &mut AsyncPgConnection,
    limit: i64,
    lease: Duration,
    paused: &[Uuid],
) -> Result<Vec<Claim>, Error> {
    let claim = diesel::sql_query(CLAIM)
        .bind::<Text, _>(DELETED)
        .bind::<Text, _>(ARCHIVED)
        .bind::<BigInt, _>(limit)
        .bind::<Double, _>(lease.as_secs_f64())
        .bind::<Array<diesel::sql_types::Uuid>, _>(paused)
        .bind::<Text, _>(UNSUBSCRIBED);
    Ok(claim.get_results(connection).await?)
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was sent.
    Sent(OffsetDateTime),
    /// It was not sent: again after this pause.
    Again(Duration),
    /// Nobody knows whether it was sent: it stays claimed for this long, then it is sent again.
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
            diesel::update(ours).set((due(pause), last)).execute(connection).await?
        }
        Settlement::Failed(reason) => {
            let failed = (notifications::state.eq("failed"), notifications::reason.eq(reason), last);
            diesel::update(ours).set(failed).execute(connection).await?
        }
    };
    Ok(())
}
