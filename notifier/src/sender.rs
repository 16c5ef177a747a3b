//! Sends the mail that is due in the ledger: lease, send, record the attempt.
//!
//! Sending exactly once is impossible (RFC 1047). A row is leased. If the notifier dies before it records the attempt,
//! the mail is sent again after the lease, with the same content and the same Message-ID.

use std::sync::Arc;
use std::time::{Duration, Instant};

use database::Error;
use platform::redact;
use platform::retry::Delays;
use platform::shutdown::pause;
use time::OffsetDateTime;
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::mail::failure::Failure;
use crate::mail::message::Writer;
use crate::mail::transport::Transport;
use crate::retry_pause;
use crate::shared_state::SharedState;
use crate::store::queue::{self, Attempt, AttemptResult, Leased, LeasedMail, Quota};
use crate::turns::Turns;

/// The maximum number of mails that are sent concurrently. A tenant alone has half of them.
const AT_ONCE: usize = 16;
/// How many tenants are looked at in one query for those whose mail is due.
const TENANTS: usize = 256;
/// How much longer the lease is than the send timeout, to record the attempt.
const TO_RECORD: Duration = Duration::from_secs(30);
/// The polling interval for mail that is due.
const LOOK: Duration = Duration::from_secs(1);
/// The pause if mail is due that another notifier is leasing.
const SOON: Duration = Duration::from_millis(100);
/// The pause after the first failed attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after the first attempt with an unknown outcome.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(30);
/// The reason given after the last attempt.
const GIVEN_UP: &str = "it could not be sent within 72 hours";

/// The reason recorded if the notifier panicked during an attempt.
const PANICKED: &str = "the notifier panicked while sending it";

/// Sends mail until stopped.
pub struct Sender {
    shared: Arc<SharedState>,
    writer: Arc<Writer>,
    transport: Arc<Transport>,
    timeout: Duration,
    stop: CancellationToken,
}

impl Sender {
    /// Creates a sender; `timeout` is for each mail.
    #[must_use]
    pub fn new(
        shared: Arc<SharedState>,
        writer: Arc<Writer>,
        transport: Arc<Transport>,
        timeout: Duration,
        stop: CancellationToken,
    ) -> Self {
        Self { shared, writer, transport, timeout, stop }
    }

    /// Leases and sends mail, at most [`AT_ONCE`] concurrently. After the stop signal it finishes what it has leased.
    pub async fn run(self) {
        let sender = Arc::new(self);
        let (mut sending, mut turns) = (JoinSet::new(), Turns::new(AT_ONCE));
        let (mut delays, mut complained) = (Delays::reconnect(), false);
        while !sender.stop.is_cancelled() {
            let wait = match sender.lease_due(&mut turns).await {
                Ok((leased, wait)) => {
                    delays.reset();
                    complained = false;
                    for mail in leased {
                        let (sender, tenant) = (sender.clone(), mail.tenant_id);
                        turns.begin(sending.spawn(sender.deliver(mail)).id(), tenant);
                    }
                    wait
                }
                Err(error) => {
                    // Outages are logged by the task that watches Postgres.
                    if !error.is_transient() && !complained {
                        warn!(%error, "failed to look for mail to send: retrying until it succeeds");
                        complained = true;
                    }
                    delays.next_delay()
                }
            };
            // At full concurrency there is nothing to lease until a mail is done.
            let idle = turns.free() > 0;
            tokio::select! {
                Some(ended) = sending.join_next_with_id() => turns.end(&key(&ended)),
                () = sender.shared.mail.notified(), if idle => {}
                _ = pause(&sender.stop, wait) => {}
            }
            while let Some(ended) = sending.try_join_next_with_id() {
                turns.end(&key(&ended));
            }
        }
        while sending.join_next().await.is_some() {}
    }

    /// Leases mail of the tenants whose turn it is. Returns it with the pause before the next look.
    async fn lease_due(&self, turns: &mut Turns<task::Id>) -> Result<(Vec<LeasedMail>, Duration), Error> {
        let free = turns.free();
        if free == 0 {
            return Ok((Vec::new(), LOOK));
        }
        let quotas = self.next_turns(turns).await?;
        if quotas.is_empty() {
            return Ok((Vec::new(), LOOK));
        }
        let lease = self.timeout + TO_RECORD;
        let work = async |connection: &mut _| queue::lease_due(connection, &quotas, free, lease).await;
        let Leased { mails, has_put_off } = self.shared.pool.bounded(work).await?;
        if !mails.is_empty() || has_put_off {
            // More may be due: further mails of these tenants, of the next ones, or behind those just suppressed.
            self.shared.mail.notify_one();
        }
        let (suppressed, leased): (Vec<_>, Vec<_>) =
            mails.into_iter().partition(|mail| mail.reason.is_some());
        for mail in &suppressed {
            log(mail, "suppressed pending mail", mail.reason.as_deref(), None);
        }
        Ok((leased, SOON))
    }

    /// The tenants whose turn it is: goes round until some are found, or all were looked at once.
    async fn next_turns(&self, turns: &mut Turns<task::Id>) -> Result<Vec<Quota>, Error> {
        let began = turns.last();
        let (mut after, mut is_second) = (began, began.is_nil());
        loop {
            let work = async |connection: &mut _| queue::waiting(connection, after, TENANTS).await;
            let mut waiting = self.shared.pool.bounded(work).await?;
            let mut is_end = waiting.len() < TENANTS;
            if is_second && !began.is_nil() {
                is_end |= waiting.last().is_some_and(|tenant| tenant.tenant_id >= began);
                waiting.retain(|tenant| tenant.tenant_id <= began);
            }
            let quotas = turns.take(&waiting);
            if !quotas.is_empty() || is_end && is_second {
                return Ok(quotas);
            }
            // After the last tenant the first follows.
            after = if is_end { Uuid::nil() } else { turns.last() };
            is_second |= is_end;
        }
    }

