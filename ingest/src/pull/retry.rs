//! Decides whether and when to read a page again: after transient failures with backoff, after rate limits when the
//! pause that the provider names is over.

use std::time::Duration;

use platform::retry::Delays;
use tokio::time::Instant;

use super::page::Failure;
use super::stop_reason::StopReason;

/// How long transient failures are retried.
const PERSISTENCE: Duration = Duration::from_secs(900);
/// How long rate limits are waited for at one page.
const TIME_LIMIT: Duration = Duration::from_secs(3_600);

/// The attempts to read a page.
pub(super) struct Attempts {
    /// The provider's name.
    provider: &'static str,
    began: Instant,
    /// When to give up because of transient failures.
    until: Instant,
    delays: Delays,
    /// Back off when the rate limit is reached repeatedly, even if the provider names shorter pauses.
    pauses: Delays,
}

/// The reason for another attempt, and the pause before it.
pub(super) enum Retry {
    /// A transient failure.
    Away { why: String, pause: Duration },
    /// The rate limit.
    Limited { why: String, pause: Duration },
}

impl Attempts {
    pub(super) fn new(provider: &'static str) -> Self {
        let began = Instant::now();
        Self {
            provider,
            began,
            until: began + PERSISTENCE,
            delays: Delays::new(Duration::from_secs(1), Duration::from_secs(60)),
            pauses: Delays::new(Duration::from_secs(1), Duration::from_secs(300)),
        }
    }

    /// What follows from a failure.
    ///
    /// # Errors
    /// If there must not be another attempt.
    pub(super) fn after(&mut self, failure: Failure) -> Result<Retry, StopReason> {
        match failure {
            Failure::Refused(why) => Err(StopReason::Failed(why)),
            Failure::Expired => Err(StopReason::Expired(self.provider)),
            Failure::Limited(_) if self.began.elapsed() > TIME_LIMIT => {
                Err(StopReason::Failed(format!("{}'s rate limit was reached for too long", self.provider)))
            }
            Failure::Limited(pause) => {
                let pause = pause.max(self.pauses.next_delay());
                self.until += pause;
                Ok(Retry::Limited { why: format!("{}'s rate limit is reached", self.provider), pause })
            }
            Failure::Away(why) if Instant::now() < self.until => {
                Ok(Retry::Away { why, pause: self.delays.next_delay() })
            }
            Failure::Away(why) => Err(StopReason::Failed(why)),
        }
    }
}
