//! Bounded waiting for a condition. The tests wait in no other way.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// The polling interval.
const INTERVAL: Duration = Duration::from_millis(25);

/// Polls `look` until it returns `Some`, and returns the value.
///
/// # Panics
/// If it does not within `within`; names the condition.
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

/// Polls `look` for as long as `time`; returns whether it was always true. For asserting that something does not
/// happen.
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
