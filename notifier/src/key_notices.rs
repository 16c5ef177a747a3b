//! Mails tenants' contacts about API keys that expire. Workers record the warnings; each is mailed once, whatever the
//! number of notifiers. After a crash a mail may be sent again, with the same Message-ID.

use std::sync::Arc;
use std::time::Duration;

use database::Error;
use platform::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::mail::failure::Failure;
use crate::mail::message::Writer;
use crate::mail::transport::Transport;
use crate::retry_pause;
use crate::shared_state::SharedState;
use crate::store::key_mails::{self, LeasedNotice, NoticeResult};

/// How often to look for warnings.
const LOOK: Duration = Duration::from_secs(10);
/// How much longer the lease is than the send timeout, to record the attempt.
const TO_RECORD: Duration = Duration::from_secs(30);
/// The pause after the first failed attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The reason recorded if the key was revoked before the mail was sent.
const REVOKED: &str = "the key was revoked";
/// The reason recorded if the tenant has no contact any more.
const NO_CONTACT: &str = "the tenant has no contact";

/// Sends notices, one at a time.
pub struct KeyNotices {
    /// The pool.
    pub shared: Arc<SharedState>,
    /// Builds the mail.
    pub writer: Arc<Writer>,
    /// Sends it.
    pub transport: Arc<Transport>,
    /// The timeout for each mail.
    pub timeout: Duration,
    /// Ends it.
    pub stop: CancellationToken,
}

impl KeyNotices {
    /// Looks periodically until stopped.
    pub async fn run(self) {
        let mut complained = false;
        loop {
            match self.send_due().await {
                Ok(()) => complained = false,
                Err(error) => {
                    // Outages are logged by the task that watches Postgres.
                    if !error.is_transient() && !complained {
                        warn!(%error, "failed to look for API keys to mail about: retrying until it succeeds");
                        complained = true;
                    }
                }
            }
            if !pause(&self.stop, LOOK).await {
                return;
            }
        }
    }

    /// Sends what is due.
    async fn send_due(&self) -> Result<(), Error> {
        let lease = self.timeout + TO_RECORD;
        while !self.stop.is_cancelled() {
            let work = async |connection: &mut _| key_mails::lease(connection, lease).await;
            let Some(notice) = self.shared.pool.bounded(work).await? else { return Ok(()) };
            let result = self.attempt(&notice).await;
            log(&notice, &result);
            let record = async |connection: &mut _| key_mails::record(connection, &notice, &result).await;
            self.shared.pool.bounded(record).await?;
        }
        Ok(())
    }

    async fn attempt(&self, notice: &LeasedNotice) -> NoticeResult {
        if notice.is_revoked {
            return NoticeResult::Failed(REVOKED.to_owned());
        }
        let mail = match self.writer.notice(notice) {
            Ok(Some(mail)) => mail,
            Ok(None) => return NoticeResult::Failed(NO_CONTACT.to_owned()),
            Err(error) => return again(notice, error.reason().to_owned()),
        };
        match self.transport.send(&mail).await {
            Ok(()) => NoticeResult::Sent,
            Err(Failure::Refused(reason)) => NoticeResult::Failed(reason),
            Err(Failure::Again(reason)) => again(notice, reason),
            Err(Failure::Unknown(reason)) => again(notice, reason.to_owned()),
        }
    }
}

fn again(notice: &LeasedNotice, reason: String) -> NoticeResult {
    if notice.is_last {
        return NoticeResult::Failed(reason);
    }
    NoticeResult::Again(reason, retry_pause::pause(FIRST_PAUSE, notice.attempts.saturating_sub(1)))
}

fn log(notice: &LeasedNotice, result: &NoticeResult) {
    let LeasedNotice { key_id, prefix, tenant, days, attempts, .. } = notice;
    match result {
        NoticeResult::Sent => {
            info!(tenant, key.id = %key_id, key.prefix = prefix, days, attempts, "mailed the contact about an API key that expires");
        }
        NoticeResult::Again(reason, _) => {
            info!(tenant, key.id = %key_id, days, attempts, reason, "failed to mail the contact about an API key: retrying later");
        }
        NoticeResult::Failed(reason) => {
            warn!(tenant, key.id = %key_id, days, attempts, reason, "gave up mailing the contact about an API key");
        }
    }
}
