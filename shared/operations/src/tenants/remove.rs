//! Removes a tenant: revokes its keys, waits for what was accepted before, deletes its rows in steps, and its dead
//! letters.

use database::schema::{api_keys, commands, pull_runs, pulls, tenants};
use database::tenants::{MAX_AGE, Tenant};
use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use platform::retry::Delays;
use serde::Serialize;

use crate::dead_letters::{self, Selection, Subject};
use crate::{Error, Operator};

/// The maximum number of rows that one transaction deletes.
const STEP: i32 = 2_000;
/// How often a step is repeated because a service wrote a row of the tenant at the same time.
const ATTEMPTS: usize = 20;

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The tenant's name.
    pub name: String,
    /// How many rows were deleted. Memberships of groups and similar details are not counted.
    pub rows: i64,
    /// How many dead letters were removed.
    pub dead_letters: u64,
}

#[derive(QueryableByName)]
struct Deleted {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// Removes a tenant with everything that is stored for it. `progress` is called with the number of rows deleted so far.
/// If it fails in the middle, the same call continues.
///
/// # Errors
/// [`Error::Late`] if accepted requests or a pull of the tenant have not ended in time. Its keys are revoked then.
pub async fn remove(
    operator: &Operator,
    tenant: &Tenant,
    mut progress: impl FnMut(i64),
) -> Result<Removed, Error> {
    // The broker is needed at the end; nothing is deleted if it is away.
    operator.link().await?;
    mark(operator, tenant).await?;
    tokio::time::sleep(MAX_AGE).await;
    let unfinished = async {
        let mut delays = Delays::reconnect();
        while is_busy(operator, tenant).await? {
            delays.pause().await;
        }
        Ok(())
    };
    let late = |_| {
        Err(Error::Late(format!(
            "the keys of {0} are revoked, but accepted requests or a pull of {0} have not ended within {1} s; nothing was deleted; \
             run the command again",
            tenant.name,
            operator.deadline.as_secs()
        )))
    };
    tokio::time::timeout(operator.deadline, unfinished).await.unwrap_or_else(late)?;
    let rows = delete(operator, tenant, &mut progress).await?;
    let (name, user, names) = (tenant.name.clone(), None, Vec::new());
    let all = Selection::About(Subject { tenant: tenant.id, tenant_name: name.clone(), user, names });
    let dead_letters = dead_letters::remove(operator, &all, |_| {}).await?;
    Ok(Removed { name, rows, dead_letters })
}

/// Marks the tenant, revokes its keys and ends its pull.
async fn mark(operator: &Operator, tenant: &Tenant) -> Result<(), Error> {
    let mut connection = operator.pool.get().await?;
    let now = operator.clock.now();
    let work = async |connection: &mut database::Connection| {
        let row = tenants::table.find(tenant.id).filter(tenants::removed_at.is_null());
        diesel::update(row).set(tenants::removed_at.eq(now)).execute(connection).await?;
        let keys =
            api_keys::table.filter(api_keys::tenant_id.eq(tenant.id).and(api_keys::revoked_at.is_null()));
        diesel::update(keys).set(api_keys::revoked_at.eq(now)).execute(connection).await?;
        diesel::delete(pulls::table.find(tenant.id)).execute(connection).await?;
        Ok::<(), Error>(())
    };
    connection.transaction(work).await
}

/// Whether asynchronous requests are queued, or a pull is running.
async fn is_busy(operator: &Operator, tenant: &Tenant) -> Result<bool, Error> {
    let mut connection = operator.pool.get().await?;
    let queued =
        commands::table.filter(commands::tenant_id.eq(tenant.id).and(commands::delivery.eq("queued")));
    let running = pull_runs::table
        .filter(pull_runs::tenant_id.eq(tenant.id).and(pull_runs::state.eq("running")))
        .filter(pull_runs::lease_until.gt(diesel::dsl::now));
    let busy = diesel::dsl::exists(queued).or(diesel::dsl::exists(running));
    Ok(diesel::select(busy).get_result(&mut connection).await?)
}

async fn delete(operator: &Operator, tenant: &Tenant, progress: &mut impl FnMut(i64)) -> Result<i64, Error> {
    let (mut total, mut failures, mut delays) = (0, 0, Delays::reconnect());
    loop {
        let mut connection = operator.pool.get().await?;
        let step = diesel::sql_query("select erase_removed_tenant($1, $2) as rows")
            .bind::<SqlUuid, _>(tenant.id)
            .bind::<Integer, _>(STEP);
        match step.get_result::<Deleted>(&mut connection).await {
            Ok(Deleted { rows: 0 }) => return Ok(total),
            Ok(Deleted { rows }) => {
                total += rows;
                progress(total);
            }
            // A service wrote a row about the tenant after its table was empty.
            Err(error) if failures < ATTEMPTS => {
                let error = database::Error::from(error);
                if matches!(error, database::Error::Unavailable(_)) {
                    return Err(error.into());
                }
                failures += 1;
                delays.pause().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
