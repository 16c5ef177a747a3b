//! `received_events`: deduplication keys, so that each event takes effect once. Kept for 30 days.

use std::collections::HashSet;

use database::Error;
use database::schema::received_events as received;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

/// An event's deduplication key: tenant, source and id.
pub type Key = (Uuid, String, String);

/// Inserts deduplication keys; returns those that are new.
///
/// # Errors
/// See [`Error`].
pub async fn insert(connection: &mut AsyncPgConnection, mut keys: Vec<Key>) -> Result<HashSet<Key>, Error> {
    // Always in the same order, so that two batches with the same events do not deadlock.
    keys.sort_unstable();
    keys.dedup();
    let rows: Vec<_> = keys
        .iter()
        .map(|(tenant, source, id)| {
            (received::tenant_id.eq(tenant), received::source.eq(source), received::id.eq(id))
        })
        .collect();
    let fresh = diesel::insert_into(received::table).values(&rows).on_conflict_do_nothing().returning((
        received::tenant_id,
        received::source,
        received::id,
    ));
    Ok(fresh.get_results(connection).await?.into_iter().collect())
}

/// Deletes the key of an event, so that it can be applied again.
///
/// # Errors
/// See [`Error`].
pub async fn forget(connection: &mut AsyncPgConnection, key: &Key) -> Result<(), Error> {
    let (tenant, source, id) = key;
    diesel::delete(received::table.find((tenant, source, id))).execute(connection).await?;
    Ok(())
}

/// Tests whether Postgres accepts writes and has the schema that this version expects (a notifier may be newer than the
/// schema until the workers migrate it). Writes a row that belongs to no event.
///
/// # Errors
/// See [`Error`].
pub async fn probe(connection: &mut AsyncPgConnection, tenant: Uuid) -> Result<(), Error> {
    let write = diesel::sql_query(
        "insert into received_events (tenant_id, source, id)
         select $1, 'urn:rollcall:probe', 'probe' where not exists
           (select a.grade_pending, n.in_doubt, n.dated_at from users, assignments a, notifications n, parked_events, unsubscribed, mail_rates, erasures
            where false)
         on conflict (tenant_id, source, id) do update set received_at = now()",
    );
    write.bind::<diesel::sql_types::Uuid, _>(tenant).execute(connection).await?;
    Ok(())
}

/// Deletes some expired rows; returns how many.
///
/// # Errors
/// See [`Error`].
pub async fn delete_old(connection: &mut AsyncPgConnection) -> Result<usize, Error> {
    // In batches, because one long delete would hold its locks for a long time.
    let old = diesel::sql_query(
        "delete from received_events where ctid = any(array(
           select ctid from received_events where received_at < now() - interval '30 days' limit 5000))",
    );
    Ok(old.execute(connection).await?)
}
