//! Wrong keys at a high rate, from the address of the right ones and for their user name: right keys that this ingest
//! has never seen are admitted at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::{Okta, Stack, eventually};
use tokio::time::interval;

/// The right keys, each tried once.
const KEYS: usize = 60;
/// How many of them get wrong secrets.
const HAMMERED: usize = 3;
/// The time limit for each.
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 1 });
/// The interval between two wrong keys: a hundred a second.
const PACE: Duration = Duration::from_millis(10);
/// Counts the wrong keys by their answer.
type Counts = [AtomicUsize; 2];

/// The n-th right key. Wrong ones have another secret.
fn key(n: usize, secret: &str) -> String {
    format!("rck_siege{n:07}{secret}")
}

/// Presents wrong keys until `stop`: of every two, one has an unknown public part and one that of a right key.
async fn attack(origin: String, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    let (mut pace, mut n) = (interval(PACE), 0);
    while !stop.load(Ordering::SeqCst) {
        pace.tick().await;
        n += 1;
        let wrong = match n % 2 {
            0 => key(n / 2 % HAMMERED, "guessed"),
            _ => format!("rck_guess{n:07}guessed"),
        };
        let (guesser, counts) = (Okta::basic(&origin, "besieged", &wrong), counts.clone());
        tokio::spawn(async move {
            // The test may end before the answer.
            if let Ok(answer) = guesser.attempt(guesser.request("GET", "/Users?count=0")).await {
                let slot = match answer.status {
                    401 => 0,
                    429 => 1,
                    status => panic!("a wrong key was answered {status}"),
                };
                counts[slot].fetch_add(1, Ordering::SeqCst);
            }
        });
    }
}

/// Stops the attack even if the test fails.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn right_keys_that_were_never_seen_are_admitted_while_wrong_ones_arrive() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("besieged").await;
    let keys = format!(
        "insert into api_keys (id, tenant_id, prefix, sha256, scopes) \
         select gen_random_uuid(), '{}', substr(k, 5, 12), encode(sha256(k::bytea), 'hex'), array['scim'] \
         from generate_series(0, {KEYS} - 1) n, lateral (select 'rck_siege' || lpad(n::text, 7, '0') || 'right' as k) k",
        tenant.id
    );
    stack.db().execute(&keys).await;
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
    let _stop = StopOnDrop(stop.clone());
    let attack = tokio::spawn(attack(stack.origin(), stop.clone(), counts.clone()));
    eventually("wrong keys are throttled", Duration::from_secs(30), async || {
        let log = stack.ingests[0].log();
        let lanes = ["many wrong API keys from one address", "many wrong secrets for one API key"];
        let is_throttled =
            counts[1].load(Ordering::SeqCst) > 0 && lanes.iter().all(|lane| log.contains(lane));
        is_throttled.then_some(())
    })
    .await;
    let (mut slowest, mut pace) = (Duration::ZERO, interval(5 * PACE));
    for n in 0..KEYS {
        pace.tick().await;
        let okta = Okta::basic(&stack.origin(), "besieged", &key(n, "right"));
        let began = Instant::now();
        okta.once(okta.request("GET", "/Users?count=0")).await.is(200);
        slowest = slowest.max(began.elapsed());
    }
    stop.store(true, Ordering::SeqCst);
    attack.await.unwrap();
    println!("{counts:?} wrong keys were answered 401 and 429; the slowest right key took {slowest:?}");
    assert!(slowest < BOUND, "{slowest:?}");
    let log = stack.ingests[0].log();
    assert!(!log.contains("guess") && !log.contains("rck_"), "a key is in the log");
}
