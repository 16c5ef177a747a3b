//! Dead letters: the original message as it was, with headers that say why it is here.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Message, topology};

/// Header: why the message could not be dealt with. One sentence, without personal data.
pub const REASON: &str = "x-rollcall-reason";
/// Header: the queue that it came from, into which a redrive puts it back.
pub const QUEUE: &str = "x-rollcall-queue";
/// Header: when it died (RFC 3339).
pub const DIED_AT: &str = "x-rollcall-died-at";
/// Header: what was tried, as a JSON array of [`Attempt`]s, the oldest first. A redrive keeps it.
pub const ATTEMPTS: &str = "x-rollcall-attempts";

/// The most attempts that a letter tells of: a header must fit into a frame.
const TOLD: usize = 50;

/// One try to deal with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The process: the id of a worker, or a service's name.
    pub worker: String,
    /// What came of it: one sentence, without personal data.
    pub what: String,
}

/// The dead letter of a delivery, of which `attempts` are known (the oldest first): what came of the last one is the reason.
/// Those of an earlier death are kept. Publish it with confirms, then acknowledge the delivery.
#[must_use]
pub fn letter(delivery: &Delivery, queue: &str, attempts: &[Attempt]) -> Message {
    let id = match delivery.properties.message_id() {
        Some(id) => id.as_str().to_owned(),
        None => crate::id::new().to_string(),
    };
    // A reply-to of a dead letter leads nowhere; an expiration would let it vanish.
    let kept = delivery.properties.headers().clone().unwrap_or_default();
    let mut letter = Message::json("", topology::DEAD, &id, "application/json", delivery.data.clone());
    if let Some(content_type) = delivery.properties.content_type() {
        letter.properties = letter.properties.with_content_type(content_type.clone());
    }
    letter.properties = letter.properties.with_headers(kept);
    let mut all = self::attempts(&delivery.properties);
    all.extend_from_slice(attempts);
    explained(letter, queue, &all)
}

/// A letter with the headers that say why it is one.
#[must_use]
pub fn explained(letter: Message, queue: &str, attempts: &[Attempt]) -> Message {
    let told = &attempts[attempts.len().saturating_sub(TOLD)..];
    let rfc3339 = |at: OffsetDateTime| at.format(&time::format_description::well_known::Rfc3339);
    let (reason, died_at) = match attempts.last() {
        Some(last) => (last.what.clone(), rfc3339(last.at).unwrap_or_default()),
        None => Default::default(),
    };
    letter.with_headers(&[
        (REASON, reason),
        (QUEUE, queue.to_owned()),
        (DIED_AT, died_at),
        (ATTEMPTS, serde_json::to_string(told).unwrap_or_default()),
    ])
}

/// The attempts that a message tells of; none where it tells of none that can be read.
#[must_use]
pub fn attempts(properties: &BasicProperties) -> Vec<Attempt> {
    let text = header(properties, ATTEMPTS).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// A header of a message that is text.
#[must_use]
pub fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}
