//! The learning platform's events, which report changed roles.

use serde_json::Value;
use uuid::Uuid;

use super::content::user;
use super::fields::{MAX_TEXT, envelope};
use crate::command::Role;

/// A role change from the learning platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleChanged {
    /// The event's source, within which its id is unique.
    pub source: String,
    /// The event's id.
    pub id: String,
    /// The user.
    pub user: Uuid,
    /// The new role.
    pub role: Role,
}

/// Checks an event that reports a changed role.
///
/// # Errors
/// As [`super::decode`].
pub fn decode_role(value: &Value) -> Result<RoleChanged, String> {
    let envelope = envelope(value)?;
    let data = envelope.object("data")?;
    let role = data.text("role", MAX_TEXT)?.parse().map_err(|must: String| data.wrong("role", &must))?;
    Ok(RoleChanged {
        source: envelope.text("source", MAX_TEXT)?.to_owned(),
        id: envelope.text("id", MAX_TEXT)?.to_owned(),
        user: user(&data)?.id,
        role,
    })
}
