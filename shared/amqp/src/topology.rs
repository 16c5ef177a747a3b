//! Exchanges, queues and bindings, as data. Every service whose broker user may do so declares them when it connects;
//! `super::repair` declares them again if they are deleted later. The others wait for that.

use lapin::message::Delivery;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::Error;

/// The queue of commands.
pub const COMMANDS: &str = "rollcall.commands";
/// The queue of commands whose sender waits for no reply; workers give it a smaller share.
pub const BULK: &str = "rollcall.commands.bulk";
/// The queue in which commands of [`COMMANDS`] wait whose tenant has used up its share of a worker. RabbitMQ returns each
/// to its queue after [`LATER`].
pub const COMMANDS_LATER: &str = "rollcall.commands.later";
/// The same for [`BULK`].
pub const BULK_LATER: &str = "rollcall.commands.bulk.later";
/// How long a message waits in [`COMMANDS_LATER`] or [`BULK_LATER`], in milliseconds.
pub const LATER: i64 = 2_000;
/// The exchange of events, routed by their type.
pub const EVENTS: &str = "rollcall.events";
/// The notifier's queue of events.
pub const NOTIFIER: &str = "rollcall.events";
/// The queue of role changes from the learning platform: ingest turns them into commands.
pub const ROLES: &str = "rollcall.roles";
/// The dead-letter queue.
pub const DEAD: &str = "rollcall.dead";
/// The exchange to [`DEAD`]. With the default exchange, a service that may publish dead letters could publish to every
/// queue.
pub const DEAD_LETTERS: &str = "rollcall.dead-letters";
/// Direct reply-to: RabbitMQ's pseudo-queue.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// The event types that our queues are bound to.
const BINDINGS: [(&str, &str); 3] =
    [(NOTIFIER, "user.#"), (NOTIFIER, "content.#"), (ROLES, domain::event::ROLE_CHANGED)];
/// The limits of the queues of events and of dead letters, in messages. They are generous: ingest bounds what a tenant can
/// send.
const MAX_EVENTS: u32 = 1_000_000;
const MAX_ROLES: u32 = 100_000;
const MAX_DEAD: u32 = 1_000_000;
/// The limits of the queues' sizes, in bytes, so that large messages fill no disk.
const MAX_BYTES: i64 = 1 << 30;
const MAX_DEAD_BYTES: i64 = 4 << 30;
/// The exchanges, and how errors name them.
const EXCHANGES: [(&str, ExchangeKind, &str); 2] = [
    (EVENTS, ExchangeKind::Topic, "the exchange rollcall.events"),
    (DEAD_LETTERS, ExchangeKind::Direct, "the exchange rollcall.dead-letters"),
];
/// From RabbitMQ 4.0 a quorum queue drops a message after 20 deliveries by default. Rollcall gives up a message for a
/// reason, not because of a count.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// Whether one of our queues is bound to events of this type, so that an unroutable one is an error. Other events are
/// for queues that the platform may have bound.
#[must_use]
pub fn is_followed(kind: &str) -> bool {
    BINDINGS.iter().any(|(_, key)| match key.strip_suffix('#') {
        Some(prefix) => kind.starts_with(prefix),
        None => kind == *key,
    })
}

/// The queue in which messages of this queue wait before they are delivered again, if there is one.
#[must_use]
pub fn later(queue: &str) -> Option<&'static str> {
    match queue {
        COMMANDS => Some(COMMANDS_LATER),
        BULK => Some(BULK_LATER),
        _ => None,
    }
}

/// Whether this queue has a single active consumer.
#[must_use]
pub fn has_single_consumer(queue: &str) -> bool {
    queue == ROLES
}

/// Whether an event of this type came with its type as the routing key, or was put into the queue directly, as the
/// operator does. The broker checks a sender's topic permission against the routing key alone.
#[must_use]
pub fn is_routed_as(delivery: &Delivery, kind: &str) -> bool {
    delivery.exchange.as_str().is_empty() || delivery.routing_key.as_str() == kind
}

/// What [`Topology::declare`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What was missing and is declared now.
    pub declared: Vec<&'static str>,
    /// What is missing, and may only be declared by other users of the broker.
    pub missing: Vec<&'static str>,
}

/// Declares exchanges, queues and bindings over one connection.
#[derive(Debug)]
pub(super) struct Topology {
    queue_limit: u32,
    /// The broker refused a declaration. It is not asked again, because it logs each refusal.
    is_refused: bool,
}

