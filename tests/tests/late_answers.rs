//! The deadline passes before the worker answers: 429, and the repeated request gets the outcome of the first.

use std::time::Duration;

use serde_json::json;
use tests::okta::{group, person};
use tests::stack::Options;
use tests::{Okta, Stack, Tenant, check, eventually};

async fn hasty_stack() -> (Stack, Tenant, Okta) {
    let environment = vec![("ROLLCALL_DEADLINE", "2".to_owned())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let tenant = stack.tenant("late").await;
    let okta = tenant.okta();
    (stack, tenant, okta)
}

/// Waits until each command has its verdict.
async fn all_decided(stack: &Stack) {
    check::wait_until_idle(stack).await;
    eventually("each command has its verdict", Duration::from_secs(20), async || {
        (stack.db().count("select 1 from commands where delivery = 'expired'").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_create_is_queued_and_its_repetition_gets_the_same_user() {
    let (stack, _tenant, okta) = hasty_stack().await;
    let user = person("late@late.example", "La", "Te");
    let post = || okta.request("POST", "/Users").body(user.to_string());

    stack.workers[0].freeze();
    let late = okta.once(post()).await.is_error(429);
    assert!((1..=60).contains(&late.retry_after()), "{}", late.retry_after());
    assert!(late.detail().to_lowercase().contains("queued"), "{}", late.detail());
    assert_eq!(stack.db().count("select 1 from users").await, 0);
    let expired = stack.db().one("select * from commands").await;
    assert_eq!(expired["delivery"], "expired");

    stack.workers[0].thaw();
    let row = eventually("it is applied anyway", Duration::from_secs(10), async || {
        stack.db().rows("select * from users").await.pop()
    })
    .await;
    let undelivered = stack.db().one("select * from commands").await;
    assert_eq!((&undelivered["delivery"], &undelivered["status"]), (&json!("undelivered"), &json!(201)));

    let again = okta.once(post()).await.is(201);
    assert_eq!(json!(again.id()), row["id"], "the user of the first request");
    assert_eq!(again.header("location"), again.body["meta"]["location"].as_str().unwrap());
    assert_eq!(stack.db().count("select 1 from users").await, 1);
    assert_eq!(
        stack.db().count("select 1 from commands where delivery = 'undelivered'").await,
        0,
        "the outcome is delivered once"
    );
    okta.once(post()).await.is_error_of(409, "uniqueness");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_outcome_is_delivered_only_while_it_still_holds() {
    let (stack, _tenant, okta) = hasty_stack().await;
    let id = okta.create(&person("c@late.example", "Chan", "Ge")).await.is(201).id();
    let patch = |title: &str| {
        let body = json!({ "schemas": [tests::okta::PATCH_OP], "Operations": [{ "op": "replace", "path": "title", "value": title }] });
        okta.request("PATCH", &format!("/Users/{id}")).body(body.to_string())
    };
    stack.workers[0].freeze();
    okta.once(patch("First")).await.is_error(429);
    stack.workers[0].thaw();
    all_decided(&stack).await;
    assert_eq!(okta.user(&id).await.body["title"], "First");
    let version = okta.user(&id).await.header("etag").to_owned();

    // The outcome still holds: it is delivered, and nothing is applied twice.
    assert_eq!(okta.once(patch("First")).await.is(200).header("etag"), version);

    // The outcome no longer holds: the request is a new change.
    stack.workers[0].freeze();
    okta.once(patch("Second")).await.is_error(429);
    stack.workers[0].thaw();
    all_decided(&stack).await;
    okta.once(patch("Third")).await.is(200);
    let again = okta.once(patch("Second")).await.is(200);
    assert_eq!(again.body["title"], "Second");
    assert_eq!(okta.user(&id).await.body["title"], "Second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_answered_429_never_overrides_a_later_acknowledged_one() {
    let (stack, _tenant, okta) = hasty_stack().await;
    let broker = stack.broker().await;
    let id = okta.create(&person("o@late.example", "Or", "Der")).await.is(201).id();

    // A worker that hangs holds an old "active: true" …
    stack.workers[0].freeze();
    let body = json!({ "schemas": [tests::okta::PATCH_OP], "Operations": [{ "op": "replace", "value": { "active": true, "title": "Old" } }] });
    let old = okta.request("PATCH", &format!("/Users/{id}")).body(body.to_string());
    okta.once(old.try_clone().unwrap()).await.is_error(429);
    // … while another worker applies a later change.
    stack.spare_worker.restart().await;
    let later = okta.set_active(&id, false).await.is(200);
    assert_eq!(later.body["active"], json!(false));

    stack.workers[0].thaw();
    all_decided(&stack).await;
    assert_eq!(broker.ready("rollcall.commands").await, 0);
    let user = okta.user(&id).await.is(200);
    assert_eq!(user.body["active"], json!(false), "the old change restored a user who was deactivated later");
    assert_eq!(user.body.get("title"), None);
    // Its client repeats the request: now it is a new change, later than the deactivation.
    assert_eq!(okta.once(old).await.is(200).body["active"], json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_create_is_delivered_once_with_the_current_user_and_not_after_deletion() {
    let (stack, _tenant, okta) = hasty_stack().await;
    let users = ["twice@late.example", "changed@late.example", "gone@late.example"];
    let users = users.map(|name| person(name, "La", "Te"));
    let post = |n: usize| okta.once(okta.request("POST", "/Users").body(users[n].to_string()));
    stack.workers[0].freeze();
    let late = tokio::join!(post(0), post(1), post(2));
    for answer in [late.0, late.1, late.2] {
        answer.is_error(429);
    }
    stack.workers[0].thaw();
    all_decided(&stack).await;

    // Two concurrent repetitions: one gets the outcome, for the other the name is taken.
    let (one, two) = tokio::join!(post(0), post(0));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);

    let id = okta.find("changed@late.example").await.resources()[0]["id"].as_str().unwrap().to_owned();
    okta.patch(&id, json!([{ "op": "replace", "path": "title", "value": "Changed since" }])).await.is(200);
    let now = post(1).await.is(201);
    assert_eq!((now.id(), &now.body["title"]), (id.clone(), &json!("Changed since")));

    let gone = okta.find("gone@late.example").await.resources()[0]["id"].as_str().unwrap().to_owned();
    okta.delete(&gone).await.is(204);
    assert_ne!(post(2).await.is(201).id(), gone, "a new change, because the first user was deleted");
    assert_eq!(stack.db().count("select 1 from users").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_work_while_no_worker_answers() {
    let (stack, _tenant, okta) = hasty_stack().await;
    let id = okta.create(&person("r@late.example", "Re", "Ad")).await.is(201).id();
    stack.ingests[0].whole().await;
    stack.workers[0].freeze();
    okta.once(okta.request("GET", &format!("/Users/{id}"))).await.is(200);
    assert_eq!(okta.find("r@late.example").await.is(200).total(), 1);
    assert!(stack.ingests[0].is_whole().await);
    stack.workers[0].thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_post_gets_a_late_group_and_another_post_makes_a_second_group() {
    let (stack, _tenant, okta) = hasty_stack().await;
    let readers = group("Readers", &[]);
    let post = || okta.once(okta.request("POST", "/Groups").body(readers.to_string()));
    stack.workers[0].freeze();
    post().await.is_error(429);
    stack.workers[0].thaw();
    all_decided(&stack).await;
    let first = stack.db().one("select id from groups").await;

    assert_eq!(json!(post().await.is(201).id()), first["id"], "the group of the first request");
    assert_ne!(json!(post().await.is(201).id()), first["id"], "two groups may have one name");
    assert_eq!(stack.db().count("select 1 from groups").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_a_killed_ingest_did_not_deliver_is_delivered_by_another() {
    let stack = Stack::start(Options { ingests: 2, ..Options::default() }).await;
    let tenant = stack.tenant("died").await;
    let [dying, other] = [0, 1].map(|n| tenant.okta_at(&stack.origin_of(n)));
    let bodies = [("/Users", person("d@died.example", "Di", "Ed")), ("/Groups", group("Readers", &[]))];
    let post = |okta: &Okta, n: usize| okta.request("POST", bodies[n].0).body(bodies[n].1.to_string());

    stack.workers[0].kill();
    let asked = [0, 1].map(|n| tokio::spawn(post(&dying, n).send()));
    let broker = stack.broker().await;
    eventually("both are queued", Duration::from_secs(10), async || {
        (broker.ready("rollcall.commands").await == 2).then_some(())
    })
    .await;
    stack.ingests[0].kill();
    for asked in asked {
        asked.await.unwrap().unwrap_err();
    }
    stack.workers[0].start();
    // After a second the outcome counts as undelivered.
    let made = eventually("both are made", Duration::from_secs(20), async || {
        let made = "select resource_id from commands where delivery = 'replied' and status = 201 \
            and decided_at < now() - interval '1 second' order by change desc";
        let made = stack.db().rows(made).await;
        (made.len() == 2).then_some(made)
    })
    .await;

    for n in [0, 1] {
        let again = other.once(post(&other, n)).await.is(201);
        assert_eq!(json!(again.id()), made[n]["resource_id"], "the resource of the first request");
    }
    eventually("there are receipts for the retries", Duration::from_secs(10), async || {
        let receipts = "select 1 from receipts join commands on command = id where status = 201";
        (stack.db().count(receipts).await == 2).then_some(())
    })
    .await;
    other.once(post(&other, 0)).await.is_error_of(409, "uniqueness");
    assert_ne!(json!(other.once(post(&other, 1)).await.is(201).id()), made[1]["resource_id"]);
}
