//! Events: CloudEvents 1.0, out of the roster (`user.*`, `group.*`) and in from the content service (`content.*`).
//! `rollcall.events` carries both, routed by their type.

mod content;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

pub use content::{
    Assigned, Assignment, Completed, Completion, Content, ContentEvent, ContentKind, ROLE_CHANGED,
    RoleChanged, UserRef, decode, decode_role,
};

/// The media type of one event in structured mode.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";
/// The media type of a batch.
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";
/// `source` of the events that Rollcall itself makes.
pub const SOURCE: &str = "urn:rollcall";

/// One event in the JSON form of CloudEvents 1.0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique within its source (and tenant): consumers deduplicate on it.
    pub id: String,
    /// Who made it: a URI reference.
    pub source: String,
    /// What happened; the routing key too.
    #[serde(rename = "type")]
    pub kind: String,
    /// The resource that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub time: Option<OffsetDateTime>,
    /// `application/json` where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// Extension: the tenant's name. Set by ingest over HTTP, by the sender over AMQP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Extension: the command that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commandid: Option<String>,
    /// Extension: the request that caused it, for the logs of all services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requestid: Option<String>,
    /// Extension: the version of the resource after it; orders the events of one resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
    /// What is to be known of it.
    #[serde(default)]
    pub data: Value,
}

/// Whether U+0000 stands anywhere in a value: JSON allows it, Postgres does not keep it.
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
    /// The account was made.
    Created,
    /// Its attributes changed.
    Updated,
    /// It was deactivated: gone from every report.
    Archived,
    /// It was reactivated.
    Restored,
    /// An account that no identity provider knew was given its `externalId`.
    Linked,
    /// It was deleted for good.
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

/// The `data` of a `user.*` event: ids and states, no personal data; who needs more reads the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserData {
    /// The SCIM id.
    pub id: Uuid,
    /// `scim` or `manual`.
    pub origin: crate::command::Origin,
    /// Whether the account lives.
    pub active: bool,
    /// What the person may do in the learning platform; missing in events of a version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<crate::command::Role>,
}

/// What happened to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// The group was made.
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

/// The `data` of a `group.*` event: who needs the members reads the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupData {
    /// The SCIM id.
    pub id: Uuid,
    /// How many members it has.
    pub members: i64,
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// The command.
    pub command: crate::ticket::Ticket,
    /// The request behind the command.
    pub request: Uuid,
    /// When the worker decided.
    pub at: OffsetDateTime,
}

impl Event {
    /// An event about a user. Its id follows from the command and the type, so that a command folded twice
    /// makes the same events.
    #[must_use]
    pub fn user(kind: UserEvent, data: &UserData, version: i64, cause: Cause<'_>) -> Self {
        Self::about(kind.as_str(), data.id, version, cause, json!({ "user": data }))
    }

    /// An event about a group. A command may concern several groups, so the id names the group too.
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
