//! One tenant sends as much as it can in every way; another tenant's single changes and reads are not delayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::load::somebody;
use tests::okta::person;
use tests::{Okta, Stack};

use crate::postgres_away::only_answers_okta_understands;

/// The number of changes and reads of the quiet tenant during each push.
const CHANGES: usize = 8;
/// The limits for the median and the maximum. Unoptimized builds share two cores with the push and other tests.
const MEDIAN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 4 } else { 1 });
const SLOWEST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 15 } else { 1 });

/// Builds the n-th request of a push.
type Nth<'a> = &'a dyn Fn(usize) -> RequestBuilder;

/// Sends requests over this many connections until `stop`; returns how many were accepted.
async fn push(
    okta: &Okta,
    connections: usize,
    stop: &AtomicBool,
    nth: impl Fn(usize) -> RequestBuilder,
) -> usize {
    let going = |_: &usize| std::future::ready(!stop.load(Ordering::SeqCst));
    let one = async |n: usize| {
        let answer = okta.once(nth(n)).await;
        if answer.status == 429 {
            // Waits less than `Retry-After`.
            tokio::time::sleep(Duration::from_secs(answer.retry_after().min(1))).await;
        }
        usize::from(answer.status < 300)
    };
    let answers = stream::iter(0..).take_while(going).map(one).buffer_unordered(connections);
    answers.fold(0, async |taken, one| taken + one).await
}

/// Sends single changes and reads one after the other; returns their sorted durations.
async fn quiet_day(okta: &Okta, phase: &str) -> Vec<Duration> {
    let mut took = Vec::new();
    for n in 0..CHANGES {
        let user = person(&format!("{phase}-{n}@quiet.example"), "Qui", "Et");
        let began = Instant::now();
        let id = okta.once(okta.request("POST", "/Users").body(user.to_string())).await.is(201).id();
        took.push(began.elapsed());
        let began = Instant::now();
        okta.once(okta.request("GET", &format!("/Users/{id}"))).await.is(200);
        took.push(began.elapsed());
    }
    took.sort();
    took
}

/// Stops a push even if the test fails.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn bulk(n: usize) -> Value {
    let operation = |m: usize| {
        let data = somebody("loud-bulk", n * 20 + m);
        json!({ "method": "POST", "path": "/Users", "bulkId": m.to_string(), "data": data })
    };
    let operations: Vec<_> = (0..20).map(operation).collect();
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_push_does_not_delay_another_tenants_changes() {
    let stack = Stack::own().await;
    let (loud, quiet) = (stack.tenant("loud").await.okta(), stack.tenant("quiet").await.okta());
    let single = |company: &'static str| {
        let loud = &loud;
        move |n| loud.request("POST", "/Users").body(somebody(company, n).to_string())
    };
    let later = |n| single("loud-later")(n).header("Prefer", "respond-async");
    let bulk = |n| loud.request("POST", "/Bulk").body(bulk(n).to_string());
    quiet_day(&quiet, "before").await;
    let phases: [(&str, usize, Nth<'_>); 4] = [
        ("singles", 256, &single("loud")),
        ("crowd", 800, &single("loud-crowd")),
        ("later", 256, &later),
        ("bulk", 64, &bulk),
    ];
    for (phase, connections, nth) in phases {
        let stop = Arc::new(AtomicBool::new(false));
        // In a task of its own, to measure the server rather than the push.
        let day = tokio::spawn({
            let (quiet, stop) = (quiet.clone(), stop.clone());
            async move {
                let _stop = StopOnDrop(stop);
                quiet_day(&quiet, phase).await
            }
        });
        let taken = push(&loud, connections, &stop, nth).await;
        let took = day.await.unwrap();
        let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "{phase}: {taken} requests of the push accepted; the quiet tenant waited {median:?}, at most {slowest:?}"
        );
        assert!(median < MEDIAN && slowest < SLOWEST, "{phase}: {median:?}, {slowest:?}");
        assert!(taken > 0, "{phase}: no request of the push was accepted");
    }
    only_answers_okta_understands(&loud);
    only_answers_okta_understands(&quiet);
}
