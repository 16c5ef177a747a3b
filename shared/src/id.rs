//! Ids of everything but commands, whose id is their [`crate::ticket::Ticket`].

use uuid::Uuid;

/// An id as we write it: ids are caseExact (RFC 7643 §3.1). None for any other text, which is nobody's.
#[must_use]
pub fn parse(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(id)
}

/// A new id (UUIDv7, RFC 9562): unique everywhere, sorted roughly by creation, which keeps indexes dense
/// and lists in a stable order.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that makes ids")]
pub fn new() -> Uuid {
    Uuid::now_v7()
}
