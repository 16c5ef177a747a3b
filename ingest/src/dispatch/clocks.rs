//! Detects clock skew: a ticket from another service that is too far ahead to be followed. The log and `/readyz` report
//! the skew while it lasts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::ticket::{Ticket, TicketClock, TooFarAhead};
use platform::health::{Health, Reason};
use platform::shutdown::pause;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a ticket that was not followed counts as skew: the resource that carries it may be deleted or repaired.
const COUNTS: Duration = Duration::from_secs(600);
/// How often the skew is checked.
const LOOK: Duration = Duration::from_secs(1);
/// The entry in `/readyz`, and its reason.
const NAME: &str = "clock";
const APART: Reason = "minutes behind another service's clock";

/// The last ticket that was not followed.
#[derive(Default)]
pub(super) struct Clocks(Mutex<Option<(Ticket, Instant)>>);

impl Clocks {
    /// Moves `tickets` past this ticket, or records that it is too far ahead.
    ///
    /// # Errors
    /// [`TooFarAhead`].
    pub(super) fn follow(&self, tickets: &TicketClock, seen: Ticket) -> Result<(), TooFarAhead> {
        tickets.observe(seen).inspect_err(|_| {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((seen, Instant::now()));
        })
    }

    /// How far the recorded ticket is ahead, if it still is and was seen recently.
    fn apart(&self, tickets: &TicketClock, now: Instant) -> Option<TooFarAhead> {
        let (seen, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        tickets.check(seen).err().filter(|_| now.duration_since(at) < COUNTS)
    }

    /// Reports clock skew to `health` until `stop`.
    pub(super) async fn watch(&self, tickets: &TicketClock, health: &Health, stop: &CancellationToken) {
        while pause(stop, LOOK).await {
            self.report(tickets, health, Instant::now());
        }
    }

    fn report(&self, tickets: &TicketClock, health: &Health, now: Instant) {
        let apart = self.apart(tickets, now);
        if !health.set(NAME, apart.map_or(Ok(()), |_| Err(APART))) {
            return;
        }
        match apart {
            Some(TooFarAhead { seconds }) => warn!(
                seconds,
                "clock skew: another service's clock is ahead of this machine's; changes of resources that the other \
                 service changed last are answered with 429; synchronize the clocks"
            ),
            None => info!("clock skew no longer observed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use platform::clock::Clock;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn clock_skew_is_reported_while_it_lasts() {
        let (clocks, start) = (Clocks::default(), OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000));
        let clock = Clock::manual(start);
        let tickets = TicketClock::new(clock.clone());
        let health = Health::new(&[]);
        let tomorrow = Ticket::least_at(start + time::Duration::DAY);
        // Whether `/readyz` reports the skew: setting the same reason again changes nothing then.
        let is_reported = |later: Duration| {
            clocks.report(&tickets, &health, Instant::now() + later);
            !health.set(NAME, Err(APART))
        };
        clocks.follow(&tickets, Ticket::least_at(start + time::Duration::MINUTE)).unwrap();
        assert!(!is_reported(Duration::ZERO), "a clock that is a minute ahead is followed");
        assert_eq!(clocks.follow(&tickets, tomorrow), Err(TooFarAhead { seconds: 86_400 }));
        assert!(is_reported(Duration::ZERO));
        assert!(!is_reported(COUNTS), "the ticket was not seen for a while");
        assert!(clocks.follow(&tickets, tomorrow).is_err());
        assert!(is_reported(Duration::ZERO), "the ticket was seen again");
        clock.advance(time::Duration::DAY);
        assert!(!is_reported(Duration::ZERO), "this machine's clock was set right");
    }
}
