//! `key_mails`: mail to tenants' contacts about API keys that expire. Times are computed by Postgres.

use std::time::Duration;

use database::Error;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Bool, Double, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Decides to send mail about the warnings of the last three days whose tenants have a contact. The row makes that once
/// per warning, whatever the number of notifiers.
const DECIDE: &str = "insert into key_mails (key_id, days, state, due_at, dated_at, give_up_at)
    select w.key_id, w.days, 'pending', now(), now(), now() + interval '72 hours'
    from key_warnings w join api_keys k on k.id = w.key_id join tenants t on t.id = k.tenant_id
    where w.warned_at > now() - interval '72 hours' and k.revoked_at is null and k.expires_at > now()
        and coalesce(t.settings->>'contact', '') <> ''
        and not exists (select from key_mails m where m.key_id = w.key_id and m.days = w.days)
    order by w.key_id, w.days limit 100
    on conflict do nothing";

/// Leases the mail that has been due longest. One whose key was revoked since is given up.
const LEASE: &str = "with due as (
        select m.key_id, m.days from key_mails m where m.state = 'pending' and m.due_at <= now()
        order by m.due_at limit 1 for update skip locked
    )
    update key_mails m set due_at = now() + $1 * interval '1 second', attempts = m.attempts + 1
    from due join api_keys k on k.id = due.key_id join tenants t on t.id = k.tenant_id
        left join key_uses u on u.key_id = k.id
    where m.key_id = due.key_id and m.days = due.days
    returning m.key_id, m.days, m.attempts, m.dated_at, m.give_up_at <= now() as is_last,
        k.revoked_at is not null as is_revoked, k.tenant_id, k.prefix, k.scopes,
        coalesce(k.expires_at, now()) as expires_at, u.last_used_at, t.name as tenant, t.settings";

/// `$3` is null after a mail was sent; `$4` is null if there is no further attempt.
const RECORD: &str = "update key_mails set
        state = case when $3 is null then 'sent' when $4 is null then 'failed' else 'pending' end,
        sent_at = case when $3 is null then now() end, reason = $3,
        due_at = now() + coalesce($4, 0) * interval '1 second'
    where key_id = $1 and days = $2 and state = 'pending'";

/// A mail leased by this notifier.
#[derive(QueryableByName)]
pub struct LeasedNotice {
    /// The key's id.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub key_id: Uuid,
    /// Which warning.
    #[diesel(sql_type = SmallInt)]
    pub days: i16,
    /// The number of attempts, including this one.
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// The Date header.
    #[diesel(sql_type = Timestamptz)]
    pub dated_at: OffsetDateTime,
    /// Whether this is the last attempt, because the time for retries is over.
    #[diesel(sql_type = Bool)]
    pub is_last: bool,
    /// Whether the key was revoked, so that no mail is needed.
    #[diesel(sql_type = Bool)]
    pub is_revoked: bool,
    /// The tenant's id.
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub tenant_id: Uuid,
    /// The key's public part.
    #[diesel(sql_type = Text)]
    pub prefix: String,
    /// The key's scopes.
    #[diesel(sql_type = Array<Text>)]
    pub scopes: Vec<String>,
    /// When the key expires.
    #[diesel(sql_type = Timestamptz)]
    pub expires_at: OffsetDateTime,
    /// When the key was used last.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_used_at: Option<OffsetDateTime>,
    /// The tenant's name.
    #[diesel(sql_type = Text)]
    pub tenant: String,
    /// The tenant's settings.
    #[diesel(sql_type = Jsonb)]
    pub settings: Value,
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub enum NoticeResult {
    /// The mail server accepted it.
    Sent,
    /// It will be tried again after this time; the reason contains no personal data.
    Again(String, Duration),
    /// It was given up.
    Failed(String),
}

/// Decides about new warnings, and leases one mail that is due, for this time.
///
/// # Errors
/// See [`Error`].
pub async fn lease(
    connection: &mut AsyncPgConnection,
    lease: Duration,
) -> Result<Option<LeasedNotice>, Error> {
    sql_query(DECIDE).execute(connection).await?;
    let leased = sql_query(LEASE).bind::<Double, _>(lease.as_secs_f64()).get_result(connection).await;
    Ok(leased.optional()?)
}

/// Records how an attempt ended.
///
/// # Errors
/// See [`Error`].
pub async fn record(
    connection: &mut AsyncPgConnection,
    notice: &LeasedNotice,
    result: &NoticeResult,
) -> Result<(), Error> {
    let (reason, pause) = match result {
        NoticeResult::Sent => (None, None),
        NoticeResult::Again(reason, pause) => (Some(reason.as_str()), Some(pause.as_secs_f64())),
        NoticeResult::Failed(reason) => (Some(reason.as_str()), None),
    };
    sql_query(RECORD)
        .bind::<diesel::sql_types::Uuid, _>(notice.key_id)
        .bind::<SmallInt, _>(notice.days)
        .bind::<Nullable<Text>, _>(reason)
        .bind::<Nullable<Double>, _>(pause)
        .execute(connection)
        .await?;
    Ok(())
}
