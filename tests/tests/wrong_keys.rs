//! Fast guessing of keys is slowed down, while clients with a valid key, even from the same address, are not affected.

use std::time::{Duration, Instant};

use base64::Engine as _;
use futures_util::future::join_all;
use tests::{Answer, Okta, Stack};

/// The number of concurrent guesses.
const GUESSES: usize = 60;
/// The time limit for a request with a valid key.
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 8 } else { 1 });

async fn guess(guesser: &Okta, n: usize) -> Answer {
    let pair = format!("victim:rck_guess{n:07}wrongwrongwrongwrong");
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    guesser.once(guesser.request("GET", "/Users").header("Authorization", format!("Basic {pair}"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow_and_does_not_affect_clients_with_a_valid_key() {
    let stack = Stack::own().await;
    let guesser = Okta::with(&stack.origin(), None);
    let (victim, other) = (stack.tenant("victim").await, stack.tenant("bystander").await);
    let works = [victim.okta(), other.okta()];
    for okta in &works {
        okta.get("/Users?count=1").await.is(200);
    }
    let guesses = async {
        let began = Instant::now();
        let answers = join_all((0..GUESSES).map(|n| guess(&guesser, n))).await;
        (answers, began.elapsed())
    };
    let work = async {
        let mut slowest = Duration::ZERO;
        for n in 0..40 {
            let began = Instant::now();
            works[n % 2].once(works[n % 2].request("GET", "/Users?count=1")).await.is(200);
            slowest = slowest.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        slowest
    };
    let ((answers, took), slowest) = tokio::join!(guesses, work);
    assert!(slowest < BOUND, "{slowest:?}");
    let wrong = answers.iter().filter(|answer| answer.status == 401).count();
    // A burst of ten; then two a second from a bounded queue; the rest is rejected.
    assert!((10..=40).contains(&wrong), "{wrong} were checked");
    assert!(took >= Duration::from_secs(4), "{took:?}");
    for answer in answers.into_iter().filter(|answer| answer.status != 401) {
        assert!(answer.is_error(429).retry_after() > 0);
    }
    let log = stack.ingests[0].log();
    assert_eq!(log.matches("many wrong API keys from one address").count(), 1, "once a minute");
    assert!(!log.contains("rck_guess") && !log.contains("wrongwrong"), "a key is in the log");
}
