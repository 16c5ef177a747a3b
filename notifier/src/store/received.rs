//! `received_events`: each event takes effect once. Kept for 30 days.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::postgres::Error;
use shared::postgres::schema::received_events as received;
use uuid::Uuid;

/// Tenant, source and id: what makes an event one.
pub type Key = (Uuid, String, String);

/// Notes events as taken; returns those that were not yet.
///
/// # Errors
/// See [`Error`].
pub async fn insert(connection: &mut AsyncPgConnection, mut keys: Vec<Key>) -> Result<HashSet<Key>, Error> {
    // In one order everywhere: two batches with the same events must not wait for each other.
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

/// Forgets that an event was taken, so that it can be taken again.
///
/// # Errors
/// See [`Error`].
pub async fn forget(connection: &mut AsyncPgConnection, key: &Key) -> Result<(), Error> {
    let (tenant, source, id) = key;
    diesel::delete(received::table.find((tenant, source, id))).execute(connection).await?;
    Ok(())
}

/// Whether Postgres takes writes, and the schema is there as we know it (a notifier may be newer, until the workers have brought it up
/// to date): writes a row that is no event's.
///
/// # Errors
/// See [`Error`].
pub async fn probe(connection: &mut AsyncPgConnection, tenant: Uuid) -> Result<(), Error> {
    let write = diesel::sql_query(
        "insert into received_events (tenant_id, source, id)
         select $1, 'urn:rollcall:probe', 'probe' where not exists
           (select a.grade_pending, n.in_doubt, n.dated_at from users, assignments a, notifications n, parked_events, unsubscribed, mail_pace
            where false)
         on conflict (tenant_id, source, id) do update set received_at = now()",
    );
    write.bind::<diesel::sql_types::Uuid, _>(tenant).execute(connection).await?;
    Ok(())
}

/// Deletes some of what is older than it has to be kept; returns how many rows that were.
///
/// # Errors
/// See [`Error`].
pub async fn delete_old(connection: &mut AsyncPgConnection) -> Result<usize, Error> {
    // In pieces: a long delete would hold its locks for as long.
    let old = diesel::sql_query(
        "delete from received_events where ctid = any(array(
           select ctid from received_events where received_at < now() - interval '30 days' limit 5000))",
    );
    Ok(old.execute(connection).await?)
}
