//! Advisory locks for what has no row, or no single row, to lock. They are taken before all row locks, in one order,
//! and held until the commit.
//!
//! Each takes a place in Postgres' lock table, which all sessions share and which does not grow. A transaction takes one
//! for each of its tenants, at most `FEW` pairs for single names, or at most [`BUCKETS`] for the names of a tenant.

use database::Error;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::RowKeys;

/// A name is locked by itself in a transaction with at most this many: two transactions of a tenant then run side by
/// side, unless they have a name in common.
const FEW: usize = 16;

/// Written as `select lock(h)`, so that the locks are taken in the order of their hashes. The names are `$1`.
const TENANTS_ALONE: Statement = (
    "select pg_advisory_xact_lock(h) from (select distinct hashtextextended(n, 7241990420) as h from unnest(",
    ") as n order by h) as hashes",
);
const TENANTS_TOGETHER: Statement = (
    "select pg_advisory_xact_lock_shared(h) from (select distinct hashtextextended(n, 7241990420) as h from unnest(",
    ") as n order by h) as hashes",
);
/// Returns the tenants whose lock is not free.
const BUSY: Statement = (
    "select n from unnest(",
    ") as n where not pg_try_advisory_xact_lock_shared(hashtextextended(n, 7241990420))",
);
const NAMES: Statement = (
    "select pg_advisory_xact_lock(h) from (select distinct hashtextextended(n, 7241990419) as h from unnest(",
    ") as n order by h) as hashes",
);
/// A name begins with its tenant's id. There are 32 buckets: see [`BUCKETS`].
const BUCKETS_ALONE: Statement = (
    "select pg_advisory_xact_lock(h) from (select distinct \
     hashtextextended(left(n, 36) || ' ' || (hashtextextended(n, 0) & 31), 7241990422) as h from unnest(",
    ") as n order by h) as hashes",
);
const BUCKETS_TOGETHER: Statement = (
    "select pg_advisory_xact_lock_shared(h) from (select distinct \
     hashtextextended(left(n, 36) || ' ' || (hashtextextended(n, 0) & 31), 7241990422) as h from unnest(",
    ") as n order by h) as hashes",
);
/// The number of locks that stand for all names of a tenant.
pub const BUCKETS: usize = 32;

/// What precedes and what follows the parameter, an array of texts.
type Statement = (&'static str, &'static str);

/// How a transaction locks its tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenants {
    /// Shared with other batches. Does not wait.
    Try,
    /// Waits: shared with other batches, or exclusively if it deletes users. The locks of a deletion cannot be ordered
    /// with those of other changes, and deletions are rare.
    Wait,
}

/// Locks the batch's tenants. Returns those whose lock is not free: their rows must not be loaded.
///
/// # Errors
/// See [`Error`].
pub(super) async fn hold(
    mut connection: &AsyncPgConnection,
    keys: &RowKeys,
    how: Tenants,
) -> Result<Vec<Uuid>, Error> {
    let named: Vec<String> = keys.tenants.iter().map(Uuid::to_string).collect();
    let statement = match how {
        Tenants::Try if keys.deleted.is_empty() => {
            let busy: Vec<String> = Locks { statement: BUSY, named }.load(&mut connection).await?;
            return Ok(busy.iter().filter_map(|tenant| tenant.parse().ok()).collect());
        }
        Tenants::Wait if keys.deleted.is_empty() => TENANTS_TOGETHER,
        _ => TENANTS_ALONE,
    };
    acquire(connection, statement, named).await?;
    Ok(Vec::new())
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
/// A few names are locked one by one, each with its bucket shared. Many are locked as buckets, exclusively. Buckets
/// come first in both cases. (Version 0.1.0 locks names only, with the same keys: while it runs beside this one, a large
/// batch here and the same name there are not serialized.)
///
/// # Errors
/// See [`Error`].
pub(super) async fn creates(connection: &AsyncPgConnection, keys: &RowKeys) -> Result<(), Error> {
    let names = keys.external_ids.iter().chain(&keys.group_creates);
    let names: Vec<String> = names.map(|(tenant, name)| format!("{tenant} {name}")).collect();
    if names.len() > FEW {
        return acquire(connection, BUCKETS_ALONE, names).await;
    }
    acquire(connection, BUCKETS_TOGETHER, names).await?;
    let external_ids = keys.external_ids.iter().map(|(tenant, id)| format!("{tenant} {id}"));
    let requests = keys.group_creates.iter().map(|(_, request)| request.clone());
    acquire(connection, NAMES, external_ids.chain(requests).collect()).await
}

async fn acquire(
    mut connection: &AsyncPgConnection,
    statement: Statement,
    named: Vec<String>,
) -> Result<(), Error> {
    if !named.is_empty() {
        Locks { statement, named }.execute(&mut connection).await?;
    }
    Ok(())
}

/// A statement over an array of texts. Unlike `sql_query` it is prepared once in a session.
#[derive(Debug, Clone)]
struct Locks {
    statement: Statement,
    named: Vec<String>,
}

impl QueryFragment<Pg> for Locks {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.statement.0);
        out.push_bind_param::<Array<Text>, _>(&self.named)?;
        out.push_sql(self.statement.1);
        Ok(())
    }
}

impl QueryId for Locks {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Locks {
    type SqlType = Text;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_have_as_many_buckets_as_documented() {
        for (head, _) in [BUCKETS_ALONE, BUCKETS_TOGETHER] {
            assert!(head.contains(&format!("& {})", BUCKETS - 1)), "{head}");
        }
    }
}
