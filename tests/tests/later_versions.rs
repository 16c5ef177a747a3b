//! Data of other versions of Rollcall: unknown settings, schemas and events are ignored without affecting anything
//! else.

use std::time::Duration;

use amqp::{dead, topology};
use serde_json::{Value, json};
use tests::broker::header;
use tests::okta::person;
use tests::{Stack, check, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_settings_affect_nothing_else() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("later").await;
    let (okta, db, content) = (tenant.okta(), stack.db(), tenant.content());
    for (nth, settings) in [
        json!({ "on_duplicate": "merge", "of_a_later_version": { "a": [1] }, "locale": "de" }),
        json!({ "on_duplicate": 7, "unknown_members": null, "requests_per_second": -1, "mails_per_minute": 1e300, "brand_colour": [] }),
        json!([1, 2]),
        json!("text"),
    ]
    .into_iter()
    .enumerate()
    {
        db.execute(&format!("update tenants set settings = '{settings}' where name = 'later'")).await;
        let name = format!("ada{nth}@later.example");
        let id = okta.create(&person(&name, "Ada", "L")).await.is(201).id();
        okta.create(&person(&name, "Ada", "L")).await.is_error_of(409, "uniqueness");
        okta.set_active(&id, false).await.is(200);
        okta.set_active(&id, true).await.is(200);
        content.tell(&content.assigned(&id, "Fire safety")).await.is(202);
        stack.mailbox().first_to(&name).await;
    }
    let log = stack.workers[0].log();
    assert!(!log.contains("one by one"), "{log}");
    assert!(
        log.contains("on_duplicate") && !log.contains("merge"),
        "the setting is named, not its value: {log}"
    );
    let warned = log.matches("tenant settings that cannot be read").count();
    assert_eq!(warned, 4, "once per change: {log}");

    // Changing one setting keeps the others, even unknown ones.
    let later = json!({ "on_duplicate": "merge", "of_a_later_version": 1, "locale": 5 });
    db.execute(&format!("update tenants set settings = '{later}' where name = 'later'")).await;
    tenant.set(&stack, &["locale=fr", "unknown_members=skip"]).await;
    let kept = db.one("select settings from tenants where name = 'later'").await;
    let expected = json!({ "on_duplicate": "merge", "of_a_later_version": 1, "locale": "fr", "unknown_members": "skip" });
    assert_eq!(kept["settings"], expected);
    check::wait_until_idle(&stack).await;
    assert_eq!(stack.broker().await.ready(topology::DEAD).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_schema_is_ignored() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("schemas").await;
    let (okta, db) = (tenant.okta(), stack.db());
    let definition =
        json!({ "id": "urn:example:later:User", "attributes": [{ "name": "badge", "type": "hologram" }] });
    let insert = format!(
        "insert into schemas (tenant_id, id, resource_type, definition) values ('{}', 'urn:example:later:User', 'User', '{definition}')",
        tenant.id
    );
    db.execute(&insert).await;
    let id = okta.create(&person("ada@schemas.example", "Ada", "S")).await.is(201).id();
    okta.set_active(&id, false).await.is(200);
    assert_eq!(stack.broker().await.ready(topology::DEAD).await, 0);
    assert!(stack.workers[0].log().contains("a registered schema that cannot be read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_unknown_types_are_ignored() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("events").await;
    let id = tenant.okta().create(&person("ada@events.example", "Ada", "E")).await.is(201).id();
    let broker = stack.broker().await;
    let event = |kind: &str, data: Value| {
        json!({
            "specversion": "1.0", "type": kind, "source": "urn:rollcall", "id": platform::id::new(),
            "tenant": "events", "data": data
        })
    };
    let user = json!({ "user": { "id": id, "origin": "scim", "active": true, "role": "curator" } });
    for kind in ["user.promoted", "user.merged", "content.rated", "content.assigned.v2"] {
        broker.event(&event(kind, user.clone())).await;
        broker.event(&event(kind, json!("of another shape"))).await;
    }
    // A known type with unknown members, and a known type that is malformed.
    broker.event(&event("user.updated", user)).await;
    broker.event(&event("user.updated", json!({ "user": 7 }))).await;
    let letters = eventually("the malformed one is dead-lettered", Duration::from_secs(20), async || {
        let letters = broker.peek(topology::DEAD).await;
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    check::wait_until_idle(&stack).await;
    assert_eq!(letters.len(), 1);
    assert!(header(&letters[0], dead::REASON).starts_with("data.user must have"));
    assert_eq!(broker.ready(topology::DEAD).await, 1);
}
