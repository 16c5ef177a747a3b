//! What a tenant may send to `POST /events`: a number of events per second, and a number that wait for unknown users.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use amqp::Link;
use database::schema::{parked_events, users};
use database::tenants::Tenant;
use database::{Error, Pool};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tracing::debug;
use uuid::Uuid;

use crate::event_backlog::EventBacklog;
use crate::http::response::Refusal;
use crate::rate_limit::{Rate, RateLimits};

/// The maximum number of events in one request.
pub const MAX_EVENTS: u32 = 1_000;
/// The maximum number of tenants whose rates are tracked.
const MAX_RATES: usize = 100_000;
/// How long the number of a tenant's parked events is believed.
const BELIEVED: Duration = Duration::from_secs(2);
/// The pause that is asked for when too many events wait for unknown users.
const LATER: Duration = Duration::from_secs(60);

/// Admits events.
pub struct EventIntake {
    rates: RateLimits<Uuid>,
    backlog: EventBacklog,
    /// Whether a tenant has as many parked events as it may, and when that was read.
    full: Mutex<HashMap<Uuid, (Instant, bool)>>,
}

impl EventIntake {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(link: Link) -> Self {
        let backlog = EventBacklog::new(link);
        Self { rates: RateLimits::new(MAX_RATES), backlog, full: Mutex::default() }
    }

    /// Counts a request's events against the tenant's limits. `users` are those that its content events are about.
    ///
    /// # Errors
    /// 429 that names the limit; nothing is counted.
    pub async fn admit(
        &self,
        pool: &Pool,
        tenant: &Tenant,
        count: usize,
        users: &[Uuid],
    ) -> Result<(), Refusal> {
        let limits = &tenant.settings.limits;
        // Without Postgres nothing is parked either.
        let unknown = self.unknown(pool, tenant, users).await.unwrap_or_else(|error| {
            debug!(%error, "failed to count the parked events of a tenant");
            None
        });
        if let Some(user) = unknown {
            let reached = limits.parked_events_max();
            let detail = format!(
                "{reached}: too many events wait for unknown users; data.user.id: no such user: {user}; no event was accepted"
            );
            return Err(Refusal::try_again_in(LATER, detail));
        }
        let per_second = limits.events_per_second.get();
        let rate =
            Rate { burst: per_second.saturating_mul(2).max(MAX_EVENTS), ..Rate::per_second(per_second) };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.rates.acquire_many(tenant.id, count, rate, Instant::now()).map_err(|wait| {
            let reached = limits.events_per_second();
            Refusal::try_again_in(wait, format!("{reached}; no event was accepted; try again"))
        })?;
        let queued = limits.events_queued_max();
        let content = u64::try_from(users.len()).unwrap_or(u64::MAX);
        if !self.backlog.admit(tenant.id, content, queued.value.into()).await {
            let detail =
                format!("{queued}: earlier events wait for a notifier; no event was accepted; try again");
            return Err(Refusal::try_again(detail));
        }
        Ok(())
    }

    /// If the tenant has as many parked events as it may: one of these users who does not exist.
    async fn unknown(&self, pool: &Pool, tenant: &Tenant, users: &[Uuid]) -> Result<Option<Uuid>, Error> {
        if users.is_empty() || !self.is_full(pool, tenant).await? {
            return Ok(None);
        }
        let known = users::table.filter(users::tenant_id.eq(tenant.id)).filter(users::id.eq_any(users));
        let known: Vec<Uuid> =
            pool.bounded(async |connection| Ok(known.select(users::id).load(connection).await?)).await?;
        Ok(users.iter().find(|user| !known.contains(user)).copied())
    }

    async fn is_full(&self, pool: &Pool, tenant: &Tenant) -> Result<bool, Error> {
        let id = tenant.id;
        let known = self.full().get(&id).copied();
        if let Some((_, is_full)) = known.filter(|(at, _)| at.elapsed() < BELIEVED) {
            return Ok(is_full);
        }
        let most = i64::from(tenant.settings.limits.parked_events_max.get());
        let own = parked_events::table.filter(parked_events::tenant_id.eq(id));
        let last = own.select(parked_events::id).offset(most - 1).limit(1);
        let read = async |connection: &mut AsyncPgConnection| {
            Ok(last.load::<String>(connection).await?.pop().is_some())
        };
        let is_full = pool.bounded(read).await?;
        let mut full = self.full();
        full.retain(|_, (at, _)| at.elapsed() < BELIEVED);
        full.insert(id, (Instant::now(), is_full));
        Ok(is_full)
    }
    fn full(&self) -> MutexGuard<'_, HashMap<Uuid, (Instant, bool)>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
