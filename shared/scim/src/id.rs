//! Ids of resources (RFC 7643 §3.1).

use uuid::Uuid;

/// Parses an id as we write it: ids are caseExact (RFC 7643 §3.1). `None` for any other text.
#[must_use]
pub fn parse(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(id)
}
