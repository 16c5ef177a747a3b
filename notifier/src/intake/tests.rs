//! Which events are accepted, and the error messages for the rest.

use serde_json::json;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

fn read(body: &[u8]) -> Result<Option<Incoming>, String> {
    super::read(body, NOW)
}

fn from_value(value: Value) -> Result<Option<Incoming>, String> {
    super::from_value(value, NOW)
}

fn content() -> Value {
    json!({
        "specversion": "1.0", "id": "1", "source": "/content", "type": "content.assigned", "tenant": "Acme",
        "data": {
            "user": { "id": "0192aaaa-0000-7000-8000-000000000001" },
            "assignment": { "id": "a1", "assignedAt": "2026-01-01T10:00:00Z" },
            "content": { "id": "c1", "kind": "Lesson", "title": "Fire safety", "url": "https://learn.example/c1" }
        }
    })
}

fn user() -> Value {
    json!({
        "specversion": "1.0", "id": "1.user.created", "source": "urn:rollcall", "type": "user.created", "tenant": "acme",
        "requestid": "r1",
        "data": { "user": { "id": "0192aaaa-0000-7000-8000-000000000001", "origin": "manual", "active": true } }
    })
}

#[test]
fn user_and_content_events_are_accepted() {
    let incoming = from_value(content()).unwrap().unwrap();
    assert_eq!(incoming.tenant, "acme", "tenant names are lower case");
    assert!(matches!(incoming.what, What::Content(ContentEvent::Assigned(_))));
    let incoming = read(user().to_string().as_bytes()).unwrap().unwrap();
    assert!(matches!(incoming.what, What::User(UserEvent::Created, _)));
    assert_eq!(incoming.request_id(), Some("r1"));
    assert_eq!(incoming.user().to_string(), "0192aaaa-0000-7000-8000-000000000001");
}

#[test]
fn invalid_events_are_rejected_with_a_reason() {
    let changed = |mut event: Value, pointer: &str, to: Value| {
        *event.pointer_mut(pointer).unwrap() = to;
        event
    };
    let long = "x".repeat(1_001);
    for (event, expected) in [
        (json!("text"), "the event must be a JSON object"),
        (json!({}), "specversion is required"),
        (changed(content(), "/type", json!("")), "type must"),
        (
            changed(content(), "/data/user/id", json!("0192aaaa-0000-4000-8000-000000000001")),
            "data.user.id must",
        ),
        (
            changed(content(), "/data/user/id", json!("0ffffaaa-0000-7000-8000-000000000001")),
            "data.user.id must",
        ),
        (changed(content(), "/type", Value::Null), "type is required"),
        (changed(user(), "/type", json!(["user.created"])), "type must be a string"),
        (changed(user(), "/source", json!("/elsewhere")), "source must be"),
        (changed(user(), "/specversion", json!("0.3")), "specversion must be"),
        (changed(user(), "/id", json!(" ")), "id must not be empty"),
        (changed(user(), "/id", json!(7)), "the event is not a valid CloudEvent"),
        (changed(user(), "/id", json!(long)), "id must have at most"),
        (changed(user(), "/requestid", json!(long)), "requestid must have at most"),
        (changed(user(), "/data/user/origin", json!("okta")), "data.user must have"),
        (changed(user(), "/data", Value::Null), "data.user must have"),
        (changed(user(), "/tenant", json!("")), "tenant is required"),
        (changed(content(), "/tenant", Value::Null), "tenant is required"),
        (changed(content(), "/tenant", json!(7)), "tenant must be a string"),
        (changed(content(), "/data/content/title", json!("a\0b")), "the event must not contain U+0000"),
        (changed(content(), "/data/content", json!({ "a\0b": 1 })), "the event must not contain U+0000"),
        (
            changed(content(), "/data/assignment/id", json!("é".repeat(501))),
            "data.assignment.id must have at most",
        ),
        (
            changed(content(), "/data/assignment/assignedAt", json!("9999-12-31T23:59:59-01:00")),
            "data.assignment.assignedAt must be a date and time",
        ),
        (
            changed(content(), "/data/assignment/assignedAt", json!("0000-01-01T00:00:00Z")),
            "data.assignment.assignedAt must",
        ),
    ] {
        let complaint = from_value(event).unwrap_err();
        assert!(complaint.starts_with(expected), "{expected}: {complaint}");
    }
}

#[test]
fn unknown_event_types_are_ignored() {
    for kind in [
        "user.promoted",
        "user.",
        "group.created",
        "group.merged",
        "content.rated",
        "role.changed",
        "x",
        "USER.CREATED",
    ] {
        for mut event in [user(), content(), json!({}), json!({ "data": "a\0b", "specversion": "2.0" })] {
            event["type"] = json!(kind);
            assert_eq!(from_value(event), Ok(None), "{kind}");
        }
    }
}

#[test]
fn an_unknown_role_is_ignored() {
    let mut event = user();
    event["data"]["user"]["role"] = json!("curator");
    assert!(matches!(from_value(event), Ok(Some(_))));
}

#[test]
fn invalid_json_is_rejected() {
    for body in
        [&b""[..], b"{", b"\xff\xfe", "[".repeat(100_000).as_bytes(), br#"{"id":"\ud800"}"#, b"{\"n\":1e999}"]
    {
        let complaint = read(body).unwrap_err();
        assert!(complaint.starts_with("the message is not JSON"), "{complaint}");
    }
}
