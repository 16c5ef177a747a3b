//! `deploy/siege`: attacks a private stack as one tenant or as a stranger, and measures what another tenant notices.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tests::siege::attack::{Attack, KEY_VARIABLE, Target};
use tests::siege::{MAX_RATIO, MAX_WAIT, run};

/// Runs attacks one after the other, each on a new private stack, and measures another tenant's requests.
///
/// The neighbour's 99th percentile may be at most three times that without the attack, and never above a second. No
/// request of the neighbour may be refused.
#[derive(Parser)]
#[command(name = "siege")]
struct Arguments {
    /// The attacks; all by default.
    attacks: Vec<Attack>,
    #[command(subcommand)]
    command: Option<Internal>,
}

#[derive(Subcommand)]
enum Internal {
    /// Attacks a server until it is ended; for internal use.
    #[command(hide = true)]
    Attack {
        attack: Attack,
        #[arg(long)]
        origin: String,
        #[arg(long)]
        tenant: String,
        #[arg(long)]
        neighbour: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Internal::Attack { attack, origin, tenant, neighbour }) = arguments.command {
        let key = std::env::var(KEY_VARIABLE).unwrap_or_default();
        attack.run(Target { origin, tenant, key, neighbour }).await;
        return ExitCode::SUCCESS;
    }
    let attacks =
        if arguments.attacks.is_empty() { Attack::value_variants() } else { arguments.attacks.as_slice() };
    let mut broken = 0;
    for attack in attacks {
        let finding = run(*attack).await;
        broken += usize::from(!finding.holds);
        let verdict = if finding.holds { "holds" } else { "DOES NOT HOLD" };
        println!("siege: {}: {verdict}: {}", finding.attack.name(), finding.text);
    }
    println!(
        "{} of {} hold (at most {MAX_RATIO} times, {MAX_WAIT:?})",
        attacks.len() - broken,
        attacks.len()
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
