//! Throttles guessing of API keys: after a few wrong keys, the answers to further wrong ones take a slow lane. Keys whose
//! public part does not exist count for their address and user name; wrong secrets count for the key whose public part
//! they have. Keys are compared first, so a right one is never delayed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::warn;
use uuid::Uuid;

use crate::keyed_semaphore::{KeyedPermit, KeyedSemaphore};
use crate::rate_limit::{Rate, RateLimits};

/// The rate limit for wrong keys outside the slow lane: a burst of 10, then one a second.
const FREE: Rate = Rate { every: Duration::from_secs(1), burst: 10 };
/// The maximum number of addresses and user names that are tracked.
const CAPACITY: usize = 10_000;
/// The maximum number of requests in progress in one slow lane.
const ABREAST: usize = 2;
/// The maximum number of requests in one slow lane, waiting or in progress.
const STANDING: usize = 16;
/// The maximum number of requests in all slow lanes.
const ALL_STANDING: usize = 256;
/// The minimum time between two warnings about the same address or user name.
const REPORT_AGAIN: Duration = Duration::from_secs(60);

/// The delay for a wrong key in the slow lane.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// By what wrong API keys are counted. Each has a lane of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// The client's address. For IPv6 it is the /64 network, since one client usually has all of it.
    Address(IpAddr),
    /// The SHA-256 of a user name: the name itself may be as long as a header.
    User([u8; 32]),
    /// The id of the key that has the same public part.
    Key(Uuid),
}

impl Source {
    pub(super) fn address(peer: Option<IpAddr>) -> Self {
        Self::Address(match peer.map(|peer| peer.to_canonical()) {
            Some(IpAddr::V6(address)) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            Some(address) => address,
            None => Ipv4Addr::UNSPECIFIED.into(),
        })
    }

    pub(super) fn user(name: &str) -> Self {
        Self::User(Sha256::digest(name.to_ascii_lowercase()).into())
    }
}

/// Recent wrong keys.
pub(super) struct Failures {
    lately: RateLimits<Source>,
    lanes: KeyedSemaphore<Source>,
    standing: Semaphore,
    reported: Mutex<HashMap<Source, Instant>>,
}

/// How a wrong key may be answered.
pub(super) enum Way<'a> {
    /// Immediately.
    Free,
    /// In the slow lane, which it occupies for [`SLOW`].
    Slow((KeyedPermit, SemaphorePermit<'a>)),
    /// Not at all: the slow lane is full.
    Closed,
}

impl Failures {
    pub(super) fn new() -> Self {
        Self {
            lately: RateLimits::new(CAPACITY),
            lanes: KeyedSemaphore::new(ABREAST),
            standing: Semaphore::new(ALL_STANDING),
            reported: Mutex::default(),
        }
    }

    /// Counts a wrong key from these sources; waits until it may be answered, and says how.
    pub(super) async fn way(&self, sources: &[Source]) -> Way<'_> {
        let Some(over) = self.count(sources, Instant::now()) else { return Way::Free };
        self.warn(over, Instant::now());
        let Ok(permit) = self.standing.try_acquire() else { return Way::Closed };
        match self.lanes.acquire_unless(over, STANDING).await {
            Some(turn) => Way::Slow((turn, permit)),
            None => Way::Closed,
        }
    }

    /// Counts one wrong key for each source. If one of them is over its limit, counts nothing and returns that source.
    fn count(&self, sources: &[Source], now: Instant) -> Option<Source> {
        let over = sources.iter().position(|source| self.lately.acquire(*source, FREE, now).is_err())?;
        sources[..over].iter().for_each(|source| self.lately.give_back(source, FREE));
        Some(sources[over])
    }

    fn warn(&self, source: Source, now: Instant) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.get(&source).is_some_and(|at| now.saturating_duration_since(*at) < REPORT_AGAIN) {
            return;
        }
        reported.retain(|_, at| now.saturating_duration_since(*at) < REPORT_AGAIN);
        if reported.len() >= CAPACITY {
            return;
        }
        reported.insert(source, now);
        match source {
            Source::Address(address) => {
                warn!(%address, "many wrong API keys from one address; delaying further attempts");
            }
            Source::User(_) => warn!("many wrong API keys for one user name; delaying further attempts"),
            Source::Key(key) => {
                warn!(key.id = %key, "many wrong secrets for one API key; delaying further attempts");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn addresses_of_one_client_are_one_source() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let [a, b] = [one, other].map(|text| Source::address(Some(text.parse().unwrap())));
            assert_eq!(a == b, same, "{one} {other}");
        }
        assert_eq!(Source::user("ACME"), Source::user("acme"));
    }

    #[test]
    fn key_over_the_limit_of_one_source_is_not_counted_for_the_other() {
        let (failures, now) = (Failures::new(), Instant::now());
        let (address, user) = (Source::address(None), Source::user("acme"));
        assert!((0..10).all(|_| failures.count(&[user], now).is_none()));
        assert!((0..100).all(|_| failures.count(&[address, user], now) == Some(user)));
        assert!((0..10).all(|_| failures.count(&[address], now).is_none()));
        assert_eq!(failures.count(&[address], now), Some(address));
        let key = Source::Key(Uuid::nil());
        assert_eq!(failures.count(&[key], now), None, "the lanes do not block each other");
    }

    #[tokio::test]
    async fn slow_lane_is_bounded() {
        let (failures, sources) = (Failures::new(), [Source::address(None)]);
        while failures.count(&sources, Instant::now()).is_none() {}
        let mut lane: Vec<_> = (0..STANDING).map(|_| Box::pin(failures.way(&sources))).collect();
        let ways: Vec<_> = lane.iter_mut().map(FutureExt::now_or_never).collect();
        assert_eq!(ways.iter().filter(|way| matches!(way, Some(Way::Slow(_)))).count(), ABREAST);
        assert!(matches!(failures.way(&sources).now_or_never(), Some(Way::Closed)));
        let other = [Source::user("acme")];
        assert!(
            matches!(failures.way(&other).now_or_never(), Some(Way::Free)),
            "other sources are not delayed"
        );
    }
}
