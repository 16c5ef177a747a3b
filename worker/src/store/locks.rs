//! Advisory locks for what has no row, or no single row, to lock. They are taken before all row locks, in one order,
//! and held until the commit.

use database::Error;
use diesel::sql_query;
use diesel::sql_types::{Array, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::RowKeys;

/// Written as `select lock(h)`, so that the locks are taken in the order of their hashes.
const TENANTS_TOGETHER: &str = "select pg_advisory_xact_lock_shared(h) from (select distinct \
    hashtextextended(n, 7241990420) as h from unnest($1) as n order by h) as hashes";
const TENANTS_ALONE: &str = "select pg_advisory_xact_lock(h) from (select distinct \
    hashtextextended(n, 7241990420) as h from unnest($1) as n order by h) as hashes";
const CREATES: &str = "select pg_advisory_xact_lock(h) from (select distinct \
    hashtextextended(n, 7241990419) as h from unnest($1) as n order by h) as hashes";

/// Locks the batch's tenants: shared with other batches, or exclusively if the batch deletes users. The locks of a
/// deletion cannot be ordered with those of other changes, and deletions are rare.
///
/// # Errors
/// See [`Error`].
pub(super) async fn hold(connection: &AsyncPgConnection, keys: &RowKeys) -> Result<(), Error> {
    let statement = if keys.deleted.is_empty() { TENANTS_TOGETHER } else { TENANTS_ALONE };
    acquire(connection, statement, keys.tenants.iter().map(Uuid::to_string).collect()).await
}

/// Locks a tenant exclusively: no batch of this tenant is then between its fold and its commit.
///
/// # Errors
/// See [`Error`].
pub async fn hold_alone(connection: &AsyncPgConnection, tenant: Uuid) -> Result<(), Error> {
    acquire(connection, TENANTS_ALONE, vec![tenant.to_string()]).await
}

/// Serializes, across batches, POSTs with the same externalId, changes that assign a unique externalId, and attempts of
/// the same POST of a group. (A constraint protects userNames. Several users may share an externalId, and several
/// groups a displayName.)
///
/// # Errors
/// See [`Error`].
pub(super) async fn creates(connection: &AsyncPgConnection, keys: &RowKeys) -> Result<(), Error> {
    let named = keys.external_ids.iter().map(|(tenant, id)| format!("{tenant} {id}"));
    acquire(connection, CREATES, named.chain(keys.group_creates.iter().cloned()).collect()).await
}

async fn acquire(
    mut connection: &AsyncPgConnection,
    statement: &'static str,
    named: Vec<String>,
) -> Result<(), Error> {
    if !named.is_empty() {
        sql_query(statement).bind::<Array<Text>, _>(named).execute(&mut connection).await?;
    }
    Ok(())
}
