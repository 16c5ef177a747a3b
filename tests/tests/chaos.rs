//! Two minutes of the chaos test with a fixed seed. `deploy/chaos` runs it for any time.

use std::time::Duration;

use tests::chaos::{Plan, play};

#[tokio::test(flavor = "multi_thread")]
async fn two_minutes_of_faults_lose_duplicate_and_reorder_nothing() {
    let plan = Plan { time: Duration::from_secs(120), seed: 4, only: &[], sabotage: None };
    let report = play(&plan, |_| {}).await;
    println!("{}", report.table);
    assert!(report.violations.is_empty(), "seed {}:\n{}", plan.seed, report.violations.join("\n"));
    assert!(report.requests > 1_000 && report.faults > 40, "there was no load, or there were no faults");
}

/// How long a build with a bug runs per seed.
const SABOTAGED: Duration = Duration::from_secs(20);

/// The checks must find a violation with this bug.
async fn is_caught(sabotage: &str) {
    for seed in 1..=6 {
        let report = play(&Plan::to_reveal(sabotage, SABOTAGED, seed), |_| {}).await;
        if let Some(first) = report.violations.first() {
            println!("{sabotage}, seed {seed}: {} violations, the first: {first}", report.violations.len());
            return;
        }
    }
    panic!("the bug {sabotage} was not detected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_before_the_commit_is_detected() {
    is_caught("reply-before-commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_before_the_commit_is_detected() {
    is_caught("ack-before-commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_applied_twice_is_detected() {
    is_caught("no-dedup").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deduplicated_create_of_an_archived_user_is_detected() {
    is_caught("no-active-check").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_command_that_is_applied_is_detected() {
    is_caught("no-ticket-check").await;
}
