//! Two minutes of bad luck with a fixed seed. `deploy/chaos` does it for as long as one likes.

use std::time::Duration;

use tests::chaos::{Plan, play};

#[tokio::test(flavor = "multi_thread")]
async fn two_minutes_of_every_fault_lose_double_and_disorder_nothing() {
    let plan = Plan { time: Duration::from_secs(120), seed: 4, only: &[], sabotage: None };
    let report = play(&plan, |_| {}).await;
    println!("{}", report.table);
    assert!(report.violations.is_empty(), "seed {}:\n{}", plan.seed, report.violations.join("\n"));
    assert!(report.requests > 1_000 && report.faults > 40, "there was no load, or no bad luck");
}

/// How long a build with a fault may go undiscovered.
const SABOTAGED: Duration = Duration::from_secs(30);

/// The judge is worth nothing if it lets these pass.
async fn is_caught(sabotage: &str) {
    for seed in 1..=4 {
        let report = play(&Plan::to_reveal(sabotage, SABOTAGED, seed), |_| {}).await;
        if let Some(first) = report.violations.first() {
            println!("{sabotage}, seed {seed}: {} violations, the first: {first}", report.violations.len());
            return;
        }
    }
    panic!("a worker with the fault {sabotage} passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_before_the_commit_is_caught() {
    is_caught("reply-before-commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_before_the_commit_is_caught() {
    is_caught("ack-before-commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_applied_twice_is_caught() {
    is_caught("no-dedup").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_handed_out_for_somebody_archived_is_caught() {
    is_caught("no-active-check").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_command_that_is_applied_is_caught() {
    is_caught("no-ticket-check").await;
}
