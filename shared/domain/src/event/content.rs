//! The content service's events. Validation is the same over HTTP and AMQP.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::{Uuid, Variant};

use super::fields::{MAX_TEXT, Object, envelope};
use super::{Event, ROLE_CHANGED};
use crate::link::{self, Schemes};
use crate::settings::ContentLinks;

/// More than a link may have, so that the error about its length is that of [`link::parse`].
const MAX_URL: usize = 1 << 20;

/// How far ahead the clock of the service that issued an id may be.
const AHEAD: time::Duration = time::Duration::hours(1);

/// An event of the content service.
#[derive(Clone, Debug, PartialEq)]
pub enum ContentEvent {
    /// `content.assigned`.
    Assigned(Assigned),
    /// `content.completed`.
    Completed(Completed),
}

impl ContentEvent {
    /// The SCIM id of the user that it concerns.
    #[must_use]
    pub fn user(&self) -> Uuid {
        match self {
            Self::Assigned(assigned) => assigned.user.id,
            Self::Completed(completed) => completed.user.id,
        }
    }
}

/// Content was assigned to a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    /// The user.
    pub user: UserRef,
    /// The assignment.
    pub assignment: Assignment,
    /// The content.
    pub content: Content,
}

/// An assignment was completed.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// The user.
    pub user: UserRef,
    /// The assignment.
    pub assignment: Completion,
}

/// A user, by SCIM id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRef {
    /// The SCIM id.
    pub id: Uuid,
}

/// A new assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The content service's id.
    pub id: String,
    /// When the content was assigned.
    pub assigned_at: OffsetDateTime,
    /// When it is due.
    pub due_by: Option<OffsetDateTime>,
}

/// A completed assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The content service's id.
    pub id: String,
    /// When it was completed.
    pub completed_at: OffsetDateTime,
    /// The score, on the content service's scale.
    pub score: Option<f64>,
    /// Whether the score follows later, with another completion of the assignment.
    pub grade_pending: bool,
}

/// Learning content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The content service's id.
    pub id: String,
    /// Its kind.
    pub kind: ContentKind,
    /// Its title, for display.
    pub title: String,
    /// Its link: `http` or `https`.
    pub url: String,
}

/// The kinds of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// One lesson.
    Lesson,
    /// A learning path.
    Path,
}

impl ContentEvent {
    /// Checks what only a tenant's settings decide.
    ///
    /// # Errors
    /// One sentence that names the field, without its value.
    pub fn check(&self, links: ContentLinks) -> Result<(), String> {
        match self {
            Self::Assigned(assigned)
                if links == ContentLinks::Https && !assigned.content.url.starts_with("https:") =>
            {
                Err("data.content.url must be an https URL (http is allowed by the setting content_links=http)".to_owned())
            }
            Self::Assigned(_) | Self::Completed(_) => Ok(()),
        }
    }
}

impl ContentKind {
    /// As it is sent and stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lesson => "Lesson",
            Self::Path => "Path",
        }
    }
}

/// Checks a CloudEvent of the content service, attribute by attribute. [`ContentEvent::check`] does the rest.
///
/// # Errors
/// One sentence that names the field, without its value.
pub fn decode(value: &Value) -> Result<(Event, ContentEvent), String> {
    let envelope = envelope(value)?;
    let kind = envelope.text("type", MAX_TEXT)?;
    let data = envelope.object("data")?;
    let content = match kind {
        "content.assigned" => ContentEvent::Assigned(assigned(&data)?),
        "content.completed" => ContentEvent::Completed(completed(&data)?),
        _ => {
            return Err(format!("type must be content.assigned, content.completed or {ROLE_CHANGED}"));
        }
    };
    // Only our own extension attributes can still have the wrong type.
    let event = serde_json::from_value(value.clone())
        .map_err(|_| "tenant, commandid, requestid and sequence must be strings".to_owned())?;
    Ok((event, content))
}

fn assigned(data: &Object<'_>) -> Result<Assigned, String> {
    let assignment = data.object("assignment")?;
    let content = data.object("content")?;
    Ok(Assigned {
        user: user(data)?,
        assignment: Assignment {
            id: assignment.text("id", MAX_TEXT)?.to_owned(),
            assigned_at: assignment.time("assignedAt")?,
            due_by: assignment.optional("dueBy", Object::time)?,
        },
        content: Content {
            id: content.text("id", MAX_TEXT)?.to_owned(),
            kind: match content.text("kind", MAX_TEXT)? {
                "Lesson" => ContentKind::Lesson,
                "Path" => ContentKind::Path,
                _ => return Err("data.content.kind must be Lesson or Path".to_owned()),
            },
            title: content.text("title", MAX_TEXT)?.to_owned(),
            url: url(&content)?,
        },
    })
}

fn completed(data: &Object<'_>) -> Result<Completed, String> {
    let assignment = data.object("assignment")?;
    Ok(Completed {
        user: user(data)?,
        assignment: Completion {
            id: assignment.text("id", MAX_TEXT)?.to_owned(),
            completed_at: assignment.time("completedAt")?,
            score: assignment.optional("score", Object::number)?,
            grade_pending: assignment.optional("gradePending", Object::boolean)?.unwrap_or_default(),
        },
    })
}

/// The user that the event concerns.
pub(super) fn user(data: &Object<'_>) -> Result<UserRef, String> {
    let user = data.object("user")?;
    let id = user.text("id", MAX_TEXT)?;
    let id: Option<Uuid> = id.parse().ok();
    // No service issues other ids, so an event about one would wait in vain.
    let id = id.filter(|id| id.get_version_num() == 7 && id.get_variant() == Variant::RFC4122);
    id.map(|id| UserRef { id })
        .ok_or_else(|| user.wrong("id", "must be the SCIM id of a user (a UUID of version 7)"))
}

