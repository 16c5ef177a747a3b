//! Opens many sockets of strangers at a running ingest, and reports its memory and the latencies of a known client.
//! Raise `ulimit -n` first.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::{StreamExt, stream};
use tests::Okta;
use tests::strangers::{Kind, ROUTES, address};
use tokio::sync::watch;

/// How many connections are opened at a time.
const AT_ONCE: usize = 200;
/// The pause between two requests of the known client.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens sockets of each kind, as many as wanted, at every route of an ingest on this machine; reports after each kind.
#[derive(Parser)]
#[command(name = "strangers")]
struct Arguments {
    /// The ingest's port.
    #[arg(long)]
    port: u16,
    /// The ingest's process, for its memory.
    #[arg(long)]
    pid: u32,
    /// An API key, for the known client.
    #[arg(long)]
    key: String,
    /// The number of sockets of each kind.
    #[arg(long, default_value_t = 20_000)]
    sockets: usize,
    /// The number of addresses, from 127.0.0.1 on.
    #[arg(long, default_value_t = 40)]
    addresses: usize,
}

/// What the known client saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    failed: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (mut all_well, mut held) = (true, Vec::new());
    for kind in Kind::ALL {
        let (stop, stopped) = watch::channel(());
        let known = tokio::spawn(ask(arguments.port, arguments.key.clone(), stopped));
        let sockets = (0..arguments.sockets).map(|n| {
            kind.open(address(n % arguments.addresses), arguments.port, ROUTES[n % ROUTES.len()], None)
        });
        let opened: Vec<_> = stream::iter(sockets).buffer_unordered(AT_ONCE).collect().await;
        let count = opened.iter().flatten().count();
        held.push(opened);
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(stop);
        let Seen { mut took, failed } = known.await.expect("it does not panic");
        took.sort();
        let at = |share: usize| took.get((took.len() * share / 100).min(took.len().saturating_sub(1)));
        println!(
            "{kind:?}: {count} opened; ingest {}; {} answers, {failed} failed, median {:?}, p99 {:?}, longest {:?}",
            memory(arguments.pid),
            took.len(),
            at(50),
            at(99),
            took.last()
        );
        all_well &= failed == 0 && !took.is_empty();
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads users on a kept and on a new connection, and the health page, until told to stop.
async fn ask(port: u16, key: String, mut stopped: watch::Receiver<()>) -> Seen {
    let okta = Okta::bearer(&format!("http://127.0.0.1:{port}"), &key);
    let mut seen = Seen::default();
    loop {
        let kept = okta.request("GET", "/Users?count=1");
        let fresh = okta.request("GET", "/Users?count=1").header("Connection", "close");
        for request in [kept, fresh, okta.request("GET", "/../../healthz")] {
            let began = Instant::now();
            match okta.attempt(request).await {
                Ok(answer) if answer.status == 200 => seen.took.push(began.elapsed()),
                _ => seen.failed += 1,
            }
        }
        tokio::select! {
            _ = stopped.changed() => return seen,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let wanted = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    wanted.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
