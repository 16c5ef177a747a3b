//! From a delivery to a command, or to the reason why it can never be one. Before: the queue. After: [`crate::apply`].

use lapin::message::Delivery;
use lapin::types::AMQPValue;
use shared::command::{Command, VERSION};
use shared::scim;

/// A command as it was delivered.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The message.
    pub delivery: &'a Delivery,
    /// What it asks for.
    pub command: Command,
}

/// Reads a message of `rollcall.commands` or `rollcall.commands.bulk`. Whether its resource fits the tenant's schemas, the fold
/// tells.
///
/// # Errors
/// The reason for the dead letter: one sentence that repeats nothing of the message.
pub fn read(delivery: &Delivery) -> Result<Incoming<'_>, String> {
    let value = scim::parse_json(&delivery.data).map_err(|e| format!("no command: {}", e.detail))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    let known = 1..=u64::from(VERSION);
    if version.is_some_and(|version| !known.contains(&version)) {
        return Err(format!(
            "a command of another version than 1 to {VERSION}, those that this worker knows"
        ));
    }
    let command: Command = serde_json::from_value(value)
        .map_err(|e| format!("no command: an envelope of another shape ({})", shape(&e)))?;
    if command.ticket.0.get_version_num() != 7 {
        return Err("no command: its ticket is no UUIDv7".to_owned());
    }
    Ok(Incoming { delivery, command })
}

/// How often the message was delivered before. RabbitMQ counts what came back in `x-delivery-count`, from 4.x on also what was
/// handed out in `x-acquired-count`; on the first delivery there is neither.
#[must_use]
pub fn earlier_deliveries(delivery: &Delivery) -> u64 {
    let Some(headers) = delivery.properties.headers() else { return 0 };
    let count = |name: &str| headers.inner().get(name).and_then(integer).unwrap_or(0);
    count("x-delivery-count").max(count("x-acquired-count"))
}

/// An integer of any width; a negative one is none.
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

/// What serde says of a misfit, without the values that it quotes: only missing and unknown fields are named.
fn shape(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split('`').nth(1) {
        Some(field) if text.starts_with("missing field") => format!("the field {field} is missing"),
        _ => "a field has a wrong type or value".to_owned(),
    }
}
