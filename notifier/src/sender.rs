//! Sending what the ledger says is to be sent: claim, send, settle. Before it: [`crate::apply`]; after it: the person's
//! mailbox.
//!
//! Sending exactly once is impossible (RFC 1047). A row is claimed for a while; whoever dies in between leaves it
//! claimed, and when that while is over it is sent again, as the same mail with the same Message-ID.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::postgres::Error;
use shared::retry::Delays;
use shared::shutdown::pause;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff;
use crate::mail::message::Writer;
use crate::mail::smtp;
use crate::mail::transport::{Failure, Transport};
use crate::office::Office;
use crate::store::queue::{self, Claim, Settlement};

/// The most mails that are sent at once.
pub const AT_ONCE: u32 = 8;
/// How long a claim lasts: the longest time that sending takes, and half of that again to settle it.
const LEASE: Duration = Duration::from_secs(smtp::TIMEOUT.as_secs() / 2 * 3);
/// How often to look for mail that is due.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after the first attempt that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after the first attempt of which nobody knows how it ended.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(30);
/// How long a mail is tried.
const PATIENCE: time::Duration = time::Duration::hours(72);
/// Why it is given up then.
const GIVEN_UP: &str = "it could not be sent within 72 hours";

/// Sends mail until told to stop.
pub struct Sender {
    office: Arc<Office>,
    writer: Writer,
    transport: Transport,
    stop: CancellationToken,
}

impl Sender {
    /// A sender of what `writer` writes, by `transport`.
    #[must_use]
    pub fn new(office: Arc<Office>, writer: Writer, transport: Transport, stop: CancellationToken) -> Self {
        Self { office, writer, transport, stop }
    }

    /// Claims as much as it can send at once; when told to stop, finishes what it has claimed.
    pub async fn run(self) {
        let sender = Arc::new(self);
        let mut sending = JoinSet::new();
        let (mut delays, mut complained) = (Delays::reconnect(), false);
        while !sender.stop.is_cancelled() {
            let free = AT_ONCE as usize - sending.len();
            let wait = match sender.claim(free).await {
                Ok(claims) => {
                    delays.reset();
                    complained = false;
                    for claim in claims {
                        let sender = sender.clone();
                        sending.spawn(async move { sender.deliver(claim).await });
                    }
                    LOOK
                }
                Err(error) => {
                    // An outage is logged by whoever watches Postgres.
                    if !error.is_transient() && !complained {
                        warn!(%error, "failed to look for mail to send: trying until it works");
                        complained = true;
                    }
                    delays.next_delay()
                }
            };
            // With all hands busy there is nothing to look for before one is free.
            let idle = sending.len() < AT_ONCE as usize;
            tokio::select! {
                Some(_) = sending.join_next() => {}
                () = sender.office.mail.notified(), if idle => {}
                _ = pause(&sender.stop, wait) => {}
            }
            while sending.try_join_next().is_some() {}
        }
        while sending.join_next().await.is_some() {}
    }

    async fn claim(&self, free: usize) -> Result<Vec<Claim>, Error> {
        let Some(limit) = i64::try_from(free).ok().filter(|free| *free > 0) else { return Ok(Vec::new()) };
        let claims =
            self.office.pool.bounded(async |connection| queue::claim(connection, limit, LEASE).await).await?;
        let (suppressed, claimed): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| claim.reason.is_some());
        for claim in &suppressed {
            claim.log("suppressed pending mail", claim.reason.as_deref(), None);
        }
        if !suppressed.is_empty() {
            // They took places that others may be waiting for.
            self.office.mail.notify_one();
        }
        Ok(claimed)
    }

    async fn deliver(&self, claim: Claim) {
        let started = Instant::now();
        let outcome = match self.writer.write(&claim) {
            Ok(mail) => self.transport.send(&mail).await.map_err(Trouble::Failure),
            Err(error) => Err(Trouble::Words(error.reason())),
        };
        let now = self.office.clock.now();
        let settlement = settlement(&outcome, now, now - claim.decided_at, claim.attempts);
        claim.tell(&settlement, outcome.err().as_ref(), started.elapsed());
        self.settle(&claim, &settlement).await;
    }

    /// Writes down what became of a claim, for as long as that takes: otherwise the mail would be sent again.
    async fn settle(&self, claim: &Claim, settlement: &Settlement) {
        let mut delays = Delays::reconnect();
        let mut waits = false;
        loop {
            let settled = self
                .office
                .pool
                .bounded(async |connection| queue::settle(connection, claim, settlement).await);
            match settled.await {
                Ok(()) => return,
                Err(error) if !waits => {
                    warn!(notification.id = %claim.id, %error, "failed to settle a mail: trying until it works");
                    waits = true;
                }
                Err(_) => {}
            }
            delays.pause().await;
        }
    }
}

