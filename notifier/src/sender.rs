//! Sending what the ledger says is to be sent: claim, send, settle. Before it: [`crate::apply`]; after it: the person's
//! mailbox.
//!
//! Sending exactly once is impossible (RFC 1047). A row is claimed for a while; whoever dies in between leaves it
//! claimed, and when that while is over it is sent again, as the same mail with the same Message-ID.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::postgres::Error;
use shared::redact;
use shared::retry::Delays;
use shared::shutdown::pause;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff;
use crate::mail::message::Writer;
use crate::mail::transport::{Failure, Transport};
use crate::office::Office;
use crate::store::queue::{self, Attempt, Claim, Settlement};

/// The most mails that are sent at once.
pub const AT_ONCE: u32 = 8;
/// How much longer a claim lasts than sending takes: to settle it.
const TO_SETTLE: Duration = Duration::from_secs(30);
/// How often to look for mail that is due.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after the first attempt that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after the first attempt of which nobody knows how it ended.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(30);
/// Why it is given up then.
const GIVEN_UP: &str = "it could not be sent within 72 hours";

/// What is known of an attempt at which this program failed.
const PANICKED: &str = "the notifier failed in the middle of it";

/// Sends mail until told to stop.
pub struct Sender {
    office: Arc<Office>,
    writer: Writer,
    transport: Transport,
    timeout: Duration,
    stop: CancellationToken,
}

impl Sender {
    /// A sender of what `writer` writes, by `transport`, which takes at most `timeout` for each.
    #[must_use]
    pub fn new(
        office: Arc<Office>,
        writer: Writer,
        transport: Transport,
        timeout: Duration,
        stop: CancellationToken,
    ) -> Self {
        Self { office, writer, transport, timeout, stop }
    }

