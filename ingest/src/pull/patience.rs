//! One page, with Okta's patience: as long as it says to wait, and again after what may pass.

use std::time::Duration;

use shared::retry::Delays;
use tokio::time::Instant;
use tracing::{info, warn};

use super::okta::{Failure, Okta, Page};
use super::run::{End, Run};

/// How long what does not work is tried again.
const PERSISTENCE: Duration = Duration::from_secs(900);
/// How long Okta's limit is waited for at one page, whatever it says.
const PATIENCE: Duration = Duration::from_secs(3_600);

impl Run<'_> {
    /// A page. What may pass is waited for, and then it is asked for again.
    pub(super) async fn page(&self, okta: &Okta, link: Option<&str>) -> Result<Page, End> {
        let mut delays = Delays::new(Duration::from_secs(1), Duration::from_secs(60));
        // Of a limit that is reached again and again: whatever Okta says, it is asked less and less often.
        let mut pauses = Delays::new(Duration::from_secs(1), Duration::from_secs(300));
        let began = Instant::now();
        let mut until = began + PERSISTENCE;
        loop {
            let page = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(End::LetGo),
                page = okta.page(link) => page,
            };
            match page {
                Ok(page) => return Ok(page),
                Err(Failure::Refused(why)) => return Err(End::Failed(why)),
                Err(Failure::Expired) => return Err(End::Expired),
                Err(Failure::Limited(_)) if began.elapsed() > PATIENCE => {
                    return Err(End::Failed("Okta's rate limit stays reached".to_owned()));
                }
                Err(Failure::Limited(pause)) => {
                    let pause = pause.max(pauses.next_delay());
                    info!(run = %self.lease.run, pause_s = pause.as_secs(), "Okta's rate limit is reached");
                    self.means.store.wait(self.lease, "Okta's rate limit is reached").await?;
                    until += pause;
                    self.rest(pause).await?;
                }
                Err(Failure::Away(why)) if Instant::now() < until => {
                    warn!(run = %self.lease.run, why, "a page is asked for again");
                    self.means.store.wait(self.lease, &why).await?;
                    self.pause(delays.next_delay()).await?;
                }
                Err(Failure::Away(why)) => return Err(End::Failed(why)),
            }
            // The token of a pull that is not wanted any more is not used any more.
            self.settings().await?;
        }
    }

    /// A pause that outlives a crash.
    pub(super) async fn rest(&self, pause: Duration) -> Result<(), End> {
        self.means.store.rest(self.lease, pause).await?;
        self.pause(pause).await
    }
}