/// Why a mail was not sent.
enum Trouble {
    /// It could not be written.
    Words(&'static str),
    /// It could not be sent.
    Failure(Failure),
}

fn settlement(
    outcome: &Result<(), Trouble>,
    now: OffsetDateTime,
    age: time::Duration,
    attempts: i32,
) -> Settlement {
    // The first attempt is number one, and its failure the first step of the pauses.
    let step = attempts.saturating_sub(1);
    match outcome {
        Ok(()) => Settlement::Sent(now),
        Err(Trouble::Words(reason)) => Settlement::Failed(reason),
        Err(Trouble::Failure(Failure::Refused(code))) => Settlement::Refused(*code),
        Err(Trouble::Failure(_)) if age > PATIENCE => Settlement::Failed(GIVEN_UP),
        Err(Trouble::Failure(Failure::Again(_))) => Settlement::Again(backoff::pause(FIRST_PAUSE, step)),
        Err(Trouble::Failure(Failure::Unknown)) => Settlement::Unknown(backoff::pause(UNKNOWN_PAUSE, step)),
    }
}

impl Claim {
    fn tell(&self, settlement: &Settlement, trouble: Option<&Trouble>, took: Duration) {
        let code;
        let why = match trouble {
            None => None,
            Some(Trouble::Words(reason)) => Some(*reason),
            Some(Trouble::Failure(Failure::Again(reason))) => Some(reason.as_str()),
            Some(Trouble::Failure(Failure::Unknown)) => Some("the mail server did not answer in time"),
            Some(Trouble::Failure(Failure::Refused(number))) => {
                code = format!("the mail server refused it for good ({number})");
                Some(code.as_str())
            }
        };
        let sentence = match settlement {
            Settlement::Sent(_) => "sent mail",
            Settlement::Again(_) | Settlement::Unknown(_) => "failed to send mail: trying again later",
            Settlement::Failed(_) | Settlement::Refused(_) => "gave up a mail",
        };
        self.log(sentence, why, Some(took));
    }

    fn log(&self, sentence: &str, reason: Option<&str>, took: Option<Duration>) {
        let request = self.context.get("requestId").and_then(serde_json::Value::as_str);
        let duration_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        info!(
            notification.id = %self.id, user.id = %self.user_id, kind = self.kind, event.id = self.event_id,
            request.id = request, attempts = self.attempts, duration_ms, reason, "{sentence}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_an_attempt_is_settled_as_it_must_be() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let (young, old) = (time::Duration::hours(71), time::Duration::hours(73));
        let again = || Err(Trouble::Failure(Failure::Again("away".to_owned())));
        let unknown = || Err(Trouble::Failure(Failure::Unknown));
        assert_eq!(settlement(&Ok(()), now, old, 9), Settlement::Sent(now));
        assert_eq!(settlement(&Err(Trouble::Words("x")), now, young, 1), Settlement::Failed("x"));
        let refused = Err(Trouble::Failure(Failure::Refused(550)));
        assert_eq!(settlement(&refused, now, young, 1), Settlement::Refused(550));
        assert_eq!(settlement(&again(), now, old, 90), Settlement::Failed(GIVEN_UP));
        assert_eq!(settlement(&unknown(), now, old, 90), Settlement::Failed(GIVEN_UP));
        let Settlement::Again(pause) = settlement(&again(), now, young, 1) else { panic!("again") };
        assert!(pause < FIRST_PAUSE * 2);
        let Settlement::Unknown(pause) = settlement(&unknown(), now, young, 60) else { panic!("unknown") };
        assert!(pause > backoff::LONGEST / 2);
    }

    #[test]
    fn a_claim_outlasts_the_longest_attempt() {
        assert!(LEASE > smtp::TIMEOUT + Duration::from_secs(20));
    }
}
