//! Locks on what has no row to be locked, or no one row: taken before all others, in one order, until the commit.
//!
//! Before: what a batch touches, or an operator's change of a schema. After: `load`.

use diesel::sql_query;
use diesel::sql_types::{Array, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::postgres::Error;
use uuid::Uuid;

use super::Keys;

/// In the form `select lock(h)`, so that the locks are taken in the order of their hashes.
const TENANTS_TOGETHER: &str = "select pg_advisory_xact_lock_shared(h) from (select distinct \
    hashtextextended(n, 7241990420) as h from unnest($1) as n order by h) as hashes";
const TENANTS_ALONE: &str = "select pg_advisory_xact_lock(h) from (select distinct \
    hashtextextended(n, 7241990420) as h from unnest($1) as n order by h) as hashes";
const CREATES: &str = "select pg_advisory_xact_lock(h) from (select distinct \
    hashtextextended(n, 7241990419) as h from unnest($1) as n order by h) as hashes";

/// Holds the batch's tenants: beside other batches, or alone where it deletes people. What a deletion touches cannot be
/// brought into one order with what others lock, and it is seldom.
///
/// # Errors
/// See [`Error`].
pub(super) async fn hold(connection: &AsyncPgConnection, keys: &Keys) -> Result<(), Error> {
    let statement = if keys.deleted.is_empty() { TENANTS_TOGETHER } else { TENANTS_ALONE };
    take(connection, statement, keys.tenants.iter().map(Uuid::to_string).collect()).await
}

/// Holds a tenant alone: no batch that concerns it is between its folding and its commit.
///
/// # Errors
/// See [`Error`].
pub async fn hold_alone(connection: &AsyncPgConnection, tenant: Uuid) -> Result<(), Error> {
    take(connection, TENANTS_ALONE, vec![tenant.to_string()]).await
}

/// Of several POSTs with one externalId one comes after the other, in whichever batches they are, of several changes that claim
/// one where they are unique, and of several tries of one POST of a group. (A userName has a constraint that sees to it; an
/// externalId is the client's own, and may be that of many people; a displayName that of many groups.)
///
/// # Errors
/// See [`Error`].
pub(super) async fn creates(connection: &AsyncPgConnection, keys: &Keys) -> Result<(), Error> {
    let named = keys.external_ids.iter().map(|(tenant, id)| format!("{tenant} {id}"));
    take(connection, CREATES, named.chain(keys.group_creates.iter().cloned()).collect()).await
}

async fn take(
    mut connection: &AsyncPgConnection,
    statement: &'static str,
    named: Vec<String>,
) -> Result<(), Error> {
    if !named.is_empty() {
        sql_query(statement).bind::<Array<Text>, _>(named).execute(&mut connection).await?;
    }
    Ok(())
}