impl Topology {
    pub(super) fn new(queue_limit: u32) -> Self {
        Self { queue_limit, is_refused: false }
    }

    /// Declares missing exchanges, queues and bindings. Existing queues stay as they are, so that an operator can change
    /// a limit. Safe to call at any time, also from several services at once.
    ///
    /// # Errors
    /// When the broker is unavailable or refuses a declaration; [`Error::Mismatch`] when an exchange has other
    /// properties.
    pub(super) async fn declare(&mut self, connection: &Connection) -> Result<Found, Error> {
        let mut found = Found::default();
        for (queue, arguments) in queues(self.queue_limit) {
            if queue_exists(connection, queue).await? {
                continue;
            }
            match self.unless_refused(declare_queue(connection, queue, arguments)).await? {
                Some(true) => found.declared.push(queue),
                Some(false) => {}
                None => found.missing.push(queue),
            }
        }
        for (name, kind, shown) in EXCHANGES {
            let exists = exchange_exists(connection, name, kind.clone()).await?;
            // The passive declaration does not check the type: an exchange of another type would never route our
            // messages.
            match self.unless_refused(declare_exchange(connection, name, kind, shown)).await? {
                Some(()) if !exists => found.declared.push(shown),
                None if !exists => found.missing.push(shown),
                _ => {}
            }
        }
        self.unless_refused(bind(connection)).await?;
        Ok(found)
    }

    /// `None` if the broker refuses the user this, or has refused something before.
    async fn unless_refused<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failed>>,
    ) -> Result<Option<T>, Error> {
        if self.is_refused {
            return Ok(None);
        }
        match work.await {
            Ok(done) => Ok(Some(done)),
            Err(Failed::Broker(error)) if is(&error, AMQPSoftError::ACCESSREFUSED) => {
                self.is_refused = true;
                Ok(None)
            }
            Err(Failed::Broker(error)) => Err(error.into()),
            Err(Failed::Known(error)) => Err(error),
        }
    }
}

/// Why a declaration failed.
enum Failed {
    Broker(lapin::Error),
    Known(Error),
}

