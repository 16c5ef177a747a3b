//! What a tenant may have in the queues: events, parked events and asynchronous changes are bounded, and the error names
//! the limit. Others are not affected.

use std::time::Duration;

use amqp::{dead, topology};
use serde_json::{Value, json};
use tests::content::BATCH;
use tests::okta::{PATCH_OP, person};
use tests::stack::Options;
use tests::{Answer, Okta, Stack, broker, eventually};

const SOON: Duration = Duration::from_secs(20);

async fn send(okta: &Okta, method: &str, path: &str, body: &Value) -> Answer {
    let request = okta.request(method, path).header("Prefer", "respond-async");
    okta.once(request.body(body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_about_users_that_cannot_exist_are_refused_at_the_door() {
    let stack = Stack::own().await;
    let (content, broker) = (stack.tenant("nobody").await.content(), stack.broker().await);
    let ids = ["7", "0192aaaa-0000-4000-8000-000000000001", "ffffffff-ffff-7fff-bfff-ffffffffffff"];
    for id in ids {
        let event = content.assigned(id, "X");
        let refused = content.tell(&event).await.is_error(400);
        assert!(refused.detail().starts_with("data.user.id "), "{}", refused.detail());
        let batch = json!([content.assigned(&platform::id::new().to_string(), "Y"), event]);
        let refused = content.post(BATCH, batch.to_string()).await.is_error(400);
        assert!(refused.detail().starts_with("events[1].data.user.id "), "{}", refused.detail());
        broker.event(&event).await;
    }
    let letters = eventually("they are dead letters", SOON, async || {
        let letters = broker.peek(topology::DEAD).await;
        (letters.len() == ids.len()).then_some(letters)
    })
    .await;
    for letter in &letters {
        let reason = broker::header(letter, dead::REASON);
        assert!(reason.contains("data.user.id"), "{reason}");
    }
    assert_eq!(stack.db().count("select 1 from parked_events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_beyond_a_tenants_rate_are_a_429_that_names_the_limit() {
    let stack = Stack::start(Options::default()).await;
    let (busy, other) = (stack.tenant("busy").await, stack.tenant("other").await);
    busy.set(&stack, &["events_per_second=1"]).await;
    let id = busy.okta().create(&person("ada@busy.example", "Ada", "A")).await.is(201).id();
    let (content, others) = (busy.content(), other.content());
    let batch = |count: usize| {
        let event = content.assigned(&id, "X");
        json!(vec![content.completed(&event); count]).to_string()
    };
    let refused = eventually("the limit is in force", SOON, async || {
        let answer = content.post(BATCH, batch(1_000)).await;
        (answer.status == 429).then_some(answer)
    })
    .await
    .is_error(429);
    assert!(refused.detail().contains("limit events_per_second = 1 reached"), "{}", refused.detail());
    assert!(refused.retry_after() >= 1);
    others.tell(&others.assigned(&platform::id::new().to_string(), "X")).await.is(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_events_wait_for_a_notifier_in_a_bounded_number() {
    let stack = Stack::own().await;
    let (busy, other) = (stack.tenant("backlog").await, stack.tenant("other").await);
    busy.set(&stack, &["events_queued_max=1000", "events_per_second=100000"]).await;
    let id = busy.okta().create(&person("ada@backlog.example", "Ada", "A")).await.is(201).id();
    let (content, others) = (busy.content(), other.content());
    let batch = || {
        let event = content.assigned(&id, "X");
        json!((0..600).map(|_| content.completed(&event)).collect::<Vec<_>>()).to_string()
    };
    stack.notifier.freeze();
    content.post(BATCH, batch()).await.is(202);
    let refused = content.post(BATCH, batch()).await.is_error(429);
    assert!(refused.detail().contains("limit events_queued_max = 1000 reached"), "{}", refused.detail());
    others.tell(&others.assigned(&platform::id::new().to_string(), "X")).await.is(202);
    stack.notifier.thaw();
    eventually("there is room again", SOON, async || {
        (content.post(BATCH, batch()).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_bounded_and_the_oldest_become_dead_letters() {
    let stack = Stack::own().await;
    let (tenant, broker) = (stack.tenant("parked").await, stack.broker().await);
    tenant.set(&stack, &["parked_events_max=3"]).await;
    let content = tenant.content();
    let unknown = || content.assigned(&platform::id::new().to_string(), "X");
    // Over AMQP, which ingest does not bound.
    let events: Vec<Value> = (0..5).map(|_| unknown()).collect();
    for event in &events {
        broker.event(event).await;
    }
    let letters = eventually("two become dead letters", SOON, async || {
        let letters = broker.peek(topology::DEAD).await;
        (letters.len() >= 2).then_some(letters)
    })
    .await;
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        let reason = broker::header(letter, dead::REASON);
        assert!(reason.contains("limit parked_events_max = 3 reached"), "{reason}");
    }
    assert_eq!(stack.db().count("select 1 from parked_events").await, 3);

    let refused = eventually("more are refused", SOON, async || {
        let answer = content.tell(&unknown()).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert!(refused.detail().contains("limit parked_events_max = 3 reached"), "{}", refused.detail());
    // Events about users who exist are accepted.
    let id = tenant.okta().create(&person("ada@parked.example", "Ada", "A")).await.is(201).id();
    content.tell(&content.assigned(&id, "X")).await.is(202);
    stack.mailbox().first_to("ada@parked.example").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_asynchronous_changes_are_bounded_in_number_and_size() {
    let stack = Stack::start(Options::default()).await;
    let (many, large, other) =
        (stack.tenant("many").await, stack.tenant("large").await, stack.tenant("other").await);
    many.set(&stack, &["async_requests_max=3"]).await;
    large.set(&stack, &["async_kib_max=1024"]).await;
    let mut user = person("ada@large.example", "Ada", "A");
    user["title"] = json!("x".repeat(1_000));
    let id = large.okta().create(&user).await.is(201).id();
    stack.workers[0].freeze();
    let small = |n: usize| person(&format!("{n}@many.example"), "Ada", "A");
    for n in 0..3 {
        send(&many.okta(), "POST", "/Users", &small(n)).await.is(202);
    }
    let refused = send(&many.okta(), "POST", "/Users", &small(3)).await.is_error(429);
    assert!(refused.detail().contains("limit async_requests_max = 3 reached"), "{}", refused.detail());
    assert!(refused.retry_after() >= 1);

    let certificates =
        (0..6).map(|n: u8| json!({ "value": char::from(b'A' + n).to_string().repeat(64 << 10) }));
    user["x509Certificates"] = certificates.collect();
    let path = format!("/Users/{id}");
    let answers = [
        send(&large.okta(), "PUT", &path, &user).await.status,
        send(&large.okta(), "PUT", &path, &user).await.status,
        send(&large.okta(), "PUT", &path, &user).await.status,
    ];
    assert_eq!(answers, [202, 202, 429]);
    send(&other.okta(), "POST", "/Users", &person("ada@other.example", "Ada", "A")).await.is(202);
    stack.workers[0].thaw();
    eventually("there is room again", SOON, async || {
        (send(&many.okta(), "POST", "/Users", &small(3)).await.status == 202).then_some(())
    })
    .await;
    eventually("all are applied", SOON, async || {
        (stack.db().count("select 1 from users where user_name like '%@many.example'").await == 4)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_beyond_a_tenants_limit_are_refused_but_leavers_and_returning_users_are_not() {
    let stack = Stack::start(Options::default()).await;
    let tenant = stack.tenant("small").await;
    tenant.set(&stack, &["users_max=2"]).await;
    let okta = tenant.okta();
    let user = |n: usize| person(&format!("{n}@small.example"), "Ada", "A");
    let first = okta.create(&user(0)).await.is(201).id();
    okta.create(&user(1)).await.is(201);
    let refused = okta.with_body("POST", "/Users", &user(2)).await.is_error(403);
    assert!(refused.detail().contains("limit users_max = 2 reached"), "{}", refused.detail());
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "POST", "path": "/Users", "bulkId": "a", "data": user(3) }],
    });
    let answer = okta.with_body("POST", "/Bulk", &bulk).await.is(200);
    assert_eq!(answer.body["Operations"][0]["status"], "403", "{}", answer.body);
    okta.set_active(&first, false).await.is(200);
    okta.create(&user(0)).await.is(201);
    let rename = json!({
        "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "path": "title", "value": "T" }]
    });
    okta.with_body("PATCH", &format!("/Users/{first}"), &rename).await.is(200);
    tenant.set(&stack, &["users_max=3"]).await;
    eventually("there is room again", SOON, async || {
        (okta.with_body("POST", "/Users", &user(2)).await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_is_shown_with_its_default_and_can_be_set_within_bounds() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("bounded").await;
    tenant.set(&stack, &["keys_max=1", "mails_per_minute=0"]).await;
    let shown = stack.rollcall_json(&["tenant", "show", "bounded"]).await;
    let limit = |name: &str| {
        let all = shown["limits"].as_array().unwrap();
        all.iter().find(|limit| limit["name"] == name).unwrap_or_else(|| panic!("{name}: {shown}")).clone()
    };
    for (name, value, is_set) in
        [("keys_max", 1, true), ("mails_per_minute", 0, true), ("users_max", 1_000_000, false)]
    {
        let limit = limit(name);
        assert_eq!((&limit["value"], &limit["is_set"]), (&json!(value), &json!(is_set)), "{limit}");
        assert!(limit["default"].as_u64().unwrap() > 0, "{limit}");
    }
    let printed = stack.rollcall(&["tenant", "show", "bounded"]).await.well();
    let line = printed.out.lines().find(|line| line.starts_with("keys_max")).unwrap();
    assert!(line.contains("set (default 100)"), "{line}");
    for wrong in ["users_max=0", "keys_max=4294967295", "pull_pages_max=many"] {
        let said = stack.rollcall(&["tenant", "set", "bounded", wrong]).await;
        let (name, _) = wrong.split_once('=').unwrap();
        assert!(said.code == Some(2) && said.err.contains(name), "{wrong}: {}", said.err);
    }
    let refused = stack.rollcall(&["key", "add", "bounded", "--scope", "scim"]).await;
    assert!(refused.code == Some(1) && refused.err.contains("limit keys_max = 1 reached"), "{}", refused.err);
}
