//! Deletes what is kept for a limited time: deduplication keys of events after 30 days, the mail ledger and completed
//! assignments as the tenants' settings say, and once more what is stored about users who were erased just now.

use std::sync::Arc;
use std::time::Duration;

use database::{Error, Pool};
use platform::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::shared_state::SharedState;
use crate::store::{erasure, received, retention};

/// How often to look for expired rows.
const EVERY: Duration = Duration::from_secs(3_600);

/// Deletes expired rows until stopped.
pub async fn run(shared: Arc<SharedState>, stop: CancellationToken) {
    loop {
        match clean(&shared.pool, &stop).await {
            Ok(0) => {}
            Ok(rows) => info!(rows, "deleted or emptied rows that were kept long enough"),
            Err(error) => debug!(%error, "failed to delete expired rows: retrying in an hour"),
        }
        if !pause(&stop, EVERY).await {
            return;
        }
    }
}

/// Cleans once; returns the number of rows.
///
/// # Errors
/// See [`Error`].
async fn clean(pool: &Pool, stop: &CancellationToken) -> Result<usize, Error> {
    let mut total = 0;
    let mut after = None;
    while !stop.is_cancelled() {
        after = pool.bounded(async |connection| erasure::erase_again(connection, after).await).await?;
        if after.is_none() {
            break;
        }
    }
    total += repeat(stop, || pool.bounded(async |connection| received::delete_old(connection).await)).await?;
    total +=
        repeat(stop, || pool.bounded(async |connection| retention::delete_old_erasures(connection).await))
            .await?;
    for (tenant, chosen) in pool.bounded(async |connection| retention::chosen(connection).await).await? {
        let some =
            || pool.bounded(async |connection| retention::delete_old(connection, tenant, &chosen).await);
        total += repeat(stop, some).await?;
    }
    Ok(total)
}

/// Repeats a step until there is nothing left to do.
async fn repeat<F: Future<Output = Result<usize, Error>>>(
    stop: &CancellationToken,
    step: impl Fn() -> F,
) -> Result<usize, Error> {
    let mut total = 0;
    while !stop.is_cancelled() {
        match step().await? {
            0 => break,
            rows => total += rows,
        }
    }
    Ok(total)
}
