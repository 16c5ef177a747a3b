//! How many of a tenant's events, accepted by this ingest, no notifier has processed yet. The queue is first in, first
//! out: if it holds n messages, at most the last n that were published here are in it. So its length, read now and then,
//! bounds the number for each tenant.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use amqp::{Link, topology};
use tokio::time::timeout;
use tracing::debug;
use uuid::Uuid;

/// How often the queue's length is read.
const LOOK: Duration = Duration::from_secs(1);
/// How long reading it may take.
const LONGEST: Duration = Duration::from_secs(2);
/// Below this many events nothing is read.
const FEW: u64 = 1_000;

/// The events that may be queued.
pub struct EventBacklog {
    link: Link,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// The tenants' events in the order in which they were published.
    events: VecDeque<(Uuid, u64)>,
    tenants: HashMap<Uuid, u64>,
    total: u64,
    /// The number of all events that were ever published here.
    published: u64,
    looked_at: Option<Instant>,
}

impl EventBacklog {
    /// Nothing is queued yet.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self { link, ledger: Mutex::default() }
    }

    /// Counts events that are about to be published, unless the tenant would then have more than `most`.
    pub async fn admit(&self, tenant: Uuid, count: u64, most: u64) -> bool {
        let before = self.ledger().looks(tenant, count, most, Instant::now());
        if let Some(before) = before {
            match timeout(LONGEST, self.link.ready(topology::NOTIFIER)).await {
                Ok(Ok(ready)) => self.ledger().trim(ready.into(), before),
                Ok(Err(error)) => debug!(%error, "failed to read the length of the queue of events"),
                Err(_) => debug!("failed to read the length of the queue of events in time"),
            }
        }
        self.ledger().add(tenant, count, most)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// Whether to read the queue's length: after a pause if there is something to forget. Returns the number of events
    /// that were published before.
    fn looks(&mut self, tenant: Uuid, count: u64, most: u64, now: Instant) -> Option<u64> {
        let is_full = self.of(tenant) + count > most;
        let is_time = self.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOK);
        if !is_time || !is_full && self.total < FEW {
            return None;
        }
        self.looked_at = Some(now);
        Some(self.published)
    }

    /// Forgets the events that are not among the last `ready` of those published before, or published later.
    fn trim(&mut self, ready: u64, before: u64) {
        let kept = ready.saturating_add(self.published - before);
        while self.total > kept {
            let Some((tenant, count)) = self.events.front_mut() else { return };
            let gone = (self.total - kept).min(*count);
            *count -= gone;
            self.total -= gone;
            if let Some(own) = self.tenants.get_mut(tenant) {
                *own -= gone;
                if *own == 0 {
                    self.tenants.remove(tenant);
                }
            }
            if *count == 0 {
                self.events.pop_front();
            }
        }
    }

    fn add(&mut self, tenant: Uuid, count: u64, most: u64) -> bool {
        if count == 0 {
            return true;
        }
        if self.of(tenant) + count > most {
            return false;
        }
        self.events.push_back((tenant, count));
        *self.tenants.entry(tenant).or_default() += count;
        self.total += count;
        self.published += count;
        true
    }

    fn of(&self, tenant: Uuid) -> u64 {
        self.tenants.get(&tenant).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    #[test]
    fn a_tenants_queued_events_are_bounded_until_the_queue_is_shorter() {
        let mut ledger = Ledger::default();
        assert!(ledger.add(ONE, 8, 10) && !ledger.add(ONE, 3, 10));
        assert!(ledger.add(OTHER, 10, 10), "tenants are independent");
        // Of eighteen events the last twelve may be in the queue: two of the first tenant.
        ledger.trim(12, 18);
        assert_eq!((ledger.of(ONE), ledger.of(OTHER), ledger.total), (2, 10, 12));
        assert!(ledger.add(ONE, 8, 10));
        // The queue was empty before these eight were published.
        ledger.trim(0, 18);
        assert_eq!((ledger.of(ONE), ledger.of(OTHER), ledger.total), (8, 0, 8));
        assert!(!ledger.tenants.contains_key(&OTHER));
        ledger.trim(100, 26);
        assert_eq!(ledger.total, 8, "others publish too");
    }

    #[test]
    fn the_queues_length_is_read_at_intervals_and_only_if_it_matters() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert!(ledger.add(ONE, 8, 10));
        assert_eq!(ledger.looks(ONE, 2, 10, now), None);
        assert_eq!(ledger.looks(ONE, 3, 10, now), Some(8));
        assert_eq!(ledger.looks(ONE, 3, 10, now), None);
        assert_eq!(ledger.looks(ONE, 3, 10, now + LOOK), Some(8));
    }
}
