//! Ids of everything but commands, whose id is their [`crate::ticket::Ticket`].

use uuid::Uuid;

/// A new id (UUIDv7, RFC 9562): unique everywhere, sorted roughly by creation, which keeps indexes dense
/// and lists in a stable order.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that makes ids")]
pub fn new() -> Uuid {
    Uuid::now_v7()
}
