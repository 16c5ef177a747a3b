//! Two minutes of bad luck with a fixed seed. `deploy/chaos` does it for as long as one likes.

use std::time::Duration;

use tests::chaos::{Plan, play};

#[tokio::test(flavor = "multi_thread")]
async fn two_minutes_of_every_fault_lose_double_and_disorder_nothing() {
    let plan = Plan { time: Duration::from_secs(120), seed: 4, only: &[], environment: Vec::new() };
    let report = play(&plan, |_| {}).await;
    println!("{}", report.table);
    assert!(report.violations.is_empty(), "seed {}:\n{}", plan.seed, report.violations.join("\n"));
    assert!(report.requests > 1_000 && report.rarest > 0, "there was no load, or no bad luck");
}
