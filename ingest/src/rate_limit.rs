//! A keyed rate limiter: an average rate with a burst (GCRA, ATM's leaky bucket).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often keys whose burst is fully restored are removed.
const CLEAN: Duration = Duration::from_secs(1);

/// A rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The average interval.
    pub every: Duration,
    /// How many may come at once.
    pub burst: u32,
}

impl Rate {
    /// `count` a second, at least one, with a burst of the same size.
    #[must_use]
    pub fn per_second(count: u32) -> Self {
        let burst = count.max(1);
        Self { every: Duration::from_secs(1) / burst, burst }
    }
}

/// Rate limiters by key, bounded in number.
pub struct RateLimits<K> {
    capacity: usize,
    ledger: Mutex<Ledger<K>>,
}

struct Ledger<K> {
    /// When the burst of a key is fully restored.
    whole_at: HashMap<K, Instant>,
    cleaned: Instant,
}

impl<K: Eq + Hash> RateLimits<K> {
    /// Tracks at most `capacity` keys.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let ledger = Ledger { whole_at: HashMap::new(), cleaned: Instant::now() };
        Self { capacity, ledger: Mutex::new(ledger) }
    }

    /// Counts one.
    ///
    /// # Errors
    /// The time to wait; nothing is counted. It is one second if there is no capacity for a new key.
    pub fn acquire(&self, key: K, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.acquire_many(key, 1, rate, now)
    }

    /// Counts several, all or none. More than a burst are never allowed.
    ///
    /// # Errors
    /// As [`RateLimits::acquire`].
    pub fn acquire_many(&self, key: K, count: u32, rate: Rate, now: Instant) -> Result<(), Duration> {
        let mut ledger = self.ledger();
        ledger.clean(now);
        let whole_at = ledger.whole_at.get(&key).map_or(now, |whole_at| now.max(*whole_at));
        let room = rate.every * rate.burst.saturating_sub(count);
        let wait = (whole_at - now).saturating_sub(room);
        if !wait.is_zero() {
            return Err(wait);
        }
        if ledger.whole_at.len() >= self.capacity && !ledger.whole_at.contains_key(&key) {
            return Err(CLEAN);
        }
        ledger.whole_at.insert(key, whole_at + rate.every * count);
        Ok(())
    }

    /// Takes back one that was counted.
    pub fn give_back(&self, key: &K, rate: Rate) {
        if let Some(whole_at) = self.ledger().whole_at.get_mut(key) {
            *whole_at -= rate.every;
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<K>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Ledger<K> {
    fn clean(&mut self, now: Instant) {
        if now.saturating_duration_since(self.cleaned) >= CLEAN {
            self.cleaned = now;
            self.whole_at.retain(|_, whole_at| *whole_at > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Rate = Rate { every: Duration::from_millis(100), burst: 10 };

    /// How many of a hundred attempts at once are allowed.
    fn burst(paces: &RateLimits<u8>, rate: Rate, now: Instant) -> usize {
        (0..100).filter(|_| paces.acquire(1, rate, now).is_ok()).count()
    }

    #[test]
    fn burst_is_allowed_at_once_and_then_one_per_interval() {
        let (paces, began) = (RateLimits::new(10), Instant::now());
        assert_eq!(burst(&paces, TEN, began), 10);
        assert_eq!(paces.acquire(1, TEN, began), Err(TEN.every));
        assert_eq!(burst(&paces, TEN, began + TEN.every), 1);
        assert_eq!(burst(&paces, TEN, began + TEN.every * 6), 5);
        assert_eq!(burst(&paces, TEN, began + Duration::from_secs(60)), 10, "never more than a burst");
        assert_eq!(paces.acquire(2, TEN, began), Ok(()), "keys are independent");
    }

    #[test]
    fn changed_rate_takes_effect_within_a_second() {
        for (before, after) in [(10, 20), (20, 10), (1, 3), (3, 1), (1, 1_000)] {
            let (paces, began) = (RateLimits::new(10), Instant::now());
            assert_eq!(burst(&paces, Rate::per_second(before), began), usize::try_from(before).unwrap());
            assert_eq!(burst(&paces, Rate::per_second(after), began), 0);
            let (rate, later) = (Rate::per_second(after), began + Duration::from_millis(1_000));
            let expected = usize::try_from(after).unwrap().min(100);
            assert_eq!(burst(&paces, rate, later), expected, "{before} {after}");
        }
    }

    #[test]
    fn several_are_counted_together_or_not_at_all() {
        let (paces, began) = (RateLimits::new(10), Instant::now());
        assert_eq!(paces.acquire_many(1, 7, TEN, began), Ok(()));
        assert_eq!(paces.acquire_many(1, 4, TEN, began), Err(TEN.every));
        assert_eq!(paces.acquire_many(1, 3, TEN, began), Ok(()));
        assert_eq!(paces.acquire_many(1, 10, TEN, began + TEN.every * 10), Ok(()));
    }

    #[test]
    fn given_back_attempts_do_not_count() {
        let (paces, began) = (RateLimits::new(10), Instant::now());
        for _ in 0..100 {
            assert_eq!(paces.acquire(1, TEN, began), Ok(()));
            paces.give_back(&1, TEN);
        }
        assert_eq!(burst(&paces, TEN, began), 10);
    }

    #[test]
    fn tracked_keys_are_bounded() {
        let (paces, began) = (RateLimits::new(2), Instant::now());
        assert_eq!([1, 2, 3].map(|key| paces.acquire(key, TEN, began)), [Ok(()), Ok(()), Err(CLEAN)]);
        let later = began + 2 * CLEAN;
        assert_eq!([3, 4, 5].map(|key| paces.acquire(key, TEN, later)), [Ok(()), Ok(()), Err(CLEAN)]);
    }
}
