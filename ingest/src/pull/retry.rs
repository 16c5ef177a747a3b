//! Reads a page with retries: transient failures with backoff, rate limits after the pause that the provider names.

use std::time::Duration;

use platform::retry::Delays;
use tokio::time::Instant;
use tracing::{info, warn};

use super::page::{Failure, Page};
use super::provider::Provider;
use super::run::{Run, StopReason};

/// How long transient failures are retried.
const PERSISTENCE: Duration = Duration::from_secs(900);
/// How long rate limits are waited for at one page.
const TIME_LIMIT: Duration = Duration::from_secs(3_600);

impl Run<'_> {
    /// Reads a page, with retries.
    pub(super) async fn page(&self, provider: &Provider, link: Option<&str>) -> Result<Page, StopReason> {
        let mut delays = Delays::new(Duration::from_secs(1), Duration::from_secs(60));
        // Back off when the rate limit is reached repeatedly, even if the provider names shorter pauses.
        let mut pauses = Delays::new(Duration::from_secs(1), Duration::from_secs(300));
        let limit = format!("{}'s rate limit", provider.name());
        let began = Instant::now();
        let mut until = began + PERSISTENCE;
        loop {
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(StopReason::Released),
                page = provider.page(link) => page,
            };
            match page {
                Ok(page) => return Ok(page),
                Err(Failure::Refused(why)) => return Err(StopReason::Failed(why)),
                Err(Failure::Expired) => return Err(StopReason::Expired(provider.name())),
                Err(Failure::Limited(_)) if began.elapsed() > TIME_LIMIT => {
                    return Err(StopReason::Failed(format!("{limit} was reached for too long")));
                }
                Err(Failure::Limited(pause)) => {
                    let pause = pause.max(pauses.next_delay());
                    info!(run = %self.lease.run, pause_s = pause.as_secs(), "{limit} is reached");
                    self.dependencies.store.wait(self.lease, &format!("{limit} is reached")).await?;
                    until += pause;
                    self.rest(pause).await?;
                }
                Err(Failure::Away(why)) if Instant::now() < until => {
                    warn!(run = %self.lease.run, why, "failed to read a page; retrying");
                    self.dependencies.store.wait(self.lease, &why).await?;
                    self.pause(delays.next_delay()).await?;
                }
                Err(Failure::Away(why)) => return Err(StopReason::Failed(why)),
            }
            // Stop using the token if the pull has been removed or reconfigured.
            self.settings().await?;
        }
    }

    /// Pauses the run. The pause is stored, so that it also holds after a crash.
    pub(super) async fn rest(&self, pause: Duration) -> Result<(), StopReason> {
        self.dependencies.store.rest(self.lease, pause).await?;
        self.pause(pause).await
    }
}