impl From<lapin::Error> for Failed {
    fn from(error: lapin::Error) -> Self {
        Self::Broker(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Known(error)
    }
}

/// Bindings are deleted with their queue or exchange, or separately. Binding again changes nothing.
async fn bind(connection: &Connection) -> Result<(), Failed> {
    let channel = connection.create_channel().await?;
    let events = BINDINGS.map(|(queue, key)| (queue, EVENTS, key));
    for (queue, exchange, key) in events.into_iter().chain([(DEAD, DEAD_LETTERS, DEAD)]) {
        let (queue, exchange) = (queue.into(), exchange.into());
        channel
            .queue_bind(queue, exchange, key.into(), QueueBindOptions::default(), FieldTable::default())
            .await?;
    }
    channel.close(200, "declared".into()).await?;
    Ok(())
}

/// All of our queues and their arguments. The dead-letter queue is first, because other queues refer to it.
///
/// Every queue rejects messages over its limit, and nothing is lost: whoever publishes waits for the confirm. Ingest
/// answers 429, the relay keeps its events in the outbox, and a consumer whose dead letter is rejected keeps the message
/// and tries again. So a full dead-letter queue stops consumers that have a dead letter, until an operator makes room.
fn queues(queue_limit: u32) -> [(&'static str, FieldTable); 7] {
    [
        (DEAD, limited(MAX_DEAD, MAX_DEAD_BYTES)),
        (COMMANDS, dead_lettering(limited(queue_limit, MAX_BYTES), DEAD)),
        (BULK, dead_lettering(limited(queue_limit, MAX_BYTES), DEAD)),
        (COMMANDS_LATER, returning(limited(queue_limit, MAX_BYTES), COMMANDS)),
        (BULK_LATER, returning(limited(queue_limit, MAX_BYTES), BULK)),
        (NOTIFIER, dead_lettering(limited(MAX_EVENTS, MAX_BYTES), DEAD)),
        (ROLES, one_after_the_other(dead_lettering(limited(MAX_ROLES, MAX_BYTES), DEAD))),
    ]
}

/// Returns whether it was missing.
async fn declare_queue(
    connection: &Connection,
    name: &'static str,
    arguments: FieldTable,
) -> Result<bool, Failed> {
    // A refused declaration closes its channel, so each attempt has its own.
    let channel = connection.create_channel().await?;
    match channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await {
        Ok(_) => Ok(close(&channel).await.map(|()| true)?),
        // Another service declared it first, with another limit.
        Err(error) if is(&error, AMQPSoftError::PRECONDITIONFAILED) => {
            if queue_exists(connection, name).await? { Ok(false) } else { Err(error.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// A user who may not even look leaves the queue to others.
async fn queue_exists(connection: &Connection, name: &str) -> Result<bool, Error> {
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions::durable().passive();
    match channel.queue_declare(name.into(), passive, FieldTable::default()).await {
        Ok(_) => close(&channel).await.map(|()| true),
        Err(error) if is(&error, AMQPSoftError::NOTFOUND) => Ok(false),
        Err(error) if is(&error, AMQPSoftError::ACCESSREFUSED) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// As [`queue_exists`].
async fn exchange_exists(connection: &Connection, name: &str, kind: ExchangeKind) -> Result<bool, Error> {
    let channel = connection.create_channel().await?;
    let options =
        ExchangeDeclareOptions { durable: true, passive: true, ..ExchangeDeclareOptions::default() };
    match channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await {
        Ok(()) => close(&channel).await.map(|()| true),
        Err(error) if is(&error, AMQPSoftError::NOTFOUND) => Ok(false),
        Err(error) if is(&error, AMQPSoftError::ACCESSREFUSED) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

async fn declare_exchange(
    connection: &Connection,
    name: &str,
    kind: ExchangeKind,
    shown: &'static str,
) -> Result<(), Failed> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    match channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await {
        Ok(()) => Ok(close(&channel).await?),
        Err(error) if is(&error, AMQPSoftError::PRECONDITIONFAILED) => {
            Err(Error::Mismatch { what: shown, said: error.to_string() }.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn close(channel: &Channel) -> Result<(), Error> {
    Ok(channel.close(200, "declared".into()).await?)
}

/// Whether the broker closed the channel for this reason.
fn is(error: &lapin::Error, reason: AMQPSoftError) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(said) => *said.kind() == AMQPErrorKind::Soft(reason),
        _ => false,
    }
}

/// A queue that rejects messages over its limits.
fn limited(messages: u32, bytes: i64) -> FieldTable {
    let mut arguments = quorum();
    insert(&mut arguments, "x-max-length", AMQPValue::LongLongInt(messages.into()));
    insert(&mut arguments, "x-max-length-bytes", AMQPValue::LongLongInt(bytes));
    insert(&mut arguments, "x-overflow", text("reject-publish"));
    arguments
}

/// A queue without consumers that hands each message to another queue after [`LATER`], at least once.
fn returning(arguments: FieldTable, queue: &str) -> FieldTable {
    let mut arguments = dead_lettering(arguments, queue);
    insert(&mut arguments, "x-message-ttl", AMQPValue::LongLongInt(LATER));
    arguments
}

/// A queue that dead-letters to another one at least once; it must reject messages over its limit.
fn dead_lettering(mut arguments: FieldTable, queue: &str) -> FieldTable {
    insert(&mut arguments, "x-dead-letter-exchange", text(""));
    insert(&mut arguments, "x-dead-letter-routing-key", text(queue));
    insert(&mut arguments, "x-dead-letter-strategy", text("at-least-once"));
    arguments
}

/// A queue with a single active consumer, so that the later of two roles of a user wins. (If a consumer stops while it
/// processes a message, the broker may redeliver the message too late for that.)
fn one_after_the_other(mut arguments: FieldTable) -> FieldTable {
    insert(&mut arguments, "x-single-active-consumer", AMQPValue::Boolean(true));
    arguments
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    insert(&mut arguments, "x-queue-type", text("quorum"));
    insert(&mut arguments, "x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments
}

fn insert(arguments: &mut FieldTable, name: &str, value: AMQPValue) {
    arguments.insert(name.into(), value);
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_is_bounded_and_rejects_what_exceeds_its_limits() {
        for (queue, arguments) in queues(7) {
            let has = |name: &str| arguments.inner().get(name);
            assert!(has("x-max-length").is_some() && has("x-max-length-bytes").is_some(), "{queue}");
            assert_eq!(has("x-overflow"), Some(&text("reject-publish")), "{queue}");
            assert_eq!(has("x-dead-letter-strategy").is_some(), queue != DEAD, "{queue}");
        }
    }

    #[test]
    fn the_notifier_receives_user_and_content_events_but_no_group_events() {
        for (kind, expected) in
            [("user.created", true), ("content.assigned", true), ("group.updated", false), ("users", false)]
        {
            assert_eq!(is_followed(kind), expected, "{kind}");
        }
    }
}
