//! Stopping in order: first nothing new is taken, then what is held is finished, within bounds.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a service may take to finish what it holds before it is stopped hard.
pub const GRACE: Duration = Duration::from_secs(25);

/// A token that is cancelled by SIGTERM, SIGINT or SIGHUP.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hup = signal(SignalKind::hangup())?;
    let stop = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
            _ = hup.recv() => "SIGHUP",
        };
        info!(signal = name, "stopping: finishing what is in hand");
        stop.cancel();
    });
    Ok(token)
}

/// Runs `work` to its end; once `stop` is cancelled, for at most [`GRACE`] longer. Says whether it ended by itself.
pub async fn within_grace(stop: &CancellationToken, work: impl Future<Output = ()>) -> bool {
    let bound = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = work => true,
        () = bound => {
            warn!(grace_s = GRACE.as_secs(), "stopping hard: the work in hand did not finish in time");
            false
        }
    }
}

/// Waits for `pause`, or less if `stop` is cancelled meanwhile. Says whether to go on.
pub async fn pause(stop: &CancellationToken, pause: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
