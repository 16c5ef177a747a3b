//! The audit trail: what operators did, and which requests of known keys were refused.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::person;
use tests::rows::rows;
use tests::tenant::Key;
use tests::{Okta, Stack, eventually};

/// Refusals are written after the end of their minute.
const WRITTEN: Duration = Duration::from_secs(90);

async fn actions(stack: &Stack, tenant: &str) -> Vec<Value> {
    let trail = stack.rollcall_json(&["activity", tenant, "--operators"]).await;
    trail.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_commands_are_recorded_with_their_user_and_result() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("audited").await;
    tenant.set(&stack, &["brand_name=Ada Lovelace"]).await;
    tenant.okta().create(&person("ada@audited.example", "Ada", "A")).await.is(201);
    stack.rollcall(&["user", "role", "audited", "ada@audited.example", "creator"]).await.well();
    stack.rollcall(&["user", "show", "audited", "ada@audited.example"]).await.well();
    assert_eq!(stack.rollcall(&["key", "revoke", "audited", "unknown-key0"]).await.code, Some(1));

    let trail = actions(&stack, "audited").await;
    let seen: Vec<(&str, &str, &str)> = trail
        .iter()
        .map(|row| ["action", "target", "state"].map(|name| row[name].as_str().unwrap()).into())
        .collect();
    let both = |action, target, end| [(action, target, "begun"), (action, target, end)];
    let expected = [
        both("tenant add", "", "succeeded"),
        both("key add", "scope=scim,events,reports,activity,roles expires_in=1y network=any", "succeeded"),
        both("tenant set", "changes=brand_name", "succeeded"),
        both("user role", "role=creator user=(by name)", "succeeded"),
        both("key revoke", "key=unknown-key0", "failed"),
    ];
    assert_eq!(seen, expected.concat());
    assert!(trail.iter().all(|row| row["user"].as_str().is_some_and(|user| !user.is_empty())), "{trail:?}");
    assert!(trail.iter().all(|row| row["host"].as_str().is_some_and(|host| !host.is_empty())), "{trail:?}");
    assert_eq!(trail[9]["reason"], "rejected");
    let text = json!(trail).to_string();
    assert!(!text.contains("ada@") && !text.contains("Lovelace"), "personal data: {text}");

    let by_http = rows(&stack, &tenant.key, "/activity?operators=true").await;
    assert_eq!(by_http, trail);
    let lines = stack.rollcall(&["activity", "audited", "--operators", "--format", "jsonl"]).await.well().out;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, trail);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_of_known_keys_are_summed_up() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("refused").await;
    let other = stack.tenant("refused-other").await;
    let reports = Key::add(&stack, "refused", "reports").await;
    let revoked = Key::add(&stack, "refused", "scim").await;
    stack.rollcall(&["key", "revoke", "refused", revoked.prefix()]).await.well();
    let client = |key: &Key| Okta::basic(&stack.origin(), &key.username, &key.api_key);
    for _ in 0..3 {
        client(&reports).get("/Users").await.is(403);
        client(&revoked).get("/Users").await.is(401);
        let mut unfit = person("ada@refused.example", "Ada", "A");
        unfit.as_object_mut().unwrap().remove("userName");
        tenant.okta().create(&unfit).await.is(400);
    }
    client(&Key {
        api_key: "rck_00000000000000000000000000000000000000000000".to_owned(),
        ..reports.clone()
    })
    .get("/Users")
    .await
    .is(401);

    let path = "/activity?refused=true";
    let trail = eventually("all refusals are written", WRITTEN, async || {
        let trail = rows(&stack, &tenant.key, path).await;
        let sum: i64 = trail.iter().map(|row| row["count"].as_i64().unwrap()).sum();
        (sum >= 9).then_some(trail)
    })
    .await;
    let sum_of = |status: u16, key: &Key| {
        let rows = trail.iter().filter(|row| row["status"] == status && row["key"] == key.prefix());
        rows.map(|row| row["count"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(sum_of(403, &reports), 3, "{trail:?}");
    assert_eq!(sum_of(401, &revoked), 3, "{trail:?}");
    assert_eq!(sum_of(400, &tenant.key), 3, "{trail:?}");
    let invalid = trail.iter().find(|row| row["status"] == 400).unwrap();
    assert_eq!(invalid["address"], "127.0.0.1");
    assert_eq!((&invalid["method"], &invalid["route"]), (&json!("POST"), &json!("/scim/v2/Users")));
    assert!(invalid["detail"].as_str().is_some_and(|detail| detail.contains("userName")), "{invalid}");
    assert_eq!(rows(&stack, &other.key, path).await, [] as [Value; 0], "another tenant's trail");
    assert_eq!(stack.rollcall_json(&["activity", "refused", "--refused"]).await, json!(trail));
}
