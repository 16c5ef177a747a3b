//! Events to and from the learning platform: published events match their schema, and role changes are applied.

use std::collections::BTreeSet;
use std::time::Duration;

use amqp::{dead, topology};
use boon::{Compiler, Draft, Schemas};
use serde_json::{Value, json};
use tests::okta::person;
use tests::{Stack, broker, eventually};

const SCHEMA: &str = include_str!("../../shared/domain/src/event/events.schema.json");
const SOON: Duration = Duration::from_secs(20);

/// Causes all nine types of events.
async fn a_life(stack: &Stack) {
    let tenant = stack.tenant("reported").await;
    let okta = tenant.okta();
    let new = [
        "user",
        "add",
        "reported",
        "--email",
        "old@reported.example",
        "--given-name",
        "Old",
        "--family-name",
        "Timer",
    ];
    let old = stack.rollcall_json(&new).await["id"].as_str().unwrap().to_owned();
    let mut user = person("old@reported.example", "Old", "Timer");
    user["externalId"] = json!("00u-reported");
    okta.put(&old, &user).await.is(200);
    okta.set_active(&old, false).await.is(200);
    okta.set_active(&old, true).await.is(200);
    stack.rollcall(&["user", "role", "reported", "old@reported.example", "creator"]).await.well();
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "All", "members": [{ "value": old }]
    });
    let group = okta.with_body("POST", "/Groups", &group).await.is(201).id();
    okta.delete(&old).await.is(204);
    okta.send(okta.request("DELETE", &format!("/Groups/{group}"))).await.is(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_published_event_matches_the_documented_schema() {
    let mut compiler = Compiler::new();
    compiler.set_default_draft(Draft::V2020_12);
    compiler.enable_format_assertions();
    compiler.add_resource("urn:rollcall:events", serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let mut schemas = Schemas::new();
    let schema = compiler.compile("urn:rollcall:events", &mut schemas).unwrap();

    let stack = Stack::own().await;
    let broker = stack.broker().await;
    let witness = broker.witness().await;
    a_life(&stack).await;
    let mut events = Vec::new();
    eventually("the last event is published", SOON, async || {
        events.extend(witness.events(&broker).await);
        events.iter().any(|event: &Value| event["type"] == "group.deleted").then_some(())
    })
    .await;
    let mut kinds = BTreeSet::new();
    let mut sequences: Vec<(Value, Value)> = Vec::new();
    for event in events {
        schemas.validate(&event, schema).unwrap_or_else(|wrong| panic!("{wrong:#}\n{event}"));
        kinds.insert(event["type"].as_str().unwrap().to_owned());
        sequences.push((event["subject"].clone(), event["sequence"].clone()));
    }
    let all = [
        "group.created",
        "group.deleted",
        "group.updated",
        "user.archived",
        "user.created",
        "user.deleted",
        "user.linked",
        "user.restored",
        "user.updated",
    ];
    assert_eq!(kinds, all.map(str::to_owned).into());
    for (subject, _) in &sequences {
        let of_one = sequences.iter().filter(|(of, _)| of == subject).map(|(_, sequence)| sequence.as_str());
        assert!(of_one.is_sorted(), "{subject} has events out of order");
    }

    let mut wrong = json!({ "specversion": "1.0", "type": "user.created" });
    assert!(schemas.validate(&wrong, schema).is_err(), "the schema accepts anything");
    wrong["type"] = json!("user.promoted");
    assert!(schemas.validate(&wrong, schema).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_over_amqp_changes_a_role() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("promoted").await;
    let id = tenant.okta().create(&person("ada@promoted.example", "Ada", "A")).await.is(201).id();
    let broker = stack.broker().await;
    let role_changed = |tenant: &str, user: &Value, role: &str| {
        json!({
            "specversion": "1.0", "type": "role.changed", "source": "/platform", "id": platform::id::new(),
            "tenant": tenant, "data": { "user": { "id": user }, "role": role }
        })
    };
    // The latest one wins, even if an earlier one is redelivered.
    let roles = ["admin", "creator", "manager"].map(|role| role_changed("promoted", &json!(id), role));
    for event in roles.iter().chain(&roles[..2]) {
        broker.event(event).await;
    }
    for event in [
        role_changed("nobody", &json!(id), "admin"),
        role_changed("promoted", &json!(platform::id::new()), "admin"),
        role_changed("promoted", &json!(id), "owner"),
    ] {
        broker.event(&event).await;
    }
    let letters = eventually("invalid events are dead-lettered", SOON, async || {
        let letters = broker.peek(topology::DEAD).await;
        (letters.len() == 3).then_some(letters)
    })
    .await;
    assert_eq!(stack.db().user(&id).await.unwrap()["role"], "manager");
    let asked = stack
        .db()
        .rows("select actor from commands where change = 'user.role' and delivery <> 'expired' order by id")
        .await;
    assert!(asked.len() >= 3 && asked.iter().all(|row| row["actor"] == "platform"), "{asked:?}");
    let reasons: Vec<String> = letters.iter().map(|letter| broker::header(letter, dead::REASON)).collect();
    for (reason, word) in reasons.iter().zip(["tenant", "", "data.role"]) {
        assert!(reason.contains(word), "{reason}");
    }
    let listed = stack.rollcall_json(&["dead", "list"]).await;
    assert_eq!(listed[0]["queue"], topology::ROLES, "{listed}");
}
