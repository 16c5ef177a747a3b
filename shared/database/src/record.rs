//! The SCIM resource in a row of `users` or `groups`.

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use scim::Record;

/// The columns of a record: id, resource, time of creation, time of the last change, version.
pub(super) type Columns = (Uuid, Value, OffsetDateTime, OffsetDateTime, i64);

/// A record from its columns.
///
/// # Errors
/// [`Error::Refused`] if the stored value is not a resource.
pub(super) fn record((id, resource, created, last_modified, version): Columns) -> Result<Record, Error> {
    let resource = serde_json::from_value(resource)
        .map_err(|_| Error::Refused("a stored resource has an unexpected shape".to_owned()))?;
    Ok(Record { id, resource, created, last_modified, version })
}
