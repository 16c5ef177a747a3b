//! The pull from Okta's API of what SCIM does not carry, at its times and by hand; and who is gone there.
//!
//! Beside the road of requests: [`schedule`] says when, [`store`] whose turn it is, [`run`] takes page after page from [`okta`]
//! (whose `headers` say where the next one is) with `patience`, [`person`] reads them, [`roster`] finds whom they are about, [`gone`] who is
//! missing. What changes the roster is a command, and goes through the queue of what nobody waits for.

pub mod gone;
mod headers;
pub mod okta;
mod patience;
pub mod person;
pub mod roster;
pub mod run;
pub mod schedule;
pub mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::amqp::{Link, Publisher};
use shared::clock::Clock;
use shared::postgres::Pool;
use shared::postgres::pulls::RunRow;
use shared::secret::SecretKey;
use shared::shutdown;
use shared::ticket::TicketClock;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};
use uuid::Uuid;

use run::{End, Means, Run};
use schedule::{Times, slot};
use store::{Lease, Store};

/// How often to look whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// The most runs at a time.
const AT_ONCE: usize = 4;
/// How often a lease is renewed; it lasts three times as long.
const RENEW: Duration = Duration::from_secs(5);
/// How long a lease lasts at the most without being renewed, by our own clock.
const LEASE: Duration = Duration::from_secs(12);
/// How long stopping waits for what is in hand.
const FINISH: Duration = Duration::from_secs(5);
/// How long a run is left to other ingests that cannot go on here: its token cannot be decrypted, or Postgres failed at it.
const LEFT: Duration = Duration::from_secs(5);
/// How long it is remembered that it was left: whoever fails at it again within this time knows that there is nobody who can.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The pulls of this ingest.
pub struct Pulls {
    means: Arc<Means>,
    times: Times,
    left: Arc<Left>,
    places: Arc<Semaphore>,
    under_way: TaskTracker,
}

impl Pulls {
    /// Ready to run.
    #[must_use]
    pub fn new(pool: Pool, link: Link, key: SecretKey, times: Times, clock: Clock) -> Self {
        let means = Means {
            store: Store(pool.clone()),
            pool,
            publisher: Publisher::new(link),
            key,
            tickets: TicketClock::new(clock.clone()),
            clock,
        };
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let left = Arc::default();
        Self { means: Arc::new(means), times, left, places, under_way: TaskTracker::new() }
    }

    /// Runs what is due until it is stopped; what is in hand then is let go of, for others or for the next start.
    pub async fn run(self, stop: CancellationToken) {
        let mut is_well = true;
        while shutdown::pause(&stop, TICK).await {
            let looked = self.look(&stop).await;
            if let Err(error) = &looked
                && is_well
            {
                warn!(%error, "failed to look whether a pull is due");
            }
            is_well = looked.is_ok();
        }
        self.under_way.close();
        if timeout(FINISH, self.under_way.wait()).await.is_err() {
            warn!("stopped before all pulls were let go of: they are taken up when their leases end");
        }
    }

    /// Takes as many runs as there are places.
    async fn look(&self, stop: &CancellationToken) -> Result<(), shared::postgres::Error> {
        if let Some(due) = self.times.last(self.means.clock.now()) {
            self.means.store.plan(&slot(due), due).await?;
        }
        while let Ok(place) = self.places.clone().try_acquire_owned() {
            let Some((row, lease)) = self.means.store.take(self.means.clock.now(), &self.left.now()).await?
            else {
                break;
            };
            let (means, left, stop) = (self.means.clone(), self.left.clone(), stop.child_token());
            self.under_way.spawn(async move {
                keep(&means, &left, row, lease, stop).await;
                drop(place);
            });
        }
        Ok(())
    }
}

/// The runs that this ingest could not go on with, and when it found that.
#[derive(Default)]
struct Left(Mutex<HashMap<Uuid, Instant>>);

impl Left {
    /// Those that are left to others now.
    fn now(&self) -> Vec<Uuid> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|_, since| since.elapsed() < REMEMBERED);
        left.iter().filter(|(_, since)| since.elapsed() < LEFT).map(|(run, _)| *run).collect()
    }

    /// Leaves a run to others; false if that was just done: there is nobody who can.
    fn leave(&self, run: Uuid) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = left.remove(&run).is_none();
        if is_first {
            left.insert(run, Instant::now());
        }
        is_first
    }
}

/// Goes on with a run, and renews its lease meanwhile, from a task of its own: however slow a page is.
async fn keep(means: &Arc<Means>, left: &Left, row: RunRow, lease: Lease, stop: CancellationToken) {
    let tenant = row.tenant_id;
    info!(run = %lease.run, tenant.id = %tenant, phase = row.phase, page = row.pages, "a pull runs");
    let going = {
        let (means, stop) = (means.clone(), stop.clone());
        tokio::spawn(async move { Run { means: &means, lease, row, stop }.go_on().await })
    };
    let over = CancellationToken::new();
    let renewing = tokio::spawn(renew(means.store.clone(), lease, stop.clone(), over.clone()));
    let end = going.await.unwrap_or_else(|_| Err(End::Failed("a bug: it panicked".to_owned())));
    over.cancel();
    // A panic was logged where it happened.
    let _ = renewing.await;
    let now = means.clock.now();
    let settled = match &end {
        Ok((state, reason)) => {
            info!(run = %lease.run, tenant.id = %tenant, state, "a pull has ended");
            means.store.finish(lease, tenant, state, reason.as_deref(), now).await
        }
        Err(End::LetGo) => means.store.release(lease).await.map(drop).map_err(Into::into),
        Err(end @ (End::Blind | End::Troubled(_))) if left.leave(lease.run) => {
            warn!(run = %lease.run, tenant.id = %tenant, reason = %end, "a pull is left to other ingests for a moment");
            means.store.release(lease).await.map(drop).map_err(Into::into)
        }
        Err(end) => {
            let reason = end.to_string();
            error!(run = %lease.run, tenant.id = %tenant, reason, "a pull failed");
            means.store.finish(lease, tenant, "failed", Some(&reason), now).await
        }
    };
    if let Err(error) = settled {
        warn!(run = %lease.run, %error, "a pull's end could not be written: it is taken up when its lease ends");
    }
}

/// Renews the lease until the run is over; stops the run when it is not ours any more.
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
    fn a_run_is_left_to_others_for_a_while_and_once() {
        let (left, run) = (Left::default(), Uuid::from_u128(1));
        assert!(left.now().is_empty());
        assert!(left.leave(run), "somebody else may have the key");
        assert_eq!(left.now(), [run]);
        assert!(!left.leave(run), "it came back: nobody has");
        assert!(left.now().is_empty());
    }
}
