//! Sets a message aside: publishes it to the queue from which RabbitMQ returns it after a while (see
//! [`topology::later`]). Unlike a negative acknowledgement, this neither counts as a failed delivery nor returns the
//! message at once.

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

use super::{Message, topology};

/// Header: how often the message had been delivered before it was set aside. RabbitMQ counts the copy from 0 again.
pub const DELIVERIES: &str = "x-rollcall-deliveries";

/// The message for the waiting queue; `None` if its queue has none. `deliveries` counts its earlier deliveries. Publish
/// it with confirms, then acknowledge the delivery.
#[must_use]
pub fn message(delivery: &Delivery, queue: &str, deliveries: u64) -> Option<Message> {
    let waiting = topology::later(queue)?;
    let own = &delivery.properties;
    let id = own.message_id().as_ref().map_or_else(|| platform::id::new().to_string(), ToString::to_string);
    let content_type = own.content_type().as_ref().map_or("application/json", |kind| kind.as_str());
    let mut message = Message::json("", waiting, &id, content_type, delivery.data.clone());
    let mut headers = FieldTable::default();
    // RabbitMQ's own headers (`x-death`, `x-delivery-count`) are about the delivery.
    for (name, value) in own.headers().iter().flat_map(FieldTable::inner) {
        if !name.as_str().starts_with("x-") || name.as_str().starts_with("x-rollcall-") {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers.insert(DELIVERIES.into(), AMQPValue::LongLongInt(i64::try_from(deliveries).unwrap_or(i64::MAX)));
    message.properties = message.properties.with_headers(headers);
    if let Some(reply_to) = own.reply_to() {
        message.properties = message.properties.with_reply_to(reply_to.clone());
    }
    if let Some(id) = own.correlation_id() {
        message.properties = message.properties.with_correlation_id(id.clone());
    }
    Some(message)
}
