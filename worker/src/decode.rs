//! Parses a delivery into a command, or into the reason for its dead letter.

use amqp::later;
use domain::command::{Command, VERSION};
use lapin::message::Delivery;
use lapin::types::AMQPValue;

/// A delivered command.
#[derive(Debug)]
pub struct Incoming {
    /// The message.
    pub delivery: Delivery,
    /// The command in it.
    pub command: Command,
}

/// Reads a message of `rollcall.commands` or `rollcall.commands.bulk`. The fold validates the resource against the
/// tenant's schemas.
///
/// # Errors
/// The reason for the dead letter: one sentence that quotes nothing from the message.
pub fn read(delivery: &Delivery) -> Result<Command, String> {
    let value = scim::parse_json(&delivery.data).map_err(|e| format!("invalid command: {}", e.detail))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    let known = 1..=u64::from(VERSION);
    if version.is_some_and(|version| !known.contains(&version)) {
        return Err(format!(
            "invalid command: its version is not supported (this worker supports 1 to {VERSION})"
        ));
    }
    let command: Command = serde_json::from_value(value)
        .map_err(|e| format!("invalid command: the envelope does not match ({})", shape(&e)))?;
    if command.ticket.0.get_version_num() != 7 {
        return Err("invalid command: the ticket is not a UUIDv7".to_owned());
    }
    Ok(command)
}

/// How often the message was delivered before. RabbitMQ counts returned messages in `x-delivery-count` and, since 4.x,
/// acquired ones in `x-acquired-count`. A first delivery has neither header. A message that was set aside brings the
/// count of its earlier copies.
#[must_use]
pub fn earlier_deliveries(delivery: &Delivery) -> u64 {
    let Some(headers) = delivery.properties.headers() else { return 0 };
    let count = |name: &str| headers.inner().get(name).and_then(integer).unwrap_or(0);
    count("x-delivery-count").max(count("x-acquired-count")).saturating_add(count(later::DELIVERIES))
}

/// An integer of any width; `None` if it is negative.
fn integer(value: &AMQPValue) -> Option<u64> {
    match *value {
        AMQPValue::ShortShortInt(n) => u64::try_from(n).ok(),
        AMQPValue::ShortShortUInt(n) => Some(n.into()),
        AMQPValue::ShortInt(n) => u64::try_from(n).ok(),
        AMQPValue::ShortUInt(n) => Some(n.into()),
        AMQPValue::LongInt(n) => u64::try_from(n).ok(),
        AMQPValue::LongUInt(n) => Some(n.into()),
        AMQPValue::LongLongInt(n) => u64::try_from(n).ok(),
        _ => None,
    }
}

/// A serde error without the values it quotes: only the names of missing fields are kept.
fn shape(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split('`').nth(1) {
        Some(field) if text.starts_with("missing field") => format!("the field {field} is missing"),
        _ => "a field has a wrong type or value".to_owned(),
    }
}