    /// Claims as much as it can send at once; when told to stop, finishes what it has claimed.
    pub async fn run(self) {
        let sender = Arc::new(self);
        let mut sending = JoinSet::new();
        let (mut delays, mut complained) = (Delays::reconnect(), false);
        while !sender.stop.is_cancelled() {
            let free = (AT_ONCE as usize).saturating_sub(sending.len());
            let wait = match sender.claim(free).await {
                Ok(claims) => {
                    delays.reset();
                    complained = false;
                    for claim in claims {
                        let sender = sender.clone();
                        sending.spawn(sender.deliver(claim));
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
        let lease = self.timeout + TO_SETTLE;
        let claim = async |connection: &mut _| queue::claim(connection, limit, lease).await;
        let claims = self.office.pool.bounded(claim).await?;
        if !claims.is_empty() {
            // There may be more: of a tenant that limits its mail, or in the place of what is suppressed.
            self.office.mail.notify_one();
        }
        let (suppressed, claimed): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| claim.reason.is_some());
        for claim in &suppressed {
            claim.log("suppressed pending mail", claim.reason.as_deref(), None);
        }
        Ok(claimed)
    }

    async fn deliver(self: Arc<Self>, claim: Claim) {
        let started = Instant::now();
        let (sender, ours) = (self.clone(), claim.clone());
        // On its own, so that a mail at which it panics is put off, and given up in the end, like any other.
        let tried = tokio::spawn(async move { sender.attempt(&ours).await });
        let outcome = tried.await.unwrap_or(Err(Trouble::Failure(Failure::Unknown(PANICKED))));
        let now = self.office.clock.now();
        let settlement = settlement(&outcome, now, claim.is_last, claim.attempts);
        let attempt = attempt(&outcome, now);
        claim.tell(&settlement, &attempt, started.elapsed());
        self.settle(&claim, &settlement, &attempt).await;
    }

    async fn attempt(&self, claim: &Claim) -> Result<(), Trouble> {
        let mail = self.writer.write(claim).map_err(|error| {
            if error.is_final() { Trouble::Words(error.reason()) } else { Trouble::Unready(error.reason()) }
        })?;
        self.transport.send(&mail).await.map_err(Trouble::Failure)
    }

    /// Writes down what became of a claim, for as long as that takes: otherwise the mail would be sent again.
    async fn settle(&self, claim: &Claim, settlement: &Settlement, attempt: &Attempt) {
        let mut delays = Delays::reconnect();
        let mut waits = false;
        loop {
            let settled = self
                .office
                .pool
                .bounded(async |connection| queue::settle(connection, claim, settlement, attempt).await);
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
    /// It can never be written.
    Words(&'static str),
    /// It cannot be written until somebody mends a template or a setting.
    Unready(&'static str),
    /// It could not be sent.
    Failure(Failure),
}

fn settlement(
    outcome: &Result<(), Trouble>,
    now: OffsetDateTime,
    is_last: bool,
    attempts: i32,
) -> Settlement {
    // The first attempt is number one, and its failure the first step of the pauses.
    let step = attempts.saturating_sub(1);
    match outcome {
        Ok(()) => Settlement::Sent(now),
        Err(Trouble::Words(reason)) => Settlement::Failed((*reason).to_owned()),
        Err(Trouble::Failure(Failure::Refused(reason))) => Settlement::Failed(reason.clone()),
        Err(_) if is_last => Settlement::Failed(GIVEN_UP.to_owned()),
        Err(Trouble::Unready(_) | Trouble::Failure(Failure::Again(_))) => {
            Settlement::Again(backoff::pause(FIRST_PAUSE, step))
        }
        Err(Trouble::Failure(Failure::Unknown(_))) => {
            Settlement::Unknown(backoff::pause(UNKNOWN_PAUSE, step))
        }
    }
}

fn attempt(outcome: &Result<(), Trouble>, at: OffsetDateTime) -> Attempt {
    let (ended, why) = match outcome {
        Ok(()) => ("sent", None),
        Err(Trouble::Words(reason) | Trouble::Unready(reason)) => ("unwritten", Some((*reason).to_owned())),
        Err(Trouble::Failure(Failure::Refused(reason))) => ("refused", Some(reason.clone())),
        Err(Trouble::Failure(Failure::Again(reason))) => ("put_off", Some(reason.clone())),
        Err(Trouble::Failure(Failure::Unknown(reason))) => ("unknown", Some((*reason).to_owned())),
    };
    Attempt { at, ended, why }
}

impl Claim {
    fn tell(&self, settlement: &Settlement, attempt: &Attempt, took: Duration) {
        let sentence = match settlement {
            Settlement::Sent(_) => "sent mail",
            Settlement::Again(_) | Settlement::Unknown(_) => "failed to send mail: trying again later",
            Settlement::Failed(_) => "gave up a mail",
        };
        self.log(sentence, attempt.why.as_deref(), Some(took));
    }

    fn log(&self, sentence: &str, reason: Option<&str>, took: Option<Duration>) {
        let request = self.context.get("requestId").and_then(serde_json::Value::as_str);
        let duration_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        info!(
            notification.id = %self.id, user.id = %self.user_id, kind = self.kind, event.id = redact::id(&self.event_id),
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
        let given_up = Settlement::Failed(GIVEN_UP.to_owned());
        let again = || Err(Trouble::Failure(Failure::Again("away".to_owned())));
        let unknown = || Err(Trouble::Failure(Failure::Unknown("silence")));
        assert_eq!(settlement(&Ok(()), now, true, 9), Settlement::Sent(now));
        assert_eq!(settlement(&Err(Trouble::Words("x")), now, false, 1), Settlement::Failed("x".to_owned()));
        let no = Err(Trouble::Failure(Failure::Refused("no".to_owned())));
        assert_eq!(settlement(&no, now, false, 1), Settlement::Failed("no".to_owned()));
        let unready = Err(Trouble::Unready("the template"));
        assert!(matches!(settlement(&unready, now, false, 1), Settlement::Again(_)));
        assert_eq!(settlement(&unready, now, true, 90), given_up);
        assert_eq!(settlement(&again(), now, true, 90), given_up);
        assert_eq!(settlement(&unknown(), now, true, 90), given_up);
        let Settlement::Again(pause) = settlement(&again(), now, false, 1) else { panic!("again") };
        assert!(pause < FIRST_PAUSE * 2);
        let Settlement::Unknown(pause) = settlement(&unknown(), now, false, 60) else { panic!("unknown") };
        assert!(pause > backoff::LONGEST / 2);
        for (outcome, ended) in [
            (Ok(()), "sent"),
            (no, "refused"),
            (again(), "put_off"),
            (unknown(), "unknown"),
            (unready, "unwritten"),
        ] {
            assert_eq!(attempt(&outcome, now).ended, ended);
        }
    }
}
