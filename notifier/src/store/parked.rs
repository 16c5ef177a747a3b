//! `parked_events`: events about unknown users.

use database::schema::parked_events as parked;
use database::{Error, Rows};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::received::Key;

const UPSERT: &str = "insert into parked_events (tenant_id, source, id, user_id, event, attempts, parked_at, due_at)
  select tenant_id, source, id, user_id, event, attempts, parked_at, due_at from input order by tenant_id, source, id
  on conflict (tenant_id, source, id) do update set attempts = excluded.attempts, due_at = excluded.due_at";

const WAKE: &str = "update parked_events p set due_at = now() from input
  where p.tenant_id = input.tenant_id and p.user_id = input.user_id";

/// A row of `parked_events`; the columns are documented in the database.
#[derive(Debug, Clone, Serialize, Queryable, Selectable)]
#[diesel(table_name = parked, check_for_backend(diesel::pg::Pg))]
pub struct ParkedRow {
    /// The tenant's id.
    pub tenant_id: Uuid,
    /// The event's source; with the tenant and `id` the deduplication key.
    pub source: String,
    /// See `source`.
    pub id: String,
    /// The user that the event waits for.
    pub user_id: Uuid,
    /// The event as received.
    pub event: Value,
    /// The number of attempts since it was parked.
    pub attempts: i32,
    /// When it was parked.
    #[serde(with = "time::serde::rfc3339")]
    pub parked_at: OffsetDateTime,
    /// When the next attempt is due.
    #[serde(with = "time::serde::rfc3339")]
    pub due_at: OffsetDateTime,
}

impl ParkedRow {
    /// The event's deduplication key.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.tenant_id, self.source.clone(), self.id.clone())
    }
}

/// Parks events. For events that are parked already, updates the attempt count and the due time.
///
/// # Errors
/// See [`Error`].
pub async fn upsert(connection: &mut AsyncPgConnection, rows: &[ParkedRow]) -> Result<(), Error> {
    Rows::new("parked_events", rows, UPSERT)?.execute(connection).await?;
    Ok(())
}

/// A user whose parked events are to be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Awaited {
    /// The tenant.
    pub tenant_id: Uuid,
    /// The user.
    pub user_id: Uuid,
}

/// Makes the parked events of these users due now.
///
/// # Errors
/// See [`Error`].
pub async fn wake(connection: &mut AsyncPgConnection, users: &[Awaited]) -> Result<(), Error> {
    Rows::new("parked_events", users, WAKE)?.execute(connection).await?;
    Ok(())
}

/// Locks the event that has been due longest, skipping rows that another notifier has locked. Events that are due at
/// the same time are processed in the order in which they were parked.
///
/// # Errors
/// See [`Error`].
pub async fn lock_due(connection: &mut AsyncPgConnection) -> Result<Option<ParkedRow>, Error> {
    let due = parked::table
        .filter(parked::due_at.le(diesel::dsl::now))
        .order((parked::due_at, parked::parked_at))
        .select(ParkedRow::as_select())
        .for_update()
        .skip_locked();
    Ok(due.first(connection).await.optional()?)
}

/// Locks the events of a tenant that have been parked longest, as many as it has more than it may, but at most `limit`.
///
/// # Errors
/// See [`Error`].
pub async fn lock_surplus(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    most: i64,
    limit: i64,
) -> Result<Vec<ParkedRow>, Error> {
    let own = parked::table.filter(parked::tenant_id.eq(tenant));
    let count: i64 = own.count().get_result(connection).await?;
    if count <= most {
        return Ok(Vec::new());
    }
    let oldest = own.order(parked::parked_at).limit(limit.min(count - most)).select(ParkedRow::as_select());
    Ok(oldest.for_update().skip_locked().load(connection).await?)
}

/// Removes a parked event.
///
/// # Errors
/// See [`Error`].
pub async fn delete(connection: &mut AsyncPgConnection, key: &Key) -> Result<(), Error> {
    let (tenant, source, id) = key;
    diesel::delete(parked::table.find((tenant, source, id))).execute(connection).await?;
    Ok(())
}

/// Postpones a parked event by a minute.
///
/// # Errors
/// See [`Error`].
pub async fn postpone(connection: &mut AsyncPgConnection, key: &Key) -> Result<(), Error> {
    let (tenant, source, id) = key;
    let later = diesel::dsl::sql::<diesel::sql_types::Timestamptz>("now() + interval '1 minute'");
    let set = (parked::due_at.eq(later), parked::attempts.eq(parked::attempts + 1));
    diesel::update(parked::table.find((tenant, source, id))).set(set).execute(connection).await?;
    Ok(())
}
