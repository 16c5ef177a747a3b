//! The neighbour: an ordinary tenant whose requests are measured.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::Okta;
use crate::okta::{PATCH_OP, encode, person};

/// The number of connections that the neighbour uses.
const CONNECTIONS: usize = 4;
/// The pause between two rounds of reads.
const PAUSE: Duration = Duration::from_millis(50);
/// Stands for the status of a request that was not answered.
const FAILED: u16 = 999;

/// The durations of requests.
#[derive(Default)]
pub struct Latencies {
    sorted: Vec<Duration>,
    /// How many of them were not answered 2xx.
    pub refused: usize,
}

impl Latencies {
    /// Adds a request.
    pub fn note(&mut self, status: u16, took: Duration) {
        let at = self.sorted.partition_point(|other| *other < took);
        self.sorted.insert(at, took);
        self.refused += usize::from(status >= 300);
    }

    /// The number of requests.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// A percentile; 100 is the maximum.
    ///
    /// # Panics
    /// If there was no request.
    pub fn percentile(&self, percent: usize) -> Duration {
        self.sorted[(self.len() * percent / 100).min(self.len() - 1)]
    }
}

/// Creates, reads, finds and deactivates users for `time`, one request after the other on each connection.
///
/// # Panics
/// If a request is not answered at all.
pub async fn work(okta: &Okta, phase: &str, time: Duration) -> Latencies {
    let until = Instant::now() + time;
    let all = join_all((0..CONNECTIONS).map(|connection| async move {
        let (mut latencies, mut n) = (Latencies::default(), 0);
        while Instant::now() < until {
            n += 1;
            day(okta, &format!("{phase}-{connection}-{n}@neighbour.example"), &mut latencies).await;
        }
        latencies
    }));
    let mut sum = Latencies::default();
    for one in all.await {
        sum.refused += one.refused;
        sum.sorted.extend(one.sorted);
    }
    sum.sorted.sort();
    sum
}

/// Reads users on a kept and on a new connection, and the health page, as long as `going`. A request that fails counts
/// as refused.
pub async fn read(okta: &Okta, mut going: impl FnMut() -> bool) -> Latencies {
    let mut latencies = Latencies::default();
    // The last request on a connection ends it. The client opens another one for the next request.
    let closing = |path| okta.request("GET", path).header("Connection", "close");
    while going() {
        let kept = okta.request("GET", "/Users?count=1");
        for request in [kept, closing("/Users?count=1"), closing("/../../healthz")] {
            let began = Instant::now();
            let status = okta.attempt(request).await.map_or(FAILED, |answer| answer.status);
            latencies.note(status, began.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
    latencies
}

/// A user is looked up, created, read and deactivated.
async fn day(okta: &Okta, name: &str, latencies: &mut Latencies) {
    let find = format!("/Users?filter={}", encode(&format!("userName eq \"{name}\"")));
    timed(okta, okta.request("GET", &find), latencies).await;
    let create = okta.request("POST", "/Users").body(person(name, "Nei", "Ghbour").to_string());
    let Some(id) = timed(okta, create, latencies).await else { return };
    timed(okta, okta.request("GET", &format!("/Users/{id}")), latencies).await;
    let body =
        json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "value": { "active": false } }] });
    timed(okta, okta.request("PATCH", &format!("/Users/{id}")).body(body.to_string()), latencies).await;
}

/// Sends a request; returns the id in the answer, if it has one.
async fn timed(okta: &Okta, request: RequestBuilder, latencies: &mut Latencies) -> Option<String> {
    let began = Instant::now();
    let answer = okta.once(request).await;
    latencies.note(answer.status, began.elapsed());
    answer.body["id"].as_str().map(str::to_owned)
}
