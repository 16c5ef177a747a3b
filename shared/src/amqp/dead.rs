//! Dead letters: the original message as it was, with headers that say why it is here.

use lapin::message::Delivery;

use super::{Message, topology};

/// Header: why the message could not be dealt with. One sentence, without personal data.
pub const REASON: &str = "x-rollcall-reason";
/// Header: the queue that it came from, into which a redrive puts it back.
pub const QUEUE: &str = "x-rollcall-queue";
/// Header: when it died (RFC 3339).
pub const DIED_AT: &str = "x-rollcall-died-at";

/// The dead letter of a delivery. Publish it with confirms, then acknowledge the delivery.
#[must_use]
pub fn letter(delivery: &Delivery, queue: &str, reason: &str, died_at: time::OffsetDateTime) -> Message {
    let died_at = died_at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
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
    letter.with_headers(&[(REASON, reason.to_owned()), (QUEUE, queue.to_owned()), (DIED_AT, died_at)])
}
