//! One lasting link to the broker: connects, declares the topology, notices a break, connects again.
//!
//! lapin's own recovery is not used: it forgets the prefetch. Whoever holds a channel rebuilds it from here.

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Error, topology};
use crate::health::Health;
use crate::retry::Delays;

/// Seconds between heartbeats: a broker, or a worker, that hangs is given up after two. Then there is time left before the deadline for
/// another worker to apply what that one held.
const HEARTBEAT: u16 = 5;
/// How long connecting and declaring may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How often the link is looked at.
const WATCH: Duration = Duration::from_millis(200);

/// The link. Clones share it.
#[derive(Clone)]
pub struct Link(watch::Receiver<Option<Arc<Connection>>>);

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
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(keep(settings, sender, health, stop));
        Ok(Self(receiver))
    }

    /// One that never comes up.
    #[cfg(test)]
    pub(super) fn down() -> Self {
        Self(watch::channel(None).1)
    }

    /// The connection, if there is one now that takes messages.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub fn connection(&self) -> Result<Arc<Connection>, Error> {
        match self.0.borrow().as_ref() {
            Some(connection) if connection.status().blocked() => {
                Err(Error::Unavailable("it blocks publishers (memory or disk alarm)".to_owned()))
            }
            Some(connection) if connection.status().connected() => Ok(connection.clone()),
            _ => Err(Error::Unavailable("no connection".to_owned())),
        }
    }

    /// Waits for a connection; `None` when the link has been stopped.
    pub async fn up(&mut self) -> Option<Arc<Connection>> {
        let up = |connection: &Option<Arc<Connection>>| {
            connection.as_ref().is_some_and(|c| c.status().connected())
        };
        self.0.wait_for(up).await.ok()?.clone()
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
    let connection = connect(&settings).await?;
    let (sender, receiver) = watch::channel(Some(Arc::new(connection)));
    // The link outlives this call: the sender must not be dropped before the program ends.
    tokio::spawn(async move { sender.closed().await });
    Ok(Link(receiver))
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
                watch_over(&connection, &health, &stop).await;
                current.send_replace(None);
                // Closed when the last channel on it is let go of.
                drop(connection);
            }
            Err(error) => {
                if health.set("rabbitmq", Err(error.to_string())) {
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
        let state = if !status.connected() {
            Err("the connection broke".to_owned())
        } else if status.blocked() {
            Err("it blocks publishers (memory or disk alarm)".to_owned())
        } else {
            Ok(())
        };
        let reason = state.as_ref().err().cloned().unwrap_or_default();
        if health.set("rabbitmq", state) {
            if reason.is_empty() { info!("RabbitMQ is there") } else { warn!(reason, "RabbitMQ is away") }
        }
        if !status.connected() || !crate::shutdown::pause(stop, WATCH).await {
            return;
        }
    }
}
