//! Parses and validates events, from the queue or from `parked_events`.

use domain::event::{ContentEvent, Event, SOURCE, UserData, UserEvent, check_issued, decode, holds_nul};
use domain::settings::ContentLinks;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// The maximum length of an index key, in bytes: Postgres' B-trees allow 2,704 for two of them and a tenant.
const MAX_KEY: usize = 1_000;
/// The types of user events that the notifier handles.
const USER_EVENTS: [UserEvent; 6] = [
    UserEvent::Created,
    UserEvent::Updated,
    UserEvent::Archived,
    UserEvent::Restored,
    UserEvent::Linked,
    UserEvent::Deleted,
];
/// The types of content events that the notifier handles.
const CONTENT_EVENTS: [&str; 2] = ["content.assigned", "content.completed"];
/// The maximum length of a request id, in bytes.
const MAX_REQUEST_ID: usize = 200;

/// A valid event.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// Its envelope.
    pub event: Event,
    /// The tenant's name, in lower case.
    pub tenant: String,
    /// The payload.
    pub what: What,
    /// The event as received.
    pub raw: Value,
}

/// The payload.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// About a user.
    User(UserEvent, UserData),
    /// From the content service.
    Content(ContentEvent),
}

impl Incoming {
    /// The SCIM id of the user that the event is about.
    #[must_use]
    pub fn user(&self) -> Uuid {
        match &self.what {
            What::User(_, data) => data.id,
            What::Content(event) => event.user(),
        }
    }

    /// Checks what only the tenant's settings decide.
    ///
    /// # Errors
    /// Why the event is invalid: one sentence that contains none of its values.
    pub fn check(&self, links: ContentLinks) -> Result<(), String> {
        match &self.what {
            What::User(..) => Ok(()),
            What::Content(content) => content.check(links),
        }
    }

    /// The id of the request that caused it, for the logs.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.event.requestid.as_deref()
    }
}

/// Parses a message from the queue; `None` if it is not for the notifier.
///
/// # Errors
/// Why the event is invalid: one sentence that contains none of its values.
pub fn read(body: &[u8], now: OffsetDateTime) -> Result<Option<Incoming>, String> {
    let value = serde_json::from_slice(body)
        .map_err(|e| format!("the message is not JSON ({:?} error)", e.classify()))?;
    from_value(value, now)
}

/// Parses an event; `None` if it is not for the notifier. Unknown types are ignored: other services may publish their
/// own, and later versions of the workers may add some.
///
/// # Errors
/// Why the event is invalid: one sentence that contains none of its values.
pub fn from_value(value: Value, now: OffsetDateTime) -> Result<Option<Incoming>, String> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    let user_event = USER_EVENTS.into_iter().find(|known| known.as_str() == kind);
    if user_event.is_none() && !kind.is_empty() && !CONTENT_EVENTS.contains(&kind) {
        return Ok(None);
    }
    if holds_nul(&value) {
        return Err("the event must not contain U+0000".to_owned());
    }
    let (event, what) = match user_event {
        Some(kind) => self::user_event(&value, kind)?,
        None => {
            let (event, content) = decode(&value)?;
            check_issued(content.user(), now)?;
            (event, What::Content(content))
        }
    };
    at_most("id", &event.id, MAX_KEY)?;
    at_most("source", &event.source, MAX_KEY)?;
    at_most("requestid", event.requestid.as_deref().unwrap_or_default(), MAX_REQUEST_ID)?;
    match event.tenant.as_deref().map(str::trim) {
        None | Some("") => {
            Err("tenant is required: the extension attribute with the tenant's name".to_owned())
        }
        Some(tenant) => Ok(Some(Incoming { tenant: tenant.to_ascii_lowercase(), event, what, raw: value })),
    }
}

fn user_event(value: &Value, kind: UserEvent) -> Result<(Event, What), String> {
    let event: Event = serde_json::from_value(value.clone())
        .map_err(|_| "the event is not a valid CloudEvent about a user".to_owned())?;
    if event.specversion != "1.0" {
        return Err("specversion must be \"1.0\"".to_owned());
    }
    if event.source != SOURCE {
        return Err(format!("source must be {SOURCE} for events about users"));
    }
    if event.id.trim().is_empty() {
        return Err("id must not be empty".to_owned());
    }
    let mut data = event.data.get("user").cloned().unwrap_or_default();
    if let Some(user) = data.as_object_mut() {
        // No mail depends on the role, and later versions may add new roles.
        user.remove("role");
    }
    let data: UserData =
        serde_json::from_value(data).map_err(|_| "data.user must have id, origin and active".to_owned())?;
    Ok((event, What::User(kind, data)))
}

fn at_most(field: &str, text: &str, max: usize) -> Result<(), String> {
    if text.len() > max { Err(format!("{field} must have at most {max} bytes")) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
