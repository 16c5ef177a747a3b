//! `POST /events`: accepts the content service's CloudEvents, one in structured mode or a batch. Content events are
//! published to the exchange `rollcall.events`; role events are dispatched as commands. If any event is not accepted,
//! the response is an error, and the whole request may be sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::{Message, topology};
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use database::keys::{self, Key};
use domain::command::Actor;
use domain::event::{self, Event, RoleChanged};
use domain::outcome::Outcome;
use domain::settings::ContentLinks;
use futures_util::{StreamExt, TryStreamExt, stream};
use scim::Error;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::admission::Events;
use crate::admission::Held;
use crate::app::Shared;
use crate::dispatch::ChangeRequest;
use crate::event_intake;
use crate::http::body;
use crate::http::observe::RequestId;
use crate::http::response::{HandlerResult, Refusal, scim_json};
use crate::http::sent;
use crate::roles;

/// The maximum number of events in one request.
const MAX_EVENTS: usize = event_intake::MAX_EVENTS as usize;
/// The time budget of one request: clients such as Okta give up at 60 s. A role change is not started with less than
/// [`LEAST`] of it left.
const TIME_LIMIT: Duration = Duration::from_secs(50);
const LEAST: Duration = Duration::from_secs(2);
/// The maximum number of users of one request whose role changes run concurrently.
const AT_ONCE: usize = 32;
/// The generic media type. It is accepted for one event and for a batch.
const JSON: &str = "application/json";

/// Accepts events. Responds with 202 when the broker has confirmed all of them.
///
/// # Errors
/// 400 that names the field, 403 if the key lacks the scope of an event, 404 for the role of an unknown user, 413, 415, 429 while the broker accepts no messages.
pub async fn receive(
    Events { key, tenant, permit }: Events,
    RequestId(id): RequestId,
    State(app): State<Shared>,
    request: Request,
) -> HandlerResult {
    let (parts, body) = request.into_parts();
    let media_type = body::media_type(&parts.headers, &[event::MEDIA_TYPE, event::BATCH_MEDIA_TYPE, JSON])?;
    let room = app.admission.admit_body(key.tenant, body::expected(&parts.headers, app.config.body_limit))?;
    let body = body::receive(&parts.headers, body, app.config.body_limit).await?;
    let rules = Rules { links: tenant.settings.content_links, now: app.clock.now() };
    let taken = events(media_type, &body, rules)?;
    permitted(&key, &taken)?;
    let accepted = taken.len();
    app.intake.admit(&app.pool, &tenant, accepted, &about(&taken)).await?;
    let (mut people, mut events) = (BTreeMap::new(), Vec::new());
    for one in taken {
        match one {
            Taken::Content(event, _) => events.push(event),
            Taken::Role(event) => {
                let change_request = roles::change_request(key.tenant, Actor::Key(key.id), id, &event);
                people.entry(event.user).or_insert_with(Vec::new).push(change_request);
            }
        }
    }
    let messages = events.into_iter().map(|event| message(event, &key.tenant_name, id));
    let messages: Vec<Message> =
        messages.collect::<Result<_, _>>().map_err(|_| Refusal::bug("failed to serialize an event"))?;
    // If the client disconnects, the batch is still processed to the end, and holds its permits until then.
    let (people, held, passing) =
        (people.into_values().collect(), Held::default().and(permit).and(room), app.clone());
    sent::hold(held.clone());
    let work = async move {
        let _held = held;
        pass_on(&passing, people, messages).await
    };
    app.detached.run(work).await??;
    // SCIM's media type, although this is not a SCIM resource: all responses of this server have the same form.
    Ok(scim_json(StatusCode::ACCEPTED, &json!({ "accepted": accepted })))
}

/// The users that content events are about.
fn about(events: &[Taken]) -> Vec<Uuid> {
    let user = |event: &Taken| match event {
        Taken::Content(_, user) => Some(*user),
        Taken::Role(_) => None,
    };
    events.iter().filter_map(user).collect()
}

/// Each event takes effect once, even if the client sends the request again after a 429. `people` has the role changes
/// grouped by user, in the order of their events: the last role wins.
async fn pass_on(app: &Shared, people: Vec<Vec<ChangeRequest>>, events: Vec<Message>) -> Result<(), Refusal> {
    let until = Instant::now() + TIME_LIMIT;
    let people = stream::iter(people).map(Ok::<_, Refusal>);
    people
        .try_for_each_concurrent(AT_ONCE, async |requests| {
            for change_request in requests {
                set_role(app, until, change_request).await?;
            }
            Ok(())
        })
        .await?;
    if events.is_empty() {
        return Ok(());
    }
    app.events.publish(&events).await.map_err(|error| Refusal::not_queued(&error))
}

