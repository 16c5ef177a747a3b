//! `deploy/chaos`: runs the chaos test for a given time and reports violations.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tests::chaos::{Plan, play};

/// Injects every kind of fault into a private Rollcall stack under load, and checks what its clients observed.
///
/// The load is creates, updates, deactivations, reactivations, renames, group pushes and assignments from three
/// tenants. Meanwhile services and servers are killed, paused and restarted, links cut and slowed, connections closed,
/// the queue filled, and the mail server fails. Afterwards the history of every user and group must be linearizable,
/// every event and every mail must match, and nothing may be left over.
#[derive(Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// How long to inject faults.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// The seed for the faults; random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs workers with a bug (reply-before-commit, ack-before-commit, no-dedup, no-ticket-check, no-active-check)
    /// under the faults that expose it. The checks must report violations.
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
