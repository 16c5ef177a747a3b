//! The only waiting of the tests: for a condition, within bounds.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(25);

/// Looks until `look` says `Some`, and returns that.
///
/// # Panics
/// When it has not within `within`: with what was waited for.
pub async fn eventually<T>(
    what: impl Display,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Looks for as long as `time`, and says whether `look` was true every time: for what must *not* happen.
pub async fn holds_for(time: Duration, mut look: impl AsyncFnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if !look().await {
            return false;
        }
        tokio::time::sleep(INTERVAL).await;
    }
    true
}
