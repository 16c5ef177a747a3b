//! Declares queues, the exchange and bindings again if they are deleted at the broker while we are connected.
//!
//! A caller that finds one missing requests a check ([`super::Link::declare_again`]), which runs a second later. The
//! broker does not report a deleted binding or a deleted queue that is not in use, so everything is also checked every
//! few seconds.

use std::time::Duration;

use lapin::Connection;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Error;
use super::topology::{Found, Topology};
use platform::health::{Health, Reason};
use platform::retry::Delays;

/// How often the topology is checked.
const LOOK: Duration = Duration::from_secs(5);
/// The delay between a request and its check. If a queue is deleted and declared again within milliseconds, RabbitMQ
/// 3.10 does not cancel its consumers, which stay and receive nothing. The delay gives it time to cancel them.
const CANCELLATION: Duration = Duration::from_secs(1);
/// Limit on declaring.
const DECLARE: Duration = Duration::from_secs(10);
/// Bounds of the pause between two checks, however often they are requested. It grows while declaring fails.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The reason that `/readyz` shows while declaring fails.
pub(super) const UNFIT: Reason = "queues or exchanges cannot be declared";
/// The reason while something is missing that this user may not declare.
const MISSING: Reason = "queues or exchanges are missing: a worker declares them";
/// The entry of `/readyz` that shows it.
const NAME: &str = "queues";

/// Keeps the topology declared on this connection, where the last declaration `found` this. Never returns. `asked`
/// requests a check.
pub(super) async fn run(
    connection: &Connection,
    topology: &mut Topology,
    found: Found,
    asked: &Notify,
    health: &Health,
) {
    let mut delays = Delays::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut waits = report(&found, health);
    loop {
        if waits {
            asked.notify_one();
        }
        tokio::select! {
            () = asked.notified() => sleep(CANCELLATION).await,
            () = sleep(LOOK) => {}
        }
        // A broker that blocks publishers may stop reading from this connection.
        if connection.status().connected() && !connection.status().blocked() {
            let late = |_| Err(Error::Unavailable("it did not answer in time".to_owned()));
            match timeout(DECLARE, topology.declare(connection)).await.unwrap_or_else(late) {
                Ok(found) => {
                    delays.reset();
                    if !found.declared.is_empty() {
                        warn!(missing = ?found.declared, "declared missing queues or exchanges again");
                    }
                    waits = report(&found, health);
                }
                Err(error) => {
                    if connection.status().connected() && health.set(NAME, Err(UNFIT)) {
                        warn!(%error, "failed to declare missing queues or exchanges");
                    }
                }
            }
        }
        sleep(delays.next_delay()).await;
    }
}

/// Shows what is missing. Returns whether something is.
fn report(found: &Found, health: &Health) -> bool {
    let is_whole = found.missing.is_empty();
    if health.set(NAME, if is_whole { Ok(()) } else { Err(MISSING) }) {
        if is_whole {
            info!("all queues and exchanges exist");
        } else {
            warn!(missing = ?found.missing, "queues or exchanges are missing: waiting for a worker to declare them");
        }
    }
    !is_whole
}
