//! Wrong keys at speed: after a few, further ones from the same address, or for the same tenant, go through a slow lane.
//!
//! Before it: a key that is not known. After it: the keyring, which asks Postgres. A key that was right lately does not
//! come here: whoever guesses harms nobody who works, even from the same address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::warn;

use crate::pace::{Paces, Rate};
use crate::turns::{Turn, Turns};

/// How many wrong keys are judged at once, and then one a second.
const FREE: Rate = Rate { every: Duration::from_secs(1), burst: 10 };
/// The most addresses and tenants that are remembered.
const CAPACITY: usize = 10_000;
/// How many go down one slow lane at a time.
const ABREAST: usize = 2;
/// The most who stand in one, those that go down it among them.
const STANDING: usize = 16;
/// The most who stand in all of them.
const ALL_STANDING: usize = 256;
/// How often one address or tenant is told of in the log.
const TOLD: Duration = Duration::from_secs(60);

/// How long a wrong key takes in the slow lane.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// What wrong keys are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    /// Where the connection comes from; of an IPv6 address the network, of which one client has all.
    Address(IpAddr),
    /// The SHA-256 of a user name, which may be as long as a header.
    User([u8; 32]),
}

impl Claim {
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

/// The wrong keys of the last moments.
pub(super) struct Failures {
    lately: Paces<Claim>,
    lanes: Turns<Claim>,
    standing: Semaphore,
    told: Mutex<HashMap<Claim, Instant>>,
}

/// How an unknown key may be judged.
pub(super) enum Way<'a> {
    /// At once. It counts as wrong until it is known better.
    Free,
    /// Now, and if it is wrong, the lane is kept for a while.
    Slow(#[expect(dead_code, reason = "held until the end")] (Turn, SemaphorePermit<'a>)),
    /// Not now.
    Closed,
}

impl Failures {
    pub(super) fn new() -> Self {
        Self {
            lately: Paces::new(CAPACITY),
            lanes: Turns::new(ABREAST),
            standing: Semaphore::new(ALL_STANDING),
            told: Mutex::default(),
        }
    }

    /// How a key with these claims may be judged; waits for it.
    pub(super) async fn way(&self, claims: &[Claim]) -> Way<'_> {
        let Some(over) = self.count(claims, Instant::now()) else { return Way::Free };
        self.tell(over, Instant::now());
        let Ok(permit) = self.standing.try_acquire() else { return Way::Closed };
        match self.lanes.turn_unless(over, STANDING).await {
            Some(turn) => Way::Slow((turn, permit)),
            None => Way::Closed,
        }
    }

    /// The key was right, or could not be judged: it does not count.
    pub(super) fn forgive(&self, claims: &[Claim]) {
        claims.iter().for_each(|claim| self.lately.give_back(claim, FREE));
    }

    /// Counts one against each claim; or against none, and says of which there are too many.
    fn count(&self, claims: &[Claim], now: Instant) -> Option<Claim> {
        let over = claims.iter().position(|claim| self.lately.take(*claim, FREE, now).is_err())?;
        self.forgive(&claims[..over]);
        Some(claims[over])
    }

    fn tell(&self, claim: Claim, now: Instant) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&claim).is_some_and(|at| now.saturating_duration_since(*at) < TOLD) {
            return;
        }
        told.retain(|_, at| now.saturating_duration_since(*at) < TOLD);
        if told.len() >= CAPACITY {
            return;
        }
        told.insert(claim, now);
        match claim {
            Claim::Address(address) => warn!(%address, "many wrong API keys from one address: slowing them"),
            Claim::User(_) => warn!("many wrong API keys for one user name: slowing them"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn claims_are_the_same_for_the_same_client() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let [a, b] = [one, other].map(|text| Claim::address(Some(text.parse().unwrap())));
            assert_eq!(a == b, same, "{one} {other}");
        }
        assert_eq!(Claim::user("ACME"), Claim::user("acme"));
    }

    #[test]
    fn what_is_over_for_one_claim_does_not_count_for_the_other() {
        let (failures, now) = (Failures::new(), Instant::now());
        let (address, user) = (Claim::address(None), Claim::user("acme"));
        assert!((0..10).all(|_| failures.count(&[user], now).is_none()));
        assert!((0..100).all(|_| failures.count(&[address, user], now) == Some(user)));
        assert!((0..10).all(|_| failures.count(&[address], now).is_none()));
        assert_eq!(failures.count(&[address], now), Some(address));
        failures.forgive(&[address]);
        assert_eq!(failures.count(&[address], now), None);
    }

    #[tokio::test]
    async fn the_slow_lane_is_short() {
        let (failures, claims) = (Failures::new(), [Claim::address(None)]);
        while failures.count(&claims, Instant::now()).is_none() {}
        let mut lane: Vec<_> = (0..STANDING).map(|_| Box::pin(failures.way(&claims))).collect();
        let ways: Vec<_> = lane.iter_mut().map(FutureExt::now_or_never).collect();
        assert_eq!(ways.iter().filter(|way| matches!(way, Some(Way::Slow(_)))).count(), ABREAST);
        assert!(matches!(failures.way(&claims).now_or_never(), Some(Way::Closed)));
        let other = [Claim::user("acme")];
        assert!(matches!(failures.way(&other).now_or_never(), Some(Way::Free)), "nobody else is slowed");
    }
}
