//! Invalid messages in `rollcall.commands`: dead-lettered with a reason, while everything else keeps working.

use std::time::Duration;

use amqp::{dead, topology};
use serde_json::{Value, json};
use tests::broker::header;
use tests::okta::person;
use tests::{Stack, Tenant, check, eventually};

/// A message as ingest would send it.
pub(crate) fn envelope(tenant: &Tenant, user_name: &str) -> Value {
    let mut user = person(user_name, "In", "Jected");
    user.as_object_mut().unwrap().remove("password");
    user.as_object_mut().unwrap().remove("groups");
    let resource = platform::id::new();
    json!({
        "version": 1,
        "ticket": platform::id::new(),
        "tenant": tenant.id,
        "actor": "operator",
        "request": platform::id::new(),
        "fingerprint": resource.to_string(),
        "issued_at": "2026-11-02T09:00:00Z",
        "deadline": "2026-11-02T09:00:20Z",
        "resource": resource,
        "change": { "op": "createUser", "user": user, "origin": "scim" },
    })
}

fn with(mut value: Value, pointer: &str, new: Value) -> Vec<u8> {
    *value.pointer_mut(pointer).unwrap() = new;
    value.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_messages_are_dead_lettered_and_everything_else_goes_on() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("poison").await;
    let (okta, broker) = (tenant.okta(), stack.broker().await);

    // The template itself is valid: each message below is broken in one way.
    broker.command(envelope(&tenant, "injected@poison.example").to_string().as_bytes()).await;
    eventually("a valid message is applied", Duration::from_secs(10), async || {
        (okta.find("injected@poison.example").await.total() == 1).then_some(())
    })
    .await;

    let good = || envelope(&tenant, "broken@poison.example");
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("not JSON", b"this is no JSON".to_vec()),
        ("invalid UTF-8", vec![0xff, 0xfe, 0x00, b'{']),
        ("JSON of another shape", b"[1, 2, 3]".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("an unknown version", with(good(), "/version", json!(99))),
        ("an unknown change", with(good(), "/change/op", json!("explodeUser"))),
        ("an unknown tenant", with(good(), "/tenant", json!("0192f7a0-0000-7000-8000-000000000000"))),
        ("U+0000 in a name", with(good(), "/change/user/userName", json!("nul\u{0}@poison.example"))),
        ("U+0000 in a name's part", with(good(), "/change/user/name/givenName", json!("nul\u{0}"))),
        ("no required attribute", with(good(), "/change/user/userName", Value::Null)),
        ("an invalid ticket", with(good(), "/ticket", json!("yesterday"))),
        ("deep nesting", format!("{}1{}", "{\"a\":".repeat(2_000), "}".repeat(2_000)).into_bytes()),
    ];
    // Valid requests at the same time, so that they share batches.
    let push = tests::load::push(&okta, "poison", 60, 8);
    let poison = async {
        for (_, message) in &broken {
            broker.command(message).await;
        }
    };
    let (pushed, ()) = tokio::join!(push, poison);
    assert!(pushed.iter().all(tests::load::Pushed::is_acknowledged));

    let letters = eventually("each is dead-lettered", Duration::from_secs(20), async || {
        let letters = broker.peek(topology::DEAD).await;
        (letters.len() >= broken.len()).then_some(letters)
    })
    .await;
    assert_eq!(letters.len(), broken.len());
    for (what, message) in &broken {
        let letter = letters.iter().find(|letter| letter.data == *message);
        let letter = letter.unwrap_or_else(|| panic!("{what} was changed or lost"));
        let reason = header(letter, dead::REASON);
        assert!(!reason.is_empty(), "{what} is dead-lettered without a reason");
        assert!(!reason.contains("poison.example"), "{what}: personal data in the reason: {reason}");
        assert_eq!(header(letter, dead::QUEUE), topology::COMMANDS, "{what}");
    }
    check::wait_until_idle(&stack).await;
    assert!(stack.workers[0].is_whole().await);

    // The operator lists and redrives them; they are dead-lettered again.
    let listed = stack.rollcall_json(&["dead", "list"]).await;
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), broken.len());
    for letter in listed {
        assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
    }
    let redriven = stack.rollcall_json(&["dead", "redrive", "--all"]).await;
    assert_eq!(redriven["redriven"], json!(broken.len()), "each once, although each comes back at once");
    eventually("all are dead-lettered again", Duration::from_secs(20), async || {
        (broker.peek(topology::DEAD).await.len() == broken.len()).then_some(())
    })
    .await;
    okta.create(&person("after@poison.example", "Af", "Ter")).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_message_that_is_valid_by_now_is_applied() {
    let stack = Stack::own().await;
    let broker = stack.broker().await;
    // The message is dead-lettered because its tenant is unknown; then the tenant is created.
    let early = stack.tenant("redrive").await;
    let message = envelope(&early, "late@redrive.example");
    let db = stack.db();
    db.execute("delete from key_uses").await;
    db.execute("delete from api_keys").await;
    db.execute("delete from tenants").await;
    broker.command(message.to_string().as_bytes()).await;
    eventually("it is dead-lettered", Duration::from_secs(10), async || {
        (broker.ready(topology::DEAD).await == 1).then_some(())
    })
    .await;
    db.execute(&format!("insert into tenants (id, name) values ('{}', 'redrive')", early.id)).await;

    let listed = stack.rollcall_json(&["dead", "list"]).await;
    let id = listed[0]["id"].as_str().expect("a dead letter has an id").to_owned();
    stack.rollcall(&["dead", "redrive", "--id", &id]).await.well();
    eventually("it is applied", Duration::from_secs(10), async || {
        (db.count("select 1 from users where user_name = 'late@redrive.example'").await == 1).then_some(())
    })
    .await;
    assert_eq!(broker.ready(topology::DEAD).await, 0);
}
