//! Pulls from Okta's API the attributes that SCIM does not carry, on a schedule and on request, and reconciles the
//! users with the Okta group.
//!
//! [`schedule`] computes when pulls are due, [`store`] leases runs, [`run`] reads page after page from the [`provider`]
//! (with the retries of `retry`), taking turns for a [`place`]. The only provider so far is [`okta`]. [`provider_user`] maps its users to the pulled
//! attributes, [`matching`] matches them to accounts, and [`reconciliation`] finds missing users. Changes are commands
//! in the bulk queue.

mod elements;
mod headers;
pub mod matching;
pub mod okta;
pub mod page;
pub mod place;
pub mod provider;
pub mod provider_user;
mod quota;
pub mod reconciliation;
mod retry;
pub mod run;
pub mod schedule;
pub mod stop_reason;
pub mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqp::{Link, Publisher};
use database::Pool;
use database::pulls::RunRow;
use domain::ticket::TicketClock;
use platform::clock::Clock;
use platform::secret::SecretKey;
use platform::shutdown;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};
use uuid::Uuid;

use place::{Place, Places};
use run::{Dependencies, Run};
use schedule::{Times, slot};
use stop_reason::StopReason;
use store::{Lease, Store};

/// How often to check for due runs.
const TICK: Duration = Duration::from_secs(1);
/// The maximum number of runs that read or process a page at the same time.
const AT_ONCE: usize = 8;
/// The maximum number of runs in this process, most of which wait or rest. A tenant has one at a time.
const OPEN: usize = 256;
/// How often a lease is renewed. It lasts three times as long.
const RENEW: Duration = Duration::from_secs(5);
/// How long a lease is trusted after its last renewal, by our own clock.
const LEASE: Duration = Duration::from_secs(12);
/// How long shutdown waits for running pulls.
const FINISH: Duration = Duration::from_secs(5);
/// How long a run is left to other processes if it cannot continue here: its token cannot be decrypted, or Postgres
/// failed.
const LEFT: Duration = Duration::from_secs(5);
/// How long a left run is remembered. If it fails again here within this time, no other process could continue it.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The pulls of this process.
pub struct Pulls {
    dependencies: Arc<Dependencies>,
    times: Times,
    left: Arc<Left>,
    /// A permit for each run.
    permits: Arc<Semaphore>,
    places: Places,
    under_way: TaskTracker,
}

impl Pulls {
    /// Creates the pulls; [`Pulls::run`] starts them.
    #[must_use]
    pub fn new(pool: Pool, link: Link, key: SecretKey, times: Times, clock: Clock) -> Self {
        let dependencies = Dependencies {
            store: Store(pool.clone()),
            pool,
            publisher: Publisher::new(link),
            key,
            tickets: TicketClock::new(clock.clone()),
            clock,
        };
        Self {
            dependencies: Arc::new(dependencies),
            times,
            left: Arc::default(),
            permits: Arc::new(Semaphore::new(OPEN)),
            places: Places::new(AT_ONCE),
            under_way: TaskTracker::new(),
        }
    }

    /// Runs due pulls until `stop`. Running pulls are then released, and another process or the next start continues
    /// them.
    pub async fn run(self, stop: CancellationToken) {
        let mut is_well = true;
        while shutdown::pause(&stop, TICK).await {
            let looked = self.look(&stop).await;
            if let Err(error) = &looked
                && is_well
            {
                warn!(%error, "failed to check for due pulls");
            }
            is_well = looked.is_ok();
        }
        self.under_way.close();
        if timeout(FINISH, self.under_way.wait()).await.is_err() {
            warn!("stopped before all pulls were released; they resume when their leases expire");
        }
    }

    /// Plans due runs, and takes one, or as many as there are free places: other processes can take the rest.
    async fn look(&self, stop: &CancellationToken) -> Result<(), database::Error> {
        if let Some(due) = self.times.last(self.dependencies.clock.now()) {
            self.dependencies.store.plan(&slot(due), due).await?;
        }
        for _ in 0..self.places.free().max(1) {
            let Ok(permit) = self.permits.clone().try_acquire_owned() else { break };
            let Some((row, lease)) =
                self.dependencies.store.lease_next(self.dependencies.clock.now(), &self.left.now()).await?
            else {
                break;
            };
            let (dependencies, left, stop) =
                (self.dependencies.clone(), self.left.clone(), stop.child_token());
            let place = self.places.none_yet();
            self.under_way.spawn(async move {
                keep(&dependencies, &left, row, lease, place, stop).await;
                drop(permit);
            });
        }
        Ok(())
    }
}

