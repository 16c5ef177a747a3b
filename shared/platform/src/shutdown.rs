//! Graceful shutdown: first no new work is accepted, then work in progress is finished, within limits.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a service may take to finish work in progress before a hard stop.
pub const GRACE: Duration = Duration::from_secs(25);

/// A token that is cancelled by SIGTERM, SIGINT or SIGHUP.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    Ok(on_signal_after(Duration::ZERO)?.stop)
}

/// Shutdown in two steps, for services that receive requests.
#[derive(Clone, Debug)]
pub struct Stopping {
    /// Cancelled by the first signal: everything still works, but clients should use another instance.
    pub leaving: CancellationToken,
    /// Cancelled some time after that, or by the second signal: no new work is accepted.
    pub stop: CancellationToken,
}

/// Stops on SIGTERM, SIGINT or SIGHUP, with `drain` between the two steps.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn on_signal_after(drain: Duration) -> std::io::Result<Stopping> {
    let stopping = Stopping { leaving: CancellationToken::new(), stop: CancellationToken::new() };
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hup = signal(SignalKind::hangup())?;
    let mut next = async move || {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
            _ = hup.recv() => "SIGHUP",
        }
    };
    let Stopping { leaving, stop } = stopping.clone();
    tokio::spawn(async move {
        let signal = next().await;
        leaving.cancel();
        if !drain.is_zero() {
            info!(signal, drain_s = drain.as_secs(), "draining: clients should use another instance");
            // A second signal ends the wait.
            let _ = tokio::time::timeout(drain, next()).await;
        }
        info!(signal, "stopping: finishing work in progress");
        stop.cancel();
    });
    Ok(stopping)
}

/// Runs `work` to its end; once `stop` is cancelled, for at most [`GRACE`] longer. Returns whether it finished.
pub async fn within_grace(stop: &CancellationToken, work: impl Future<Output = ()>) -> bool {
    let bound = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = work => true,
        () = bound => {
            warn!(grace_s = GRACE.as_secs(), "stopping hard: work in progress did not finish in time");
            false
        }
    }
}

/// Waits for `pause`, or less if `stop` is cancelled. Returns whether to continue.
pub async fn pause(stop: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
