//! `deploy/chaos`: an hour of bad luck, or as long as is asked for, and its judgement.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tests::chaos::{Plan, play};

/// Breaks a Rollcall of its own in every way there is, under load, and judges what its clients saw.
///
/// A load of creates, updates, deactivations, reactivations, renames, group pushes and assignments from three tenants runs
/// while services and servers are killed, paused and restarted, links cut and slowed, connections closed, the queue filled,
/// and the mail server is out of order. At the end every user's and every group's history must be explained by some order of
/// its acknowledged changes, every event and every mail must match, and nothing may be left over.
#[derive(Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// For how long things are broken.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// The seed of what is broken when; by default another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs workers with a fault (reply-before-commit, ack-before-commit, no-dedup, no-ticket-check, no-active-check) among such bad luck as
    /// brings it to light: the judge must notice.
    #[arg(long)]
    sabotage: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    println!("chaos: {} min, seed {seed}", arguments.minutes);
    let time = Duration::from_secs(60 * arguments.minutes);
    let plan = match &arguments.sabotage {
        Some(fault) => Plan::to_reveal(fault, time, seed),
        None => Plan { time, seed, only: &[], sabotage: None },
    };
    let report = play(&plan, |line| println!("chaos: {line}")).await;
    println!("\n{}", report.table);
    println!(
        "{} requests by {} users and groups, {} faults, each kind at least {} times",
        report.requests, report.subjects, report.faults, report.rarest
    );
    if report.violations.is_empty() {
        println!("all invariants hold (seed {seed})");
        return ExitCode::SUCCESS;
    }
    for violation in &report.violations {
        println!("VIOLATION (seed {seed}): {violation}");
    }
    ExitCode::FAILURE
}
