//! Tickets order the commands on a resource. A ticket is a UUIDv7 (RFC 9562) from a hybrid logical clock: 48 bits of
//! milliseconds, 12 bits of counter, the rest random. It is also the command's id.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use platform::clock::Clock;

/// A position in the order of commands. A greater ticket is later; Postgres orders `uuid` the same way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub Uuid);

impl Ticket {
    /// The random bits.
    const RANDOM: u128 = (1 << 62) - 1;

    fn new(at: Instant, random: u64) -> Self {
        let high = (u128::from(at.millis) << 80) | (0x7 << 76) | (u128::from(at.counter) << 64);
        let low = (u128::from(random) & Self::RANDOM) | (0b10 << 62);
        Self(Uuid::from_u128(high | low))
    }

    /// The smallest ticket that can be issued at this time: a bound for ranges over the primary key.
    #[must_use]
    pub fn least_at(time: OffsetDateTime) -> Self {
        let millis = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Self::new(Instant { millis, counter: 0 }, 0)
    }

    /// The next greater ticket. A ticket that is issued later, or by another clock, is unlikely to be smaller.
    #[must_use]
    pub fn after(self) -> Self {
        let random = self.0.as_u128() & Self::RANDOM;
        if random < Self::RANDOM {
            return Self(Uuid::from_u128(self.0.as_u128() + 1));
        }
        Self::new(self.instant().next(), 0)
    }

    fn instant(self) -> Instant {
        let bits = self.0.as_u128();
        let millis = u64::try_from(bits >> 80).expect("48 bits fit in 64");
        let counter = u16::try_from((bits >> 64) & 0xfff).expect("12 bits fit in 16");
        Instant { millis, counter }
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Ticket {
    type Err = uuid::Error;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(Self)
    }
}

/// The part of a ticket that the clock decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Instant {
    millis: u64,
    counter: u16,
}

impl Instant {
    const LAST_COUNTER: u16 = 0xfff;

    fn next(self) -> Self {
        if self.counter < Self::LAST_COUNTER {
            Self { counter: self.counter + 1, ..self }
        } else {
            Self { millis: self.millis + 1, counter: 0 }
        }
    }

    /// By how many milliseconds it is later; 0 if it is not later.
    fn ahead_of(self, other: Self) -> u64 {
        self.millis.saturating_sub(other.millis)
    }
}

/// How far tickets may be ahead of this machine's time, in milliseconds. Synchronized machines are milliseconds apart.
/// A greater lead means that a clock is wrong, and following it would spread it to every changed resource.
const MAX_AHEAD_MS: u64 = 5 * 60 * 1_000;
/// How much further the counters may carry a clock that has followed a ticket at the bound.
const SLACK_MS: u64 = 1_000;

/// A ticket was not followed because it is too far ahead of this machine's time. One of the two clocks is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ticket is {seconds} s ahead of this machine's time: check the clocks")]
pub struct TooFarAhead {
    /// How far.
    pub seconds: u64,
}

/// Issues tickets, each greater than the previous one and every observed one. None is more than five minutes ahead of
/// this machine's time.
#[derive(Debug)]
pub struct TicketClock {
    clock: Clock,
    last: Mutex<Instant>,
}

impl TicketClock {
    /// A ticket clock based on this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// The next ticket. (If the machine's clock was set back by more than five minutes, it is smaller than the previous
    /// ones: commands on resources that those changed become `Stale`, and other resources get no ticket that is ahead.)
    pub fn issue(&self) -> Ticket {
        let now = self.now();
        let mut last = self.last();
        let next = last.next();
        *last = if next.ahead_of(now) > MAX_AHEAD_MS + SLACK_MS { now } else { now.max(next) };
        Ticket::new(*last, rand::random())
    }

    /// Moves this clock past `seen`, a ticket that another clock issued: the next one is greater.
    ///
    /// # Errors
    /// [`TooFarAhead`]: the clock is unchanged.
    pub fn observe(&self, seen: Ticket) -> Result<(), TooFarAhead> {
        self.check(seen)?;
        let mut last = self.last();
        *last = (*last).max(seen.instant());
        Ok(())
    }

