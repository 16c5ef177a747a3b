//! Forgetting, after 30 days, which events were taken.

use std::sync::Arc;
use std::time::Duration;

use shared::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::office::Office;
use crate::store::received;

/// How often to look for old rows.
const EVERY: Duration = Duration::from_secs(3_600);

/// Deletes old rows until told to stop.
pub async fn run(office: Arc<Office>, stop: CancellationToken) {
    loop {
        let mut deleted = 0;
        loop {
            match office.pool.bounded(async |connection| received::delete_old(connection).await).await {
                Ok(0) => break,
                Ok(rows) => deleted += rows,
                Err(error) => {
                    debug!(%error, "failed to delete old events: trying again in an hour");
                    break;
                }
            }
            if stop.is_cancelled() {
                break;
            }
        }
        if deleted > 0 {
            info!(events = deleted, "forgot events that were taken more than 30 days ago");
        }
        if !pause(&stop, EVERY).await {
            return;
        }
    }
}
