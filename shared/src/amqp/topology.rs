//! Exchanges, queues and bindings, as data. Every service declares them when it connects, and again whatever is deleted
//! later (`super::repair`).

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::Error;

/// The queue of commands.
pub const COMMANDS: &str = "rollcall.commands";
/// The queue of commands that nobody waits for: workers serve it with a smaller share.
pub const BULK: &str = "rollcall.commands.bulk";
/// The exchange of events, routed by their type.
pub const EVENTS: &str = "rollcall.events";
/// The notifier's queue of events.
pub const NOTIFIER: &str = "rollcall.events";
/// The queue of roles that the learning platform changed: ingest puts them among the commands.
pub const ROLES: &str = "rollcall.roles";
/// What could not be dealt with, with its reason.
pub const DEAD: &str = "rollcall.dead";
/// Direct reply-to: RabbitMQ's pseudo-queue.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Which of our queues follow which events.
const BINDINGS: [(&str, &str); 3] =
    [(NOTIFIER, "user.#"), (NOTIFIER, "content.#"), (ROLES, crate::event::ROLE_CHANGED)];
/// From RabbitMQ 4.0 a quorum queue gives a message up after 20 deliveries unless told otherwise; a message is
/// given up by us, with a reason, not by a count.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// Whether a queue of ours follows events of this type: then it is a fault if no queue takes one. The others are told to
/// whoever in the platform binds a queue of their own, and to nobody if there is none.
#[must_use]
pub fn is_followed(kind: &str) -> bool {
    BINDINGS.iter().any(|(_, key)| match key.strip_suffix('#') {
        Some(prefix) => kind.starts_with(prefix),
        None => kind == *key,
    })
}

/// Whether one consumer of this queue at a time gets messages.
#[must_use]
pub fn has_single_consumer(queue: &str) -> bool {
    queue == ROLES
}

/// Declares what is missing, and returns its names. What is there already is left as it is, so that a limit can be changed by
/// an operator. Safe to repeat at any time, and by several services at once.
///
/// # Errors
/// When the broker is away or refuses a declaration; [`Error::Mismatch`] when the exchange is there as another one.
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
    // Bindings go with their queue or their exchange, and can be deleted alone; binding once more changes nothing.
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

/// All of our queues and their arguments. The dead letters are first: other queues name theirs.
fn queues(queue_limit: u32) -> [(&'static str, FieldTable); 5] {
    [
        (DEAD, quorum()),
        (COMMANDS, limited(queue_limit)),
        (BULK, limited(queue_limit)),
        (NOTIFIER, quorum()),
        (ROLES, one_after_the_other()),
    ]
}

/// Says whether it was missing.
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
        // Another service was faster, and has another limit than ours.
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

/// Says whether it was missing.
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
    // Looking does not tell whether it is a topic exchange: with another one no event would ever be routed.
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

/// A queue that refuses what is too much, and gives up nothing without a trace.
fn limited(queue_limit: u32) -> FieldTable {
    let mut arguments = quorum();
    insert(&mut arguments, "x-max-length", AMQPValue::LongLongInt(queue_limit.into()));
    insert(&mut arguments, "x-overflow", text("reject-publish"));
    insert(&mut arguments, "x-dead-letter-exchange", text(""));
    insert(&mut arguments, "x-dead-letter-routing-key", text(DEAD));
    insert(&mut arguments, "x-dead-letter-strategy", text("at-least-once"));
    arguments
}

/// A queue of which one consumer at a time gets messages: of two roles of a person the later one stands. (But where a consumer stops
/// with one in hand, which the broker may give to the next one late.)
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
    fn the_notifier_follows_users_and_content_but_no_groups() {
        for (kind, expected) in
            [("user.created", true), ("content.assigned", true), ("group.updated", false), ("users", false)]
        {
            assert_eq!(is_followed(kind), expected, "{kind}");
        }
    }
}