    /// Whether `seen` could be followed now.
    ///
    /// # Errors
    /// [`TooFarAhead`].
    pub fn check(&self, seen: Ticket) -> Result<(), TooFarAhead> {
        match seen.instant().ahead_of(self.now()) {
            0..=MAX_AHEAD_MS => Ok(()),
            ms => Err(TooFarAhead { seconds: ms / 1_000 }),
        }
    }

    fn now(&self) -> Instant {
        Instant { millis: u64::try_from(self.clock.now_ms()).unwrap_or(0), counter: 0 }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;

    #[test]
    fn tickets_grow_within_a_millisecond_and_when_the_clock_goes_back() {
        let clock = Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::days(20_000));
        let tickets = TicketClock::new(clock.clone());
        let mut last = tickets.issue();
        for n in 0..10_000 {
            if n == 5_000 {
                clock.advance(Duration::seconds(-5));
            }
            let next = tickets.issue();
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }

    #[test]
    fn a_clock_that_is_behind_passes_an_observed_ticket() {
        let ahead = TicketClock::new(Clock::manual(at(4)));
        let behind = TicketClock::new(Clock::manual(at(0)));
        let seen = ahead.issue();
        behind.observe(seen).unwrap();
        assert!(behind.issue() > seen);
    }

    #[test]
    fn a_ticket_more_than_five_minutes_ahead_is_not_followed() {
        let wrong = TicketClock::new(Clock::manual(at(24 * 60)));
        let clock = Clock::manual(at(0));
        let right = TicketClock::new(clock.clone());
        assert_eq!(right.observe(wrong.issue()), Err(TooFarAhead { seconds: 24 * 60 * 60 }));
        assert!(right.issue() < Ticket::least_at(at(1)), "the clock has moved");
        // A ticket at the bound is followed, and passed only by counters.
        let bound = Ticket::least_at(at(5));
        right.observe(bound).unwrap();
        assert!(right.issue() > bound);
        // Once its own clock has caught up, it follows the ticket.
        let seen = wrong.issue();
        clock.advance(Duration::hours(24));
        right.observe(seen).unwrap();
        assert!(right.issue() > seen);
    }

    #[test]
    fn a_corrected_clock_no_longer_issues_tickets_ahead_of_time() {
        let clock = Clock::manual(at(24 * 60));
        let tickets = TicketClock::new(clock.clone());
        let wrong = tickets.issue();
        clock.advance(Duration::hours(-24));
        let right = tickets.issue();
        assert!(right < Ticket::least_at(at(1)) && right < wrong, "{right} after {wrong}");
        assert!(tickets.issue() > right);
    }

    fn at(minutes: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minutes)
    }

    #[test]
    fn no_ticket_is_less_than_the_least_of_its_time() {
        let start = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let ticket = TicketClock::new(Clock::manual(start)).issue();
        assert!(
            Ticket::least_at(start) <= ticket && ticket < Ticket::least_at(start + Duration::milliseconds(1))
        );
    }

    #[test]
    fn the_ticket_after_another_is_the_next_greater_one() {
        let start = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let ticket = TicketClock::new(Clock::manual(start)).issue();
        assert_eq!(ticket.after().0.as_u128(), ticket.0.as_u128() + 1);
        for counter in [7, Instant::LAST_COUNTER] {
            let last = Ticket::new(Instant { millis: 1_000, counter }, u64::MAX);
            let next = last.after();
            assert!(next > last, "{next} after {last}");
            assert_eq!(next.0.get_version_num(), 7);
            assert_eq!(next.0.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(next.instant(), last.instant().next());
        }
    }

    #[test]
    fn a_ticket_is_a_uuid_of_version_seven() {
        let ticket = TicketClock::new(Clock::System).issue();
        assert_eq!(ticket.0.get_version_num(), 7);
        assert_eq!(ticket.0.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }
}
