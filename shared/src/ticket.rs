//! Tickets: the order in which commands apply to a resource. A ticket is a UUIDv7 (RFC 9562) from a hybrid
//! logical clock: 48 bits of milliseconds, 12 bits of counter, the rest random; it is the command's id too.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::clock::Clock;

/// A place in the order of commands. A greater ticket is a later one; Postgres orders `uuid` the same way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub Uuid);

impl Ticket {
    /// The bits that are random.
    const RANDOM: u128 = (1 << 62) - 1;

    fn new(at: Instant, random: u64) -> Self {
        let high = (u128::from(at.millis) << 80) | (0x7 << 76) | (u128::from(at.counter) << 64);
        let low = (u128::from(random) & Self::RANDOM) | (0b10 << 62);
        Self(Uuid::from_u128(high | low))
    }

    /// The least ticket that can be issued at this time: a bound for ranges over the primary key.
    #[must_use]
    pub fn least_at(time: OffsetDateTime) -> Self {
        let millis = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Self::new(Instant { millis, counter: 0 }, 0)
    }

    /// The next greater ticket that could be: nothing that is issued later, or by another clock, is likely to be less.
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
}

/// Issues tickets, each greater than the one before and than every one observed.
#[derive(Debug)]
pub struct TicketClock {
    clock: Clock,
    last: Mutex<Instant>,
}

impl TicketClock {
    /// A clock of tickets over the time of day.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// The next ticket.
    pub fn issue(&self) -> Ticket {
        let now = Instant { millis: u64::try_from(self.clock.now_ms()).unwrap_or(0), counter: 0 };
        let mut last = self.last();
        *last = now.max(last.next());
        Ticket::new(*last, rand::random())
    }

    /// Moves this clock past `seen`, a ticket that somebody else issued: the next one is greater.
    pub fn observe(&self, seen: Ticket) {
        let mut last = self.last();
        *last = (*last).max(seen.instant());
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
    fn an_observed_ticket_is_passed_though_the_own_clock_is_behind() {
        let ahead = TicketClock::new(Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::hours(2)));
        let behind = TicketClock::new(Clock::manual(OffsetDateTime::UNIX_EPOCH + Duration::hours(1)));
        let seen = ahead.issue();
        behind.observe(seen);
        assert!(behind.issue() > seen);
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
    fn the_ticket_after_one_is_greater_and_less_than_any_other_that_is() {
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