async fn set_role(app: &Shared, until: Instant, change_request: ChangeRequest) -> Result<(), Refusal> {
    let user = change_request.resource;
    let time_limit = until.saturating_duration_since(Instant::now());
    if time_limit < LEAST || app.detached.is_halting() {
        return Err(Refusal::try_again(
            "the events took too long; some were not accepted; send all of them again",
        ));
    }
    if roles::is_done(app, &change_request).await.map_err(|error| Refusal::unread(&error))? {
        return Ok(());
    }
    match app.dispatcher.submit_within(time_limit, change_request).await?.1 {
        Outcome::Rejected { error } if error.status == 404 => {
            Err(Error::not_found(format!("data.user.id: no such user: {user}")).into())
        }
        Outcome::Rejected { error } => Err(error.into()),
        _ => Ok(()),
    }
}

/// A valid event, by its consumer.
#[derive(Debug)]
enum Taken {
    /// For the notifier, about this user.
    Content(Box<Event>, Uuid),
    /// For the worker.
    Role(RoleChanged),
}

impl Taken {
    /// The scope that a key needs to send it.
    fn scope(&self) -> &'static str {
        match self {
            Self::Content(..) => keys::EVENTS,
            Self::Role(_) => keys::ROLES,
        }
    }
}

/// Checks that the key may send all of these events. A role event can make an administrator, so content services get
/// keys without that scope.
fn permitted(key: &Key, taken: &[Taken]) -> Result<(), Error> {
    let Some((index, lacking)) = taken.iter().enumerate().find(|(_, one)| !key.has(one.scope())) else {
        return Ok(());
    };
    let kind = match lacking {
        Taken::Content(event, _) => &event.kind,
        Taken::Role(_) => event::ROLE_CHANGED,
    };
    let (place, scope) =
        (if taken.len() > 1 { format!("events[{index}]: ") } else { String::new() }, lacking.scope());
    Err(Error::forbidden(format!(
        "{place}this API key lacks the scope {scope}, which {kind} requires; no event of this request was accepted"
    )))
}

/// What an event must fulfil.
#[derive(Clone, Copy)]
struct Rules {
    /// The links that content may have.
    links: ContentLinks,
    /// The time after which no id can have been issued.
    now: OffsetDateTime,
}

