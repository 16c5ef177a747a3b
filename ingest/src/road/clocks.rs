//! Whether this machine's clock and that of another service are too far apart to agree on an order: noted where a ticket was not
//! followed, and said in the log and in `/readyz`, once a change, for as long as it is so.
//!
//! Before it: a stale command. After it: the operator, who compares the machines' clocks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::health::{Health, Reason};
use shared::shutdown::pause;
use shared::ticket::{Ticket, TicketClock, TooFarAhead};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long one counts that was not followed: what it changed may be deleted or mended meanwhile.
const COUNTS: Duration = Duration::from_secs(600);
/// How often it is looked whether that has changed.
const LOOK: Duration = Duration::from_secs(1);
/// The entry of `/readyz`, and what it says.
const NAME: &str = "clock";
const APART: Reason = "minutes behind that of another service";

/// The last ticket that was not followed.
#[derive(Default)]
pub(super) struct Clocks(Mutex<Option<(Ticket, Instant)>>);

impl Clocks {
    /// Moves `tickets` past this ticket, or notes that it is too far ahead.
    ///
    /// # Errors
    /// [`TooFarAhead`].
    pub(super) fn follow(&self, tickets: &TicketClock, seen: Ticket) -> Result<(), TooFarAhead> {
        tickets.observe(seen).inspect_err(|_| {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((seen, Instant::now()));
        })
    }

    /// How far it is ahead, if it still is and was met lately.
    fn apart(&self, tickets: &TicketClock, now: Instant) -> Option<TooFarAhead> {
        let (seen, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        tickets.check(seen).err().filter(|_| now.duration_since(at) < COUNTS)
    }

    /// Keeps `health` true to whether the clocks are apart, until `stop`.
    pub(super) async fn watch(&self, tickets: &TicketClock, health: &Health, stop: &CancellationToken) {
        while pause(stop, LOOK).await {
            self.tell(tickets, health, Instant::now());
        }
    }

    fn tell(&self, tickets: &TicketClock, health: &Health, now: Instant) {
        let apart = self.apart(tickets, now);
        if !health.set(NAME, apart.map_or(Ok(()), |_| Err(APART))) {
            return;
        }
        match apart {
            Some(TooFarAhead { seconds }) => warn!(
                seconds,
                "the clock of another service is ahead of this machine's, or this one is behind: \
                 changes of what that service has changed are answered 429 here; set the clocks"
            ),
            None => info!("no change of late was dated too far ahead to be followed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::Clock;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn clocks_that_are_apart_are_told_until_they_are_not() {
        let (clocks, start) = (Clocks::default(), OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000));
        let clock = Clock::manual(start);
        let tickets = TicketClock::new(clock.clone());
        let health = Health::new(&[]);
        let tomorrow = Ticket::least_at(start + time::Duration::DAY);
        // Whether `/readyz` says so: saying it once more changes nothing then.
        let is_told = |later: Duration| {
            clocks.tell(&tickets, &health, Instant::now() + later);
            !health.set(NAME, Err(APART))
        };
        clocks.follow(&tickets, Ticket::least_at(start + time::Duration::MINUTE)).unwrap();
        assert!(!is_told(Duration::ZERO), "a clock that is a minute ahead is followed");
        assert_eq!(clocks.follow(&tickets, tomorrow), Err(TooFarAhead { seconds: 86_400 }));
        assert!(is_told(Duration::ZERO));
        assert!(!is_told(COUNTS), "it was not met for a while");
        assert!(clocks.follow(&tickets, tomorrow).is_err());
        assert!(is_told(Duration::ZERO), "it was met again");
        clock.advance(time::Duration::DAY);
        assert!(!is_told(Duration::ZERO), "this machine's clock was set right");
    }
}
