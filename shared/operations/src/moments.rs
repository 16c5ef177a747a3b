//! Serializes times as SCIM does: RFC 3339 in UTC, with milliseconds. Used with `#[serde(with)]`.

use serde::Serializer;
use time::OffsetDateTime;

/// Serializes a time.
pub fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&scim::timestamp(*at))
}

/// The same for a time that may be absent, which is null.
pub mod option {
    use serde::{Serialize as _, Serializer};
    use time::OffsetDateTime;

    /// Serializes a time, or null.
    pub fn serialize<S: Serializer>(at: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(scim::timestamp).serialize(serializer)
    }
}
