//! New ids for everything except commands: the id of a command is its ticket.

use uuid::Uuid;

/// A new id (UUIDv7, RFC 9562): globally unique, and roughly sorted by creation, which keeps indexes dense and lists
/// in a stable order.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that makes ids")]
pub fn new() -> Uuid {
    Uuid::now_v7()
}