/// The runs that this process could not continue, and when it found out.
#[derive(Default)]
struct Left(Mutex<HashMap<Uuid, Instant>>);

impl Left {
    /// The runs that are left to other processes now.
    fn now(&self) -> Vec<Uuid> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|_, since| since.elapsed() < REMEMBERED);
        left.iter().filter(|(_, since)| since.elapsed() < LEFT).map(|(run, _)| *run).collect()
    }

    /// Leaves a run to other processes. Returns false if it was left recently: no other process could continue it.
    fn leave(&self, run: Uuid) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = left.remove(&run).is_none();
        if is_first {
            left.insert(run, Instant::now());
        }
        is_first
    }
}

/// Runs a pull. A separate task renews its lease, so that a slow page does not lose it.
async fn keep(
    dependencies: &Arc<Dependencies>,
    left: &Left,
    row: RunRow,
    lease: Lease,
    place: Place,
    stop: CancellationToken,
) {
    let tenant = row.tenant_id;
    info!(run = %lease.run, tenant.id = %tenant, phase = row.phase, page = row.pages, "pull started");
    let going = {
        let (dependencies, stop) = (dependencies.clone(), stop.clone());
        tokio::spawn(
            async move { Run { dependencies: &dependencies, lease, row, place, stop }.go_on().await },
        )
    };
    let over = CancellationToken::new();
    let renewing = tokio::spawn(renew(dependencies.store.clone(), lease, stop.clone(), over.clone()));
    let end = going
        .await
        .unwrap_or_else(|_| Err(StopReason::Failed("internal error: the pull panicked".to_owned())));
    over.cancel();
    // A panic has been logged already.
    let _ = renewing.await;
    let now = dependencies.clock.now();
    let recorded = match &end {
        Ok((state, reason)) => {
            info!(run = %lease.run, tenant.id = %tenant, state, "pull ended");
            dependencies.store.finish(lease, state, reason.as_deref(), now).await
        }
        Err(StopReason::Released) => dependencies.store.release(lease).await.map(drop).map_err(Into::into),
        Err(end @ (StopReason::Undecryptable | StopReason::DatabaseFailed(_))) if left.leave(lease.run) => {
            warn!(run = %lease.run, tenant.id = %tenant, reason = %end, "pull cannot continue in this process; released");
            dependencies.store.release(lease).await.map(drop).map_err(Into::into)
        }
        Err(end) => {
            let reason = end.to_string();
            error!(run = %lease.run, tenant.id = %tenant, reason, "pull failed");
            dependencies.store.finish(lease, "failed", Some(&reason), now).await
        }
    };
    if let Err(error) = recorded {
        warn!(run = %lease.run, %error, "failed to record the end of a pull; it resumes when its lease expires");
    }
}

/// Renews the lease until the run is over. Stops the run when the lease is lost.
async fn renew(store: Store, lease: Lease, stop: CancellationToken, over: CancellationToken) {
    let mut held_until = Instant::now() + LEASE;
    while shutdown::pause(&over, RENEW).await {
        let asked = Instant::now();
        match store.renew(lease).await {
            Ok(true) => held_until = asked + LEASE,
            Ok(false) => break,
            Err(error) => warn!(run = %lease.run, %error, "failed to renew the lease of a pull"),
        }
        if Instant::now() >= held_until {
            break;
        }
    }
    if !over.is_cancelled() {
        stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_left_to_others_once_and_for_a_while() {
        let (left, run) = (Left::default(), Uuid::from_u128(1));
        assert!(left.now().is_empty());
        assert!(left.leave(run), "another process may have the key");
        assert_eq!(left.now(), [run]);
        assert!(!left.leave(run), "the run came back: no process has the key");
        assert!(left.now().is_empty());
    }
}