/// Checks that a user's id can have been issued by now: its time is not in the future. Tickets and ids of services whose
/// clocks are ahead are tolerated.
///
/// # Errors
/// One sentence that names the field, without its value.
pub fn check_issued(id: Uuid, now: OffsetDateTime) -> Result<(), String> {
    let issued_ms = i128::try_from(id.as_u128() >> 80).unwrap_or(i128::MAX);
    let latest_ms = (now + AHEAD).unix_timestamp_nanos() / 1_000_000;
    if issued_ms <= latest_ms {
        return Ok(());
    }
    Err("data.user.id must be the SCIM id of a user (its time is in the future)".to_owned())
}

fn url(content: &Object<'_>) -> Result<String, String> {
    let text = content.text("url", MAX_URL)?;
    let url = link::parse(text, Schemes::HttpOrHttps).map_err(|problem| content.wrong("url", problem))?;
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "specversion": "1.0", "id": "1", "source": "/content", "type": "content.assigned",
            "data": {
                "user": { "id": "0192aaaa-0000-7000-8000-000000000001" },
                "assignment": { "id": "a1", "assignedAt": "2026-01-01T10:00:00Z", "dueBy": "2026-02-01T10:00:00+01:00" },
                "content": { "id": "c1", "kind": "Lesson", "title": "Fire safety", "url": "https://learn.example/c1" }
            }
        })
    }

    #[test]
    fn a_complete_event_is_accepted() {
        let (event, content) = decode(&good()).unwrap();
        assert_eq!(event.kind, "content.assigned");
        assert!(matches!(content, ContentEvent::Assigned(a) if a.assignment.due_by.is_some()));
    }

    #[test]
    fn an_id_that_no_service_can_have_issued_is_refused_by_its_field() {
        for id in [
            "",
            "7",
            "0192aaaa-0000-4000-8000-000000000001",
            "0192aaaa-0000-7000-0000-000000000001",
            "00000000-0000-0000-0000-000000000000",
        ] {
            let mut event = good();
            event["data"]["user"]["id"] = json!(id);
            let said = decode(&event).unwrap_err();
            assert!(said.starts_with("data.user.id "), "{id}: {said}");
        }
        let id = decode(&good()).unwrap().1.user();
        let issued = OffsetDateTime::from_unix_timestamp_nanos(0x0192_aaaa_0000 * 1_000_000).unwrap();
        assert_eq!(check_issued(id, issued), Ok(()));
        assert_eq!(check_issued(id, issued - AHEAD), Ok(()));
        let said = check_issued(id, issued - AHEAD - time::Duration::SECOND).unwrap_err();
        assert!(said.starts_with("data.user.id must be") && said.contains("future"), "{said}");
    }

    #[test]
    fn a_completion_can_have_a_pending_score() {
        let mut event = good();
        event["type"] = json!("content.completed");
        for (said, meant) in [
            (Value::Null, Ok(false)),
            (json!(true), Ok(true)),
            (json!("yes"), Err("data.assignment.gradePending must be true or false".to_owned())),
        ] {
            event["data"]["assignment"] =
                json!({ "id": "a1", "completedAt": "2026-01-02T10:00:00Z", "gradePending": said });
            let read = decode(&event).map(|(_, content)| match content {
                ContentEvent::Completed(completed) => completed.assignment.grade_pending,
                ContentEvent::Assigned(_) => unreachable!("its type is content.completed"),
            });
            assert_eq!(read, meant, "{said}");
        }
    }

    #[test]
    fn every_error_names_its_field() {
        for (pointer, value, expected) in [
            ("/specversion", json!("0.3"), "specversion must be"),
            ("/id", json!(""), "id must not be empty"),
            ("/source", Value::Null, "source is required"),
            ("/type", json!("content.lost"), "type must be"),
            ("/data", json!([]), "data must be an object"),
            ("/data/user", json!("x"), "data.user must be an object"),
            ("/data/user/id", json!("x"), "data.user.id must be the SCIM id"),
            ("/data/assignment/id", json!(7), "data.assignment.id must be a string"),
            ("/data/assignment/assignedAt", json!("yesterday"), "data.assignment.assignedAt must be a date"),
            ("/data/assignment/dueBy", json!("soon"), "data.assignment.dueBy must be a date"),
            ("/data/content/kind", json!("Film"), "data.content.kind must be"),
            ("/data/content/title", json!("a\0b"), "data.content.title must not contain U+0000"),
            ("/data/content/url", json!("javascript:alert(1)"), "data.content.url must be an http"),
            (
                "/data/content/url",
                json!("https://me@c.example"),
                "data.content.url must not contain a user name",
            ),
            ("/data/content/url", json!("https://c.example/\n"), "data.content.url must not contain spaces"),
            ("/data/content/url", json!("x".repeat(2001)), "data.content.url must have at most 2000 bytes"),
        ] {
            let mut event = good();
            *event.pointer_mut(pointer).unwrap() = value;
            let complaint = decode(&event).unwrap_err();
            assert!(complaint.starts_with(expected), "{pointer}: {complaint}");
        }
    }

    #[test]
    fn http_is_accepted_on_request() {
        let mut event = good();
        for (url, expected) in [("https://c.example", [true, true]), ("HTTP://c.example", [false, true])] {
            event["data"]["content"]["url"] = json!(url);
            let (_, content) = decode(&event).unwrap();
            let found = [ContentLinks::Https, ContentLinks::Http].map(|links| content.check(links).is_ok());
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn unknown_extension_attributes_are_accepted() {
        let mut event = good();
        event["traceparent"] = json!("00-1");
        assert!(decode(&event).is_ok());
    }
}
