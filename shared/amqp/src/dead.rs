//! Dead letters: the original message, unchanged, with headers that give the reason.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Message, topology};

/// Header: the reason, in one sentence without personal data.
pub const REASON: &str = "x-rollcall-reason";
/// Header: the queue that the message came from. A redrive publishes it there again.
pub const QUEUE: &str = "x-rollcall-queue";
/// Header: when the message was dead-lettered (RFC 3339).
pub const DIED_AT: &str = "x-rollcall-died-at";
/// Header: the attempts, as a JSON array of [`Attempt`]s, oldest first. A redrive keeps it.
pub const ATTEMPTS: &str = "x-rollcall-attempts";

/// The maximum number of attempts that a dead letter records: the header must fit into a frame.
const HEADERS: usize = 50;

/// One attempt to process a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The process that made it: a worker's id or a service's name.
    pub worker: String,
    /// Its result: one sentence, without personal data.
    pub what: String,
}

/// The dead letter of a delivery. `attempts` are the attempts at this delivery, oldest first; the result of the last
/// one is the reason. Attempts from an earlier dead letter are kept. Publish it with confirms, then acknowledge the
/// delivery.
#[must_use]
pub fn letter(delivery: &Delivery, queue: &str, attempts: &[Attempt]) -> Message {
    let id = match delivery.properties.message_id() {
        Some(id) => id.as_str().to_owned(),
        None => platform::id::new().to_string(),
    };
    // Reply-to and expiration are dropped: nothing waits for a reply, and an expired dead letter would be lost.
    let kept = delivery.properties.headers().clone().unwrap_or_default();
    let mut letter =
        Message::json(topology::DEAD_LETTERS, topology::DEAD, &id, "application/json", delivery.data.clone());
    if let Some(content_type) = delivery.properties.content_type() {
        letter.properties = letter.properties.with_content_type(content_type.clone());
    }
    letter.properties = letter.properties.with_headers(kept);
    let mut all = self::attempts(&delivery.properties);
    all.extend_from_slice(attempts);
    explained(letter, queue, &all)
}

/// Adds the headers that give the reason.
#[must_use]
pub fn explained(letter: Message, queue: &str, attempts: &[Attempt]) -> Message {
    let latest = &attempts[attempts.len().saturating_sub(HEADERS)..];
    let rfc3339 = |at: OffsetDateTime| at.format(&time::format_description::well_known::Rfc3339);
    let (reason, died_at) = match attempts.last() {
        Some(last) => (last.what.clone(), rfc3339(last.at).unwrap_or_default()),
        None => Default::default(),
    };
    letter.with_headers(&[
        (REASON, reason),
        (QUEUE, queue.to_owned()),
        (DIED_AT, died_at),
        (ATTEMPTS, serde_json::to_string(latest).unwrap_or_default()),
    ])
}

/// The attempts that a message records; empty if there are none or they cannot be read.
#[must_use]
pub fn attempts(properties: &BasicProperties) -> Vec<Attempt> {
    let text = header(properties, ATTEMPTS).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The value of a text header.
#[must_use]
pub fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}
