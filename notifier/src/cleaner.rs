//! Deletes deduplication keys of events after 30 days.

use std::sync::Arc;
use std::time::Duration;

use platform::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::shared_state::SharedState;
use crate::store::received;

/// How often to look for expired rows.
const EVERY: Duration = Duration::from_secs(3_600);

/// Deletes expired rows until stopped.
pub async fn run(shared: Arc<SharedState>, stop: CancellationToken) {
    loop {
        let mut deleted = 0;
        loop {
            match shared.pool.bounded(async |connection| received::delete_old(connection).await).await {
                Ok(0) => break,
                Ok(rows) => deleted += rows,
                Err(error) => {
                    debug!(%error, "failed to delete expired deduplication keys: retrying in an hour");
                    break;
                }
            }
            if stop.is_cancelled() {
                break;
            }
        }
        if deleted > 0 {
            info!(events = deleted, "deleted deduplication keys older than 30 days");
        }
        if !pause(&stop, EVERY).await {
            return;
        }
    }
}
