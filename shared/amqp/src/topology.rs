//! Exchanges, queues and bindings, as data. Every service declares them when it connects; `super::repair` declares
//! them again if they are deleted later.

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
/// Direct reply-to: RabbitMQ's pseudo-queue.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// The event types that our queues are bound to.
const BINDINGS: [(&str, &str); 3] =
    [(NOTIFIER, "user.#"), (NOTIFIER, "content.#"), (ROLES, domain::event::ROLE_CHANGED)];
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

/// Declares missing exchanges, queues and bindings, and returns their names. Existing queues stay as they are, so that
/// an operator can change a limit. Safe to call at any time, also from several services at once.
///
/// # Errors
/// When the broker is unavailable or refuses a declaration; [`Error::Mismatch`] when the exchange has other
/// properties.
pub async fn declare(connection: &Connection, queue_limit: u32) -> Result<Vec<&'static str>, Error> {
    let mut missing = Vec::new();
    for (queue, arguments) in queues(queue_limit) {
        if declare_queue(connection, queue, arguments).await? {
            missing.push(queue);
        }
    }
    if declare_exchange(connection).await? {
        missing.push("the exchange rollcall.events");
    }
    // Bindings are deleted with their queue or exchange, or separately. Binding again changes nothing.
    let channel = connection.create_channel().await?;
    for (queue, key) in BINDINGS {
        let (queue, exchange) = (queue.into(), EVENTS.into());
        channel
            .queue_bind(queue, exchange, key.into(), QueueBindOptions::default(), FieldTable::default())
            .await?;
    }
    channel.close(200, "declared".into()).await?;
    Ok(missing)
}

/// All of our queues and their arguments. The dead-letter queue is first, because other queues refer to it.
fn queues(queue_limit: u32) -> [(&'static str, FieldTable); 7] {
    [
        (DEAD, quorum()),
        (COMMANDS, limited(queue_limit)),
        (BULK, limited(queue_limit)),
        (COMMANDS_LATER, returning(COMMANDS, queue_limit)),
        (BULK_LATER, returning(BULK, queue_limit)),
        (NOTIFIER, quorum()),
        (ROLES, one_after_the_other()),
    ]
}

/// Returns whether it was missing.
async fn declare_queue(
    connection: &Connection,
    name: &'static str,
    arguments: FieldTable,
) -> Result<bool, Error> {
    if queue_exists(connection, name).await? {
        return Ok(false);
    }
    // A refused declaration closes its channel, so each attempt has its own.
    let channel = connection.create_channel().await?;
    match channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await {
        Ok(_) => close(&channel).await.map(|()| true),
        // Another service declared it first, with another limit.
        Err(error) if is(&error, AMQPSoftError::PRECONDITIONFAILED) => {
            if queue_exists(connection, name).await? { Ok(false) } else { Err(error.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

async fn queue_exists(connection: &Connection, name: &str) -> Result<bool, Error> {
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions::durable().passive();
    match channel.queue_declare(name.into(), passive, FieldTable::default()).await {
        Ok(_) => close(&channel).await.map(|()| true),
        Err(error) if is(&error, AMQPSoftError::NOTFOUND) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether it was missing.
async fn declare_exchange(connection: &Connection) -> Result<bool, Error> {
    let declare = async |passive: bool| {
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(EVENTS.into(), ExchangeKind::Topic, options, FieldTable::default()).await?;
        channel.close(200, "declared".into()).await
    };
    let is_missing = match declare(true).await {
        Ok(()) => false,
        Err(error) if is(&error, AMQPSoftError::NOTFOUND) => true,
        Err(error) => return Err(error.into()),
    };
    // The passive declaration does not check the type: an exchange of another type would never route our events.
    match declare(false).await {
        Ok(()) => Ok(is_missing),
        Err(error) if is(&error, AMQPSoftError::PRECONDITIONFAILED) => {
            Err(Error::Mismatch { what: "the exchange rollcall.events", said: error.to_string() })
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

/// A queue that rejects messages over its limit and dead-letters at least once.
fn limited(queue_limit: u32) -> FieldTable {
    dead_lettering(DEAD, queue_limit)
}

/// A queue without consumers that hands each message to another queue after [`LATER`], at least once.
fn returning(queue: &str, queue_limit: u32) -> FieldTable {
    let mut arguments = dead_lettering(queue, queue_limit);
    insert(&mut arguments, "x-message-ttl", AMQPValue::LongLongInt(LATER));
    arguments
}

fn dead_lettering(queue: &str, queue_limit: u32) -> FieldTable {
    let mut arguments = quorum();
    insert(&mut arguments, "x-max-length", AMQPValue::LongLongInt(queue_limit.into()));
    insert(&mut arguments, "x-overflow", text("reject-publish"));
    insert(&mut arguments, "x-dead-letter-exchange", text(""));
    insert(&mut arguments, "x-dead-letter-routing-key", text(queue));
    insert(&mut arguments, "x-dead-letter-strategy", text("at-least-once"));
    arguments
}

/// A queue with a single active consumer, so that the later of two roles of a user wins. (If a consumer stops while it
/// processes a message, the broker may redeliver the message too late for that.)
fn one_after_the_other() -> FieldTable {
    let mut arguments = quorum();
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
    fn the_notifier_receives_user_and_content_events_but_no_group_events() {
        for (kind, expected) in
            [("user.created", true), ("content.assigned", true), ("group.updated", false), ("users", false)]
        {
            assert_eq!(is_followed(kind), expected, "{kind}");
        }
    }
}
