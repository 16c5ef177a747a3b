//! CloudEvents 1.0: `user.*`, `group.*` and `key.*`, which Rollcall publishes, and `content.*` from the content service. The
//! exchange `rollcall.events` carries both, routed by type.

mod content;
mod fields;
mod key;
mod role;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

pub use content::{
    Assigned, Assignment, Completed, Completion, Content, ContentEvent, ContentKind, UserRef, check_issued,
    decode,
};
pub use key::{ExpiringKey, KEY_EXPIRING};
pub use role::{RoleChanged, decode_role};

/// The media type of one event in structured mode.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";
/// The media type of a batch.
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";
/// `source` of the events that Rollcall itself publishes.
pub const SOURCE: &str = "urn:rollcall";
/// The type of an event that reports a changed role.
pub const ROLE_CHANGED: &str = "role.changed";

/// One event in the JSON form of CloudEvents 1.0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique within its source (and tenant): consumers deduplicate on it.
    pub id: String,
    /// The producer: a URI reference.
    pub source: String,
    /// The type; also the routing key.
    #[serde(rename = "type")]
    pub kind: String,
    /// The resource that the event concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub time: Option<OffsetDateTime>,
    /// `application/json`, if it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// Extension: the tenant's name. Set by ingest over HTTP, by the sender over AMQP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Extension: the command that caused the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commandid: Option<String>,
    /// Extension: the request that caused the event, for the logs of all services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requestid: Option<String>,
    /// Extension: the version of the resource after the change; orders the events of one resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
    /// The payload.
    #[serde(default)]
    pub data: Value,
}

/// Whether a value contains U+0000 anywhere: JSON allows it, Postgres cannot store it.
#[must_use]
pub fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What happened to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserEvent {
    /// The account was created.
    Created,
    /// Its attributes changed.
    Updated,
    /// It was deactivated and is in no report.
    Archived,
    /// It was reactivated.
    Restored,
    /// It was linked to an identity provider.
    Linked,
    /// It was deleted permanently.
    Deleted,
}

impl UserEvent {
    /// The event's type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "user.created",
            Self::Updated => "user.updated",
            Self::Archived => "user.archived",
            Self::Restored => "user.restored",
            Self::Linked => "user.linked",
            Self::Deleted => "user.deleted",
        }
    }
}

/// The `data` of a `user.*` event: ids and states, no personal data. Consumers read other attributes from the
/// directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserData {
    /// The SCIM id.
    pub id: Uuid,
    /// `scim` or `manual`.
    pub origin: crate::command::Origin,
    /// Whether the account is active.
    pub active: bool,
    /// The user's role in the learning platform; missing in events of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<crate::command::Role>,
}

/// What happened to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// The group was created.
    Created,
    /// Its attributes or members changed.
    Updated,
    /// It was deleted.
    Deleted,
}

impl GroupEvent {
    /// The event's type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "group.created",
            Self::Updated => "group.updated",
            Self::Deleted => "group.deleted",
        }
    }
}

/// The `data` of a `group.*` event. Consumers read the members from the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupData {
    /// The SCIM id.
    pub id: Uuid,
    /// How many members it has.
    pub members: i64,
}

/// What caused an event.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// The command.
    pub command: crate::ticket::Ticket,
    /// The request behind the command.
    pub request: Uuid,
    /// When the worker decided the command.
    pub at: OffsetDateTime,
}

impl Event {
    /// An event about a user. Its id is derived from the command and the type, so that folding a command twice creates
    /// the same events.
    #[must_use]
    pub fn user(kind: UserEvent, data: &UserData, version: i64, cause: Cause<'_>) -> Self {
        Self::about(kind.as_str(), data.id, version, cause, json!({ "user": data }))
    }

    /// An event about a group. A command may affect several groups, so the id contains the group's id.
    #[must_use]
    pub fn group(kind: GroupEvent, data: &GroupData, version: i64, cause: Cause<'_>) -> Self {
        let event = Self::about(kind.as_str(), data.id, version, cause, json!({ "group": data }));
        Self { id: format!("{}.{}", event.id, data.id), ..event }
    }

    fn about(kind: &str, subject: Uuid, version: i64, cause: Cause<'_>, data: Value) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: format!("{}.{kind}", cause.command),
            source: SOURCE.to_owned(),
            kind: kind.to_owned(),
            subject: Some(subject.to_string()),
            time: Some(cause.at),
            datacontenttype: Some("application/json".to_owned()),
            tenant: Some(cause.tenant.to_owned()),
            commandid: Some(cause.command.to_string()),
            requestid: Some(cause.request.to_string()),
            sequence: Some(format!("{version:020}")),
            data,
        }
    }
}
