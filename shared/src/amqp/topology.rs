//! Exchanges, queues and bindings, as data. Every service declares them when it connects.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ExchangeKind};

use super::Error;

/// The queue of commands.
pub const COMMANDS: &str = "rollcall.commands";
/// The exchange of events, routed by their type.
pub const EVENTS: &str = "rollcall.events";
/// The notifier's queue of events.
pub const NOTIFIER: &str = "rollcall.events";
/// What could not be dealt with, with its reason.
pub const DEAD: &str = "rollcall.dead";
/// Direct reply-to: RabbitMQ's pseudo-queue.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// The events that the notifier follows.
const NOTIFIER_BINDINGS: [&str; 2] = ["user.#", "content.#"];
/// From RabbitMQ 4.0 a quorum queue gives a message up after 20 deliveries unless told otherwise; a message is
/// given up by us, with a reason, not by a count.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// Declares what is missing. What is there already is left as it is, so that a limit can be changed by an operator.
///
/// # Errors
/// When the broker is away or refuses a declaration.
pub async fn declare(connection: &Connection, queue_limit: u32) -> Result<(), Error> {
    declare_queue(connection, DEAD, quorum()).await?;
    let mut commands = quorum();
    insert(&mut commands, "x-max-length", AMQPValue::LongLongInt(queue_limit.into()));
    insert(&mut commands, "x-overflow", text("reject-publish"));
    insert(&mut commands, "x-dead-letter-exchange", text(""));
    insert(&mut commands, "x-dead-letter-routing-key", text(DEAD));
    insert(&mut commands, "x-dead-letter-strategy", text("at-least-once"));
    declare_queue(connection, COMMANDS, commands).await?;
    declare_queue(connection, NOTIFIER, quorum()).await?;

    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(EVENTS.into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
    for key in NOTIFIER_BINDINGS {
        let (queue, exchange) = (NOTIFIER.into(), EVENTS.into());
        channel
            .queue_bind(queue, exchange, key.into(), QueueBindOptions::default(), FieldTable::default())
            .await?;
    }
    channel.close(200, "declared".into()).await?;
    Ok(())
}

async fn declare_queue(connection: &Connection, name: &str, arguments: FieldTable) -> Result<(), Error> {
    // A passive declaration that fails closes its channel, so each attempt has its own.
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions::durable().passive();
    if channel.queue_declare(name.into(), passive, FieldTable::default()).await.is_ok() {
        channel.close(200, "declared".into()).await?;
        return Ok(());
    }
    let channel = connection.create_channel().await?;
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await?;
    channel.close(200, "declared".into()).await?;
    Ok(())
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
