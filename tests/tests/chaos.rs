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
async fn is_caught(sabotage: &str, only: &'static [&'static str]) {
    for seed in 1..=4 {
        let report =
            play(&Plan { time: SABOTAGED, seed, only, sabotage: Some(sabotage.to_owned()) }, |_| {}).await;
        if let Some(first) = report.violations.first() {
            println!("{sabotage}, seed {seed}: {} violations, the first: {first}", report.violations.len());
            return;
        }
    }
    panic!("a worker with the fault {sabotage} passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_before_the_commit_is_caught() {
    is_caught(
        "reply-before-commit",
        &["worker to PostgreSQL: cut", "worker to PostgreSQL: slow", "worker killed", "PostgreSQL killed"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_before_the_commit_is_caught() {
    is_caught("ack-before-commit", &["worker to PostgreSQL: slow", "worker killed", "PostgreSQL paused"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_applied_twice_is_caught() {
    is_caught(
        "no-dedup",
        &["worker to RabbitMQ: cut", "worker to RabbitMQ: slow", "worker killed", "AMQP connections closed"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_command_that_is_applied_is_caught() {
    is_caught("no-ticket-check", &["worker to RabbitMQ: cut", "worker paused", "AMQP connections closed"])
        .await;
}
