//! Declaring again what was deleted at the broker while we are connected: a queue, the exchange, a binding.
//!
//! A caller that misses something says so ([`super::Link::declare_again`]), and it is declared a second later. The broker tells
//! nobody that a binding is gone, or a queue that is not in use: so everything is also checked every few seconds.

use std::time::Duration;

use lapin::Connection;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Error, topology};
use crate::health::{Health, Reason};
use crate::retry::Delays;

/// How often it is looked whether all is there.
const LOOK: Duration = Duration::from_secs(5);
/// How long after something was missed it is declared. Of a queue that is deleted and declared again within milliseconds RabbitMQ
/// 3.10 tells its consumers nothing: they stay, and get nothing. Until then it has told them.
const SETTLED: Duration = Duration::from_secs(1);
/// How long declaring may take.
const DECLARE: Duration = Duration::from_secs(10);
/// The pauses between two looks, however loudly somebody misses something: they grow while declaring fails.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What `/readyz` says while that fails.
pub(super) const UNFIT: Reason = "queues or exchanges cannot be declared";
/// The entry of `/readyz` that says so.
const NAME: &str = "queues";

/// Looks after the topology on this connection, on which all of it was declared just now; ends never. `asked` wakes it.
pub(super) async fn run(connection: &Connection, queue_limit: u32, asked: &Notify, health: &Health) {
    let mut delays = Delays::new(FIRST_PAUSE, LONGEST_PAUSE);
    health.set(NAME, Ok(()));
    loop {
        tokio::select! {
            () = asked.notified() => sleep(SETTLED).await,
            () = sleep(LOOK) => {}
        }
        // A broker that blocks publishers may not read from this connection at all.
        if connection.status().connected() && !connection.status().blocked() {
            let late = |_| Err(Error::Unavailable("it did not answer in time".to_owned()));
            match timeout(DECLARE, topology::declare(connection, queue_limit)).await.unwrap_or_else(late) {
                Ok(missing) => {
                    delays.reset();
                    if !missing.is_empty() {
                        warn!(?missing, "declared again what was missing at the broker");
                    }
                    if health.set(NAME, Ok(())) {
                        info!("all queues and exchanges are there");
                    }
                }
                Err(error) => {
                    if connection.status().connected() && health.set(NAME, Err(UNFIT)) {
                        warn!(%error, "failed to declare what is missing at the broker");
                    }
                }
            }
        }
        sleep(delays.next_delay()).await;
    }
}
