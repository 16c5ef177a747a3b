//! One lasting link to the broker: connects, declares the topology and keeps it ([`repair`]), notices a break, connects again.
//!
//! lapin's own recovery is not used: it forgets the prefetch. Whoever holds a channel rebuilds it from here.

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Error, repair, topology};
use crate::health::{AWAY, Health};
use crate::retry::Delays;

/// Seconds between heartbeats: a broker, or a worker, that hangs is given up after two. Then there is time left before the deadline for
/// another worker to apply what that one held.
const HEARTBEAT: u16 = 5;
/// How long connecting and declaring may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How often the link is looked at.
const WATCH: Duration = Duration::from_millis(200);

/// What a blocked publisher is told.
const BLOCKED: &str = "it blocks publishers (memory or disk alarm)";

/// The link. Clones share it.
#[derive(Clone)]
pub struct Link {
    connection: watch::Receiver<Option<Arc<Connection>>>,
    /// Asks for a look at the topology.
    declare_again: Arc<Notify>,
}

/// How to connect.
#[derive(Clone)]
pub struct Settings {
    uri: AMQPUri,
    name: String,
    queue_limit: u32,
}

impl Link {
    /// Starts the link in the background; it lives until `stop` is cancelled. `health` learns of it as `rabbitmq`.
    ///
    /// # Errors
    /// When the URL is none of a broker.
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

    /// A queue or an exchange of ours was not found: what is missing is declared again within a moment.
    pub fn declare_again(&self) {
        self.declare_again.notify_one();
    }

    /// One that never comes up.
    #[cfg(test)]
    pub(super) fn down() -> Self {
        Self { connection: watch::channel(None).1, declare_again: Arc::default() }
    }

    /// The connection, if there is one now that takes messages.
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

    /// Waits for a connection; `None` when the link has been stopped.
    pub async fn up(&mut self) -> Option<Arc<Connection>> {
        let up = |connection: &Option<Arc<Connection>>| {
            connection.as_ref().is_some_and(|c| c.status().connected())
        };
        self.connection.wait_for(up).await.ok()?.clone()
    }

    /// A new channel, in confirm mode where asked for.
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

/// Connects once, for a program that does its work and ends.
///
/// # Errors
/// When the URL is wrong or the broker cannot be reached.
pub async fn connect_once(url: &str, name: &str, queue_limit: u32) -> Result<Link, Error> {
    let settings = settings(url, name, queue_limit).map_err(Error::Unavailable)?;
    let connection = Arc::new(connect(&settings).await?);
    let (sender, receiver) = watch::channel(Some(connection.clone()));
    let link = Link { connection: receiver, declare_again: Arc::default() };
    let (asked, health) = (link.declare_again.clone(), Health::default());
    // The link outlives this call: the sender must not be dropped before the program ends.
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = repair::run(&connection, settings.queue_limit, &asked, &health) => {}
        }
    });
    Ok(link)
}

fn settings(url: &str, name: &str, queue_limit: u32) -> Result<Settings, String> {
    // The parser's own words may repeat the password.
    let mut uri: AMQPUri = url.parse().map_err(|_| "is no URL of an AMQP broker".to_owned())?;
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
            Ok(connection) => {
                delays.reset();
                let connection = Arc::new(connection);
                current.send_replace(Some(connection.clone()));
                tokio::select! {
                    () = watch_over(&connection, &health, &stop) => {}
                    () = repair::run(&connection, settings.queue_limit, &declare_again, &health) => {}
                }
                current.send_replace(None);
                // Closed when the last channel on it is let go of.
                drop(connection);
            }
            Err(error) => {
                let reason = if matches!(error, Error::Mismatch { .. }) { repair::UNFIT } else { AWAY };
                if health.set("rabbitmq", Err(reason)) {
                    warn!(%error, "RabbitMQ is away");
                }
            }
        }
        if !crate::shutdown::pause(&stop, delays.next_delay()).await {
            break;
        }
    }
}

async fn connect(settings: &Settings) -> Result<Connection, Error> {
    let properties = ConnectionProperties::default().with_connection_name(settings.name.as_str().into());
    let connect = async {
        let connection = Connection::connect_uri(settings.uri.clone(), properties).await?;
        topology::declare(&connection, settings.queue_limit).await?;
        Ok(connection)
    };
    let late = |_| Err(Error::Unavailable("it did not answer in time".to_owned()));
    tokio::time::timeout(CONNECT, connect).await.unwrap_or_else(late)
}

/// Returns when the connection is no more, or `stop` is cancelled.
async fn watch_over(connection: &Connection, health: &Health, stop: &CancellationToken) {
    loop {
        let status = connection.status();
        let (state, reason) = if !status.connected() {
            (Err(AWAY), "the connection broke")
        } else if status.blocked() {
            (Err("takes no messages"), BLOCKED)
        } else {
            (Ok(()), "")
        };
        if health.set("rabbitmq", state) {
            if state.is_ok() { info!("RabbitMQ is there") } else { warn!(reason, "RabbitMQ is away") }
        }
        if !status.connected() || !crate::shutdown::pause(stop, WATCH).await {
            return;
        }
    }
}
