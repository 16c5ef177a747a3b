//! A permanent link to the broker: it connects, declares the topology and keeps it declared ([`repair`]), and
//! reconnects after a break.
//!
//! lapin's own recovery is not used: it loses the prefetch. After a break, users of the link open new channels from
//! it.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::topology::{Found, Topology};
use super::{Error, repair};
use platform::health::{AWAY, Health};
use platform::retry::Delays;

/// Seconds between heartbeats. A broker or a worker that hangs is considered dead after two, which leaves another
/// worker time to apply the redelivered commands before the deadline.
const HEARTBEAT: u16 = 5;
/// Limit on connecting and declaring the topology.
const CONNECT: Duration = Duration::from_secs(10);
/// How often the connection's state is checked.
const WATCH: Duration = Duration::from_millis(200);

/// The reason while the broker blocks publishers.
const BLOCKED: &str = "it blocks publishers (memory or disk alarm)";

/// A link to the broker. Clones share it.
#[derive(Clone)]
pub struct Link {
    connection: watch::Receiver<Option<Arc<Connection>>>,
    /// Requests a check of the topology.
    declare_again: Arc<Notify>,
}

/// Connection settings.
#[derive(Clone)]
pub struct Settings {
    uri: AMQPUri,
    name: String,
    queue_limit: u32,
}

impl Link {
    /// Starts the link in the background. It runs until `stop` is cancelled and sets `rabbitmq` in `health`.
    ///
    /// # Errors
    /// When the URL is not an AMQP URL.
    pub fn start(
        url: &str,
        name: &str,
        queue_limit: u32,
        health: Health,
        stop: CancellationToken,
    ) -> Result<Self, String> {
        let settings = settings(url, name, queue_limit)?;
        let (sender, connection) = watch::channel(None);
        let link = Self { connection, declare_again: Arc::default() };
        tokio::spawn(keep(settings, sender, link.declare_again.clone(), health, stop));
        Ok(link)
    }

    /// Call this when a queue or an exchange was not found. Missing ones are declared again a second later.
    pub fn declare_again(&self) {
        self.declare_again.notify_one();
    }

    /// A link that never connects.
    #[cfg(test)]
    pub(super) fn down() -> Self {
        Self { connection: watch::channel(None).1, declare_again: Arc::default() }
    }

    /// The current connection, if it accepts messages.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub fn connection(&self) -> Result<Arc<Connection>, Error> {
        match self.connection.borrow().as_ref() {
            Some(connection) if connection.status().blocked() => Err(Error::Unavailable(BLOCKED.to_owned())),
            Some(connection) if connection.status().connected() => Ok(connection.clone()),
            _ => Err(Error::Unavailable("no connection".to_owned())),
        }
    }

    /// Waits for a connection; `None` when the link has stopped.
    pub async fn up(&mut self) -> Option<Arc<Connection>> {
        let up = |connection: &Option<Arc<Connection>>| {
            connection.as_ref().is_some_and(|c| c.status().connected())
        };
        self.connection.wait_for(up).await.ok()?.clone()
    }

    /// The number of messages in a queue that are ready for a consumer.
    ///
    /// # Errors
    /// When the broker is unavailable, or the queue does not exist.
    pub async fn ready(&self, queue: &str) -> Result<u32, Error> {
        let channel = self.channel(false).await?;
        let passive = QueueDeclareOptions::durable().passive();
        let state = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        channel.close(200, "looked".into()).await?;
        Ok(state.message_count())
    }

    /// A new channel, in confirm mode if `confirms` is set.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn channel(&self, confirms: bool) -> Result<Channel, Error> {
        let channel = self.connection()?.create_channel().await?;
        if confirms {
            channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await?;
        }
        Ok(channel)
    }
}

/// Connects once, for a short-lived program.
///
/// # Errors
/// When the URL is invalid or the broker cannot be reached.
pub async fn connect_once(url: &str, name: &str, queue_limit: u32) -> Result<Link, Error> {
    let settings = settings(url, name, queue_limit).map_err(Error::Unavailable)?;
    let (connection, mut topology, found) = connect(&settings).await?;
    let connection = Arc::new(connection);
    let (sender, receiver) = watch::channel(Some(connection.clone()));
    let link = Link { connection: receiver, declare_again: Arc::default() };
    let (asked, health) = (link.declare_again.clone(), Health::default());
    // The task keeps the sender alive until the last copy of the link is dropped.
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = repair::run(&connection, &mut topology, found, &asked, &health) => {}
        }
    });
    Ok(link)
}

fn settings(url: &str, name: &str, queue_limit: u32) -> Result<Settings, String> {
    // The parser's own message may contain the password.
    let mut uri: AMQPUri = url.parse().map_err(|_| "is not an AMQP URL".to_owned())?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(Settings { uri, name: name.to_owned(), queue_limit })
}

async fn keep(
    settings: Settings,
    current: watch::Sender<Option<Arc<Connection>>>,
    declare_again: Arc<Notify>,
    health: Health,
    stop: CancellationToken,
) {
    let mut delays = Delays::reconnect();
    while !stop.is_cancelled() {
        match connect(&settings).await {
            Ok((connection, mut topology, found)) => {
                delays.reset();
                let connection = Arc::new(connection);
                current.send_replace(Some(connection.clone()));
                tokio::select! {
                    () = watch_over(&connection, &health, &stop) => {}
                    () = repair::run(&connection, &mut topology, found, &declare_again, &health) => {}
                }
                current.send_replace(None);
                // The connection closes when its last channel is dropped.
                drop(connection);
            }
            Err(error) => {
                let reason = if matches!(error, Error::Mismatch { .. }) { repair::UNFIT } else { AWAY };
                if health.set("rabbitmq", Err(reason)) {
                    warn!(%error, "RabbitMQ is unavailable");
                }
            }
        }
        if !platform::shutdown::pause(&stop, delays.next_delay()).await {
            break;
        }
    }
}

async fn connect(settings: &Settings) -> Result<(Connection, Topology, Found), Error> {
    let properties = ConnectionProperties::default().with_connection_name(settings.name.as_str().into());
    let connect = async {
        let connection = Connection::connect_uri(settings.uri.clone(), properties).await?;
        let mut topology = Topology::new(settings.queue_limit);
        let found = topology.declare(&connection).await?;
        Ok((connection, topology, found))
    };
    let late = |_| Err(Error::Unavailable("it did not answer in time".to_owned()));
    tokio::time::timeout(CONNECT, connect).await.unwrap_or_else(late)
}

/// Returns when the connection is lost or `stop` is cancelled.
async fn watch_over(connection: &Connection, health: &Health, stop: &CancellationToken) {
    loop {
        let status = connection.status();
        let (state, reason) = if !status.connected() {
            (Err(AWAY), "the connection broke")
        } else if status.blocked() {
            (Err("blocks publishers"), BLOCKED)
        } else {
            (Ok(()), "")
        };
        if health.set("rabbitmq", state) {
            if state.is_ok() {
                info!("RabbitMQ is available");
            } else {
                warn!(reason, "RabbitMQ is unavailable");
            }
        }
        if !status.connected() || !platform::shutdown::pause(stop, WATCH).await {
            return;
        }
    }
}
