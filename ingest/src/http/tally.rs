//! Counts the requests that had no valid key. Anybody can send any number of them, so they have no log line each: the
//! first few in an interval are logged, and one line at its end has the number of all, by kind of route and status.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::info;

use super::base_url::BASE_PATH;

/// The interval of the summaries.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many requests in an interval have a log line of their own, so that an admin who tries a key finds the request.
const SINGLE: u64 = 5;

/// The counts of this process. The HTTP server's answers to invalid HTTP are made by a plain function, which has no
/// other state.
static TALLY: Tally = Tally(Mutex::new(Counts { all: 0, by: BTreeMap::new() }));

/// Counts a request on this route (`None`: no such path) with this result (`None`: the client disconnected). Returns
/// whether it should have a log line of its own.
pub(super) fn count(route: Option<&str>, status: Option<StatusCode>) -> bool {
    count_as(class(route), status)
}

/// Counts a request that is not valid HTTP.
pub(super) fn count_unreadable(status: StatusCode) {
    count_as("invalid HTTP", Some(status));
}

/// Logs the counts since the last summary.
pub fn flush() {
    if let Some((requests, summary)) = TALLY.take() {
        info!(requests, summary, "requests without a valid key");
    }
}

fn count_as(class: &'static str, status: Option<StatusCode>) -> bool {
    let nth = TALLY.add(class, status);
    if nth == 1
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn(async {
            sleep(INTERVAL).await;
            flush();
        });
    }
    nth <= SINGLE
}

/// The kind of a route, one of a few words. Nothing of the request's own text is logged.
fn class(route: Option<&str>) -> &'static str {
    let Some(route) = route else { return "no such path" };
    if route.starts_with(BASE_PATH) {
        return "scim";
    }
    let known = ["events", "reports", "activity", "unsubscribe"];
    let first = route.split('/').nth(1).unwrap_or_default();
    known.into_iter().find(|class| *class == first).unwrap_or("other")
}

struct Tally(Mutex<Counts>);

/// The counts of an interval.
struct Counts {
    all: u64,
    by: BTreeMap<(&'static str, Option<u16>), u64>,
}

impl Tally {
    /// Returns the number of requests in this interval.
    fn add(&self, class: &'static str, status: Option<StatusCode>) -> u64 {
        let mut counts = self.counts();
        counts.all += 1;
        *counts.by.entry((class, status.map(|status| status.as_u16()))).or_default() += 1;
        counts.all
    }

    /// Ends the interval. Returns the number of requests and their summary, such as `scim 401: 12, scim 405: 1`.
    fn take(&self) -> Option<(u64, String)> {
        let Counts { all, by } =
            std::mem::replace(&mut *self.counts(), Counts { all: 0, by: BTreeMap::new() });
        let mut summary = String::new();
        for ((class, status), count) in by {
            let gap = if summary.is_empty() { "" } else { ", " };
            let status = status.map_or_else(|| "disconnected".to_owned(), |status| status.to_string());
            // Writing to a string cannot fail.
            let _ = write!(summary, "{gap}{class} {status}: {count}");
        }
        (all > 0).then_some((all, summary))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_kind_of_route_and_status() {
        let tally = Tally(Mutex::new(Counts { all: 0, by: BTreeMap::new() }));
        assert_eq!(tally.take(), None);
        for nth in 1..=1_000 {
            assert_eq!(tally.add("scim", Some(StatusCode::UNAUTHORIZED)), nth);
        }
        tally.add("scim", None);
        tally.add("no such path", Some(StatusCode::NOT_FOUND));
        let summary = "no such path 404: 1, scim disconnected: 1, scim 401: 1000";
        assert_eq!(tally.take(), Some((1_002, summary.to_owned())));
        assert_eq!(tally.take(), None);
    }

    #[test]
    fn a_route_has_one_of_a_few_classes() {
        for (route, expected) in [
            (None, "no such path"),
            (Some("/scim/v2/Users/{id}"), "scim"),
            (Some("/scim/v2"), "scim"),
            (Some("/events"), "events"),
            (Some("/reports/{name}"), "reports"),
            (Some("/unsubscribe/{token}"), "unsubscribe"),
            (Some("/healthz"), "other"),
        ] {
            assert_eq!(class(route), expected, "{route:?}");
        }
    }
}