    async fn deliver(self: Arc<Self>, leased: LeasedMail) {
        let started = Instant::now();
        let (sender, ours) = (self.clone(), leased.clone());
        // In its own task, so that a mail that causes a panic is retried and finally given up like any other.
        let tried = tokio::spawn(async move { sender.attempt(&ours).await });
        let outcome = tried.await.unwrap_or(Err(Trouble::Failure(Failure::Unknown(PANICKED))));
        let now = self.shared.clock.now();
        let result = result_of(&outcome, now, leased.is_last, leased.attempts);
        let attempt = attempt(&outcome, now);
        log_attempt(&leased, &result, &attempt, started.elapsed());
        self.record_attempt(&leased, &result, &attempt).await;
    }

    async fn attempt(&self, leased: &LeasedMail) -> Result<(), Trouble> {
        let mail = self.writer.write(leased).map_err(|error| {
            if error.is_final() { Trouble::Words(error.reason()) } else { Trouble::Unready(error.reason()) }
        })?;
        self.transport.send(&mail).await.map_err(Trouble::Failure)
    }

    /// Records an attempt, retrying until it succeeds: otherwise the mail would be sent again.
    async fn record_attempt(&self, leased: &LeasedMail, result: &AttemptResult, attempt: &Attempt) {
        let mut delays = Delays::reconnect();
        let mut waits = false;
        loop {
            let recorded = self
                .shared
                .pool
                .bounded(async |connection| queue::record_attempt(connection, leased, result, attempt).await);
            match recorded.await {
                Ok(()) => return,
                Err(error) if !waits => {
                    warn!(notification.id = %leased.id, %error, "failed to settle a mail: retrying until it succeeds");
                    waits = true;
                }
                Err(_) => {}
            }
            delays.pause().await;
        }
    }
}

/// The key of a task, however it ended.
fn key(ended: &Result<(task::Id, ()), JoinError>) -> task::Id {
    match ended {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    }
}

/// Why sending a mail failed. The reasons contain no personal data.
enum Trouble {
    /// The row can never be rendered.
    Words(&'static str),
    /// The mail cannot be rendered until a template or a setting is fixed.
    Unready(&'static str),
    /// Sending failed.
    Failure(Failure),
}

fn result_of(
    outcome: &Result<(), Trouble>,
    now: OffsetDateTime,
    is_last: bool,
    attempts: i32,
) -> AttemptResult {
    // Attempts count from 1, the backoff from 0.
    let step = attempts.saturating_sub(1);
    match outcome {
        Ok(()) => AttemptResult::Sent(now),
        Err(Trouble::Words(reason)) => AttemptResult::Failed((*reason).to_owned()),
        Err(Trouble::Failure(Failure::Refused(reason))) => AttemptResult::Failed(reason.clone()),
        Err(_) if is_last => AttemptResult::Failed(GIVEN_UP.to_owned()),
        Err(Trouble::Unready(_) | Trouble::Failure(Failure::Again(_))) => {
            AttemptResult::Again(retry_pause::pause(FIRST_PAUSE, step))
        }
        Err(Trouble::Failure(Failure::Unknown(_))) => {
            AttemptResult::Unknown(retry_pause::pause(UNKNOWN_PAUSE, step))
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

fn log_attempt(mail: &LeasedMail, result: &AttemptResult, attempt: &Attempt, took: Duration) {
    let sentence = match result {
        AttemptResult::Sent(_) => "sent mail",
        AttemptResult::Again(_) | AttemptResult::Unknown(_) => "failed to send mail: retrying later",
        AttemptResult::Failed(_) => "gave up on a mail",
    };
    log(mail, sentence, attempt.why.as_deref(), Some(took));
}

fn log(mail: &LeasedMail, sentence: &str, reason: Option<&str>, took: Option<Duration>) {
    let request = mail.context.get("requestId").and_then(serde_json::Value::as_str);
    let duration_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    info!(
        notification.id = %mail.id, user.id = %mail.user_id, kind = mail.kind, event.id = redact::id(&mail.event_id),
        request.id = request, attempts = mail.attempts, duration_ms, reason, "{sentence}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_of_an_attempt_is_recorded_correctly() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let given_up = AttemptResult::Failed(GIVEN_UP.to_owned());
        let again = || Err(Trouble::Failure(Failure::Again("away".to_owned())));
        let unknown = || Err(Trouble::Failure(Failure::Unknown("silence")));
        assert_eq!(result_of(&Ok(()), now, true, 9), AttemptResult::Sent(now));
        assert_eq!(
            result_of(&Err(Trouble::Words("x")), now, false, 1),
            AttemptResult::Failed("x".to_owned())
        );
        let no = Err(Trouble::Failure(Failure::Refused("no".to_owned())));
        assert_eq!(result_of(&no, now, false, 1), AttemptResult::Failed("no".to_owned()));
        let unready = Err(Trouble::Unready("the template"));
        assert!(matches!(result_of(&unready, now, false, 1), AttemptResult::Again(_)));
        assert_eq!(result_of(&unready, now, true, 90), given_up);
        assert_eq!(result_of(&again(), now, true, 90), given_up);
        assert_eq!(result_of(&unknown(), now, true, 90), given_up);
        let AttemptResult::Again(pause) = result_of(&again(), now, false, 1) else { panic!("again") };
        assert!(pause < FIRST_PAUSE * 2);
        let AttemptResult::Unknown(pause) = result_of(&unknown(), now, false, 60) else { panic!("unknown") };
        assert!(pause > retry_pause::LONGEST / 2);
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
