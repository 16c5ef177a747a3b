//! The number of a tenant's users, against its limit `users_max`. It is counted rarely: between two counts, creates are
//! added. A create of a user who exists already, archived or not, is never refused here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use database::schema::users;
use database::tenants::Tenant;
use database::{Error, Pool};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::command::Change;
use scim::user_name_key;
use tracing::debug;
use uuid::Uuid;

/// How long a count is believed: far from the limit, near it (nine tenths), and beyond it.
const FAR: Duration = Duration::from_secs(600);
const NEAR: Duration = Duration::from_secs(60);
const BEYOND: Duration = Duration::from_secs(2);

/// The counts of the tenants that created users here.
#[derive(Default)]
pub struct Headcounts(Mutex<HashMap<Uuid, Count>>);

/// The users of a tenant.
#[derive(Clone, Copy, Debug)]
struct Count {
    users: u64,
    counted_at: Instant,
}

impl Count {
    /// Whether it is to be counted again.
    fn is_stale(self, most: u64, now: Instant) -> bool {
        let believed = match self.users {
            users if users >= most => BEYOND,
            users if users >= most / 10 * 9 => NEAR,
            _ => FAR,
        };
        now.saturating_duration_since(self.counted_at) >= believed
    }
}

impl Headcounts {
    /// Counts a change that may create a user.
    ///
    /// # Errors
    /// 403 that names the limit, for a new user beyond it.
    pub async fn admit(&self, pool: &Pool, tenant: &Tenant, change: &Change) -> Result<(), scim::Error> {
        let Change::CreateUser { user, .. } = change else { return Ok(()) };
        let limits = &tenant.settings.limits;
        let most = u64::from(limits.users_max.get());
        let is_beyond = async {
            if self.has_room(pool, tenant.id, most).await? {
                return Ok(false);
            }
            exists(pool, tenant.id, user.user_name()).await.map(|exists| !exists)
        };
        // Without Postgres nobody is created either.
        let is_beyond = is_beyond.await.unwrap_or_else(|error: Error| {
            debug!(%error, "failed to count the users of a tenant");
            false
        });
        if is_beyond {
            let detail = format!("{}: the tenant cannot have more users", limits.users_max());
            return Err(scim::Error::new(403, None, detail));
        }
        Ok(())
    }

    /// Whether the tenant can have another user, who is then counted.
    async fn has_room(&self, pool: &Pool, tenant: Uuid, most: u64) -> Result<bool, Error> {
        if self.begins_count(tenant, most, Instant::now()) {
            match pool.bounded(async |connection| count(connection, tenant).await).await {
                Ok(users) => drop(self.counts().insert(tenant, Count { users, counted_at: Instant::now() })),
                Err(error) => {
                    self.counts().remove(&tenant);
                    return Err(error);
                }
            }
        }
        let mut counts = self.counts();
        let Some(count) = counts.get_mut(&tenant) else { return Ok(true) };
        if count.users >= most {
            return Ok(false);
        }
        count.users += 1;
        Ok(true)
    }

    /// Whether the users are to be counted now. Others go on with the earlier number meanwhile.
    fn begins_count(&self, tenant: Uuid, most: u64, now: Instant) -> bool {
        let mut counts = self.counts();
        let Some(count) = counts.get_mut(&tenant) else {
            counts.insert(tenant, Count { users: 0, counted_at: now });
            return true;
        };
        let is_stale = count.is_stale(most, now);
        if is_stale {
            count.counted_at = now;
        }
        is_stale
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Uuid, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn count(connection: &mut AsyncPgConnection, tenant: Uuid) -> Result<u64, Error> {
    let count: i64 = users::table.filter(users::tenant_id.eq(tenant)).count().get_result(connection).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

async fn exists(pool: &Pool, tenant: Uuid, user_name: &str) -> Result<bool, Error> {
    let own = users::table.filter(users::tenant_id.eq(tenant));
    let own = own.filter(users::user_name_key.eq(user_name_key(user_name))).select(users::id);
    let read = async |connection: &mut AsyncPgConnection| {
        Ok(own.first::<Uuid>(connection).await.optional()?.is_some())
    };
    pool.bounded(read).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_counted_again_sooner_near_the_limit() {
        let counted_at = Instant::now();
        for (users, believed) in
            [(10, FAR), (899, FAR), (900, NEAR), (999, NEAR), (1_000, BEYOND), (2_000, BEYOND)]
        {
            let count = Count { users, counted_at };
            assert!(!count.is_stale(1_000, counted_at + believed / 2), "{users}");
            assert!(count.is_stale(1_000, counted_at + believed), "{users}");
        }
    }
}