/// Parses and validates the events in a body.
fn events(media_type: Option<&str>, body: &Bytes, rules: Rules) -> Result<Vec<Taken>, Error> {
    let parsed: Value = serde_json::from_slice(body).map_err(|error| {
        Error::invalid_syntax(format!(
            "the body is not valid JSON (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    if event::holds_nul(&parsed) {
        return Err(Error::invalid_value("the body contains the character U+0000, which cannot be stored"));
    }
    match (media_type, parsed) {
        (Some(event::MEDIA_TYPE), Value::Array(_)) => {
            Err(Error::invalid_syntax(format!("a batch must be sent as {}", event::BATCH_MEDIA_TYPE)))
        }
        (_, Value::Array(batch)) if batch.len() > MAX_EVENTS => Err(Error::payload_too_large(format!(
            "the batch has {} events; at most {MAX_EVENTS} are allowed",
            batch.len()
        ))),
        (_, Value::Array(batch)) => batch
            .iter()
            .enumerate()
            .map(|(index, event)| {
                valid(event, rules)
                    .map_err(|complaint| Error::invalid_value(format!("events[{index}].{complaint}")))
            })
            .collect(),
        (Some(event::BATCH_MEDIA_TYPE), _) => {
            Err(Error::invalid_syntax("a batch must be a JSON array of events"))
        }
        (_, one) => Ok(vec![valid(&one, rules).map_err(Error::invalid_value)?]),
    }
}

fn valid(event: &Value, Rules { links, now }: Rules) -> Result<Taken, String> {
    if event["type"] == event::ROLE_CHANGED {
        let role = event::decode_role(event)?;
        event::check_issued(role.user, now)?;
        return Ok(Taken::Role(role));
    }
    let (event, content) = event::decode(event)?;
    content.check(links)?;
    event::check_issued(content.user(), now)?;
    Ok(Taken::Content(Box::new(event), content.user()))
}

/// The event's `tenant` is overwritten by the key's tenant.
fn message(event: Box<Event>, tenant_name: &str, request: Uuid) -> serde_json::Result<Message> {
    let event =
        Event { tenant: Some(tenant_name.to_owned()), requestid: Some(request.to_string()), ..*event };
    let (id, body) = (platform::id::new().to_string(), serde_json::to_vec(&event)?);
    Ok(Message::json(topology::EVENTS, &event.kind, &id, event::MEDIA_TYPE, body))
}

#[cfg(test)]
mod tests {
    use platform::clock::Clock;

    use super::*;

    fn event(id: &str) -> Value {
        json!({
            "specversion": "1.0", "id": id, "source": "/content", "type": "content.completed", "tenant": "other",
            "data": {
                "user": { "id": "0192aaaa-0000-7000-8000-000000000001" },
                "assignment": { "id": "a1", "completedAt": "2026-01-01T10:00:00Z" }
            }
        })
    }

    fn rules() -> Rules {
        Rules { links: ContentLinks::Https, now: Clock::System.now() }
    }

    fn read(media_type: Option<&str>, body: &Value) -> Result<usize, (u16, String)> {
        let events = events(media_type, &body.to_string().into_bytes().into(), rules());
        events.map(|events| events.len()).map_err(|error| (error.status, error.detail))
    }

    #[test]
    fn body_must_match_its_media_type() {
        let (one, two) = (event("1"), json!([event("1"), event("2")]));
        let (single, batch) = (Some(event::MEDIA_TYPE), Some(event::BATCH_MEDIA_TYPE));
        for (media_type, body, expected) in [
            (single, &one, Ok(1)),
            (single, &two, Err(400)),
            (batch, &two, Ok(2)),
            (batch, &one, Err(400)),
            (batch, &json!([]), Ok(0)),
            (Some(JSON), &one, Ok(1)),
            (Some(JSON), &two, Ok(2)),
            (None, &one, Ok(1)),
            (batch, &json!(vec![one.clone(); MAX_EVENTS + 1]), Err(413)),
            (single, &json!("x"), Err(400)),
        ] {
            assert_eq!(read(media_type, body).map_err(|(status, _)| status), expected, "{media_type:?}");
        }
    }

    #[test]
    fn error_names_the_event_and_the_field() {
        let mut bad = event("2");
        bad["data"]["user"]["id"] = json!("x");
        let (status, detail) = read(None, &json!([event("1"), bad])).unwrap_err();
        assert_eq!(status, 400);
        assert!(detail.starts_with("events[1].data.user.id must be"), "{detail}");
    }

    #[test]
    fn each_event_of_a_batch_requires_its_scope() {
        let role = json!({
            "specversion": "1.0", "id": "r", "source": "/content", "type": "role.changed",
            "data": { "user": { "id": "0192aaaa-0000-7000-8000-000000000001" }, "role": "admin" }
        });
        let key = |scopes: &[&str]| Key {
            id: Uuid::nil(),
            tenant: Uuid::nil(),
            tenant_name: "acme".to_owned(),
            prefix: String::new(),
            sha256: String::new(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            created_at: time::OffsetDateTime::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
            networks: Vec::new(),
        };
        for (scopes, batch, refused) in [
            (&["events"][..], json!([event("1")]), None),
            (&["events"], role.clone(), Some("this API key lacks the scope roles")),
            (&["events"], json!([event("1"), role]), Some("events[1]: this API key lacks the scope roles")),
            (&["roles"], json!([role, event("1")]), Some("events[1]: this API key lacks the scope events")),
            (&["roles"], json!([role]), None),
            (&["events", "roles"], json!([event("1"), role]), None),
        ] {
            let taken = events(None, &batch.to_string().into_bytes().into(), rules()).unwrap();
            let said = permitted(&key(scopes), &taken).err();
            assert_eq!(said.is_some(), refused.is_some(), "{scopes:?} {said:?}");
            if let (Some(error), Some(expected)) = (said, refused) {
                assert!(error.status == 403 && error.detail.starts_with(expected), "{}", error.detail);
            }
        }
    }

    #[test]
    fn events_about_users_that_cannot_exist_are_refused() {
        for id in ["0192aaaa-0000-4000-8000-000000000001", "ffffffff-ffff-7fff-bfff-ffffffffffff"] {
            let mut role = json!({ "specversion": "1.0", "id": "1", "source": "/p", "type": "role.changed" });
            role["data"] = json!({ "role": "admin" });
            for mut event in [event("1"), role] {
                event["data"]["user"]["id"] = json!(id);
                let (status, detail) = read(None, &event).unwrap_err();
                assert!(status == 400 && detail.starts_with("data.user.id must be"), "{id}: {detail}");
            }
        }
    }

    #[test]
    fn nul_and_invalid_utf8_are_rejected() {
        let mut bad = event("1");
        bad["data"]["extra"] = json!([{ "a": "b\0" }]);
        assert_eq!(read(None, &bad).unwrap_err().0, 400);
        let broken = events(None, &Bytes::from_static(b"{\"a\":\xff}"), rules()).unwrap_err();
        assert_eq!(broken.status, 400);
    }

    #[test]
    fn tenant_of_the_key_overrides_the_tenant_of_the_event() {
        let Ok(Taken::Content(valid, _)) = valid(&event("1"), rules()) else {
            panic!("expected a content event")
        };
        let message = message(valid, "acme", Uuid::nil()).unwrap();
        let sent: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((&sent["tenant"], message.routing_key.as_str()), (&json!("acme"), "content.completed"));
    }
}
