//! Repeated requests: within an hour they may get the outcome of the first, if it still holds; later they are new
//! changes. No user is reported as created and stays archived.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::{PATCH_OP, group, person};
use tests::stack::Options;
use tests::{Answer, Okta, Stack, check, eventually};

const SOON: Duration = Duration::from_secs(20);

async fn hasty_stack() -> Stack {
    let environment = vec![("ROLLCALL_DEADLINE", "2".to_owned())];
    Stack::start(Options { environment, ..Options::default() }).await
}

async fn post(okta: &Okta, path: &str, body: &Value) -> Answer {
    okta.once(okta.request("POST", path).body(body.to_string())).await
}

/// Sends a POST that is answered 429 and applied afterwards, so that its outcome is undelivered.
async fn post_unheard(stack: &Stack, okta: &Okta, path: &str, body: &Value) {
    stack.workers[0].freeze();
    post(okta, path, body).await.is_error(429);
    stack.workers[0].thaw();
    check::wait_until_idle(stack).await;
    eventually("it is applied, undelivered", SOON, async || {
        (stack.db().count("select 1 from commands where delivery = 'undelivered'").await == 1).then_some(())
    })
    .await;
}

/// Makes all requests so far this much older.
async fn pass(stack: &Stack, time: &str) {
    let earlier = format!(
        "update commands set issued_at = issued_at - interval '{time}', decided_at = decided_at - interval '{time}'"
    );
    stack.db().execute(&earlier).await;
}

async fn only_user(stack: &Stack) -> (String, bool) {
    let row = stack.db().one("select id, archived_at is null as active from users").await;
    (row["id"].as_str().unwrap().to_owned(), row["active"] == true)
}

/// Asserts that the request restored this user without creating another, and that repeating it is a conflict.
async fn restores(stack: &Stack, okta: &Okta, body: &Value, id: &str) {
    let again = post(okta, "/Users", body).await.is(201);
    assert_eq!((again.id().as_str(), &again.body["active"]), (id, &json!(true)), "{}", again.text);
    assert_eq!(okta.user(id).await.is(200).body["active"], json!(true));
    assert_eq!(only_user(stack).await, (id.to_owned(), true));
    post(okta, "/Users", body).await.is_error_of(409, "uniqueness");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undelivered_post_restores_a_user_who_was_deactivated_since() {
    for time in ["0 seconds", "30 minutes", "2 hours", "3 weeks"] {
        let stack = hasty_stack().await;
        let okta = stack.tenant("returned").await.okta();
        let user = person("back@returned.example", "Re", "Turned");
        post_unheard(&stack, &okta, "/Users", &user).await;
        let (id, _) = only_user(&stack).await;
        okta.set_active(&id, false).await.is(200);
        pass(&stack, time).await;
        restores(&stack, &okta, &user, &id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_post_restores_a_deactivated_user_even_if_its_receipt_was_lost() {
    let stack = Stack::own().await;
    let okta = stack.tenant("marked").await.okta();
    let user = person("back@marked.example", "Re", "Turned");
    let id = post(&okta, "/Users", &user).await.is(201).id();
    let receipts = format!("receipts join commands on command = id where resource_id = '{id}'");
    eventually("there is a receipt", SOON, async || {
        (stack.db().count(&format!("select 1 from {receipts}")).await == 1).then_some(())
    })
    .await;
    stack.db().execute("delete from receipts").await;
    okta.set_active(&id, false).await.is(200);
    pass(&stack, "2 seconds").await;
    restores(&stack, &okta, &user, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_hour_the_same_request_is_a_new_change() {
    for (time, user_again, groups) in [("50 minutes", 201, 1), ("70 minutes", 409, 2)] {
        let stack = hasty_stack().await;
        let okta = stack.tenant("later").await.okta();
        let (user, readers) = (person("l@later.example", "La", "Ter"), group("Readers", &[]));
        post_unheard(&stack, &okta, "/Users", &user).await;
        pass(&stack, time).await;
        assert_eq!(post(&okta, "/Users", &user).await.status, user_again, "after {time}");
        stack.db().execute("delete from commands").await;

        post_unheard(&stack, &okta, "/Groups", &readers).await;
        pass(&stack, time).await;
        post(&okta, "/Groups", &readers).await.is(201);
        assert_eq!(stack.db().count("select 1 from groups").await, groups, "after {time}");
        stack.db().execute("delete from commands").await;

        // The stored outcome would be delivered; as a new change it fails the precondition.
        let (id, _) = only_user(&stack).await;
        let version = okta.user(&id).await.header("etag").to_owned();
        let patch = json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "path": "title", "value": "T" }] });
        let patch = || {
            let request = okta.request("PATCH", &format!("/Users/{id}")).header("If-Match", &version);
            okta.once(request.body(patch.to_string()))
        };
        stack.workers[0].freeze();
        patch().await.is_error(429);
        stack.workers[0].thaw();
        check::wait_until_idle(&stack).await;
        eventually("it is applied, undelivered", SOON, async || {
            (stack.db().count("select 1 from commands where delivery = 'undelivered'").await == 1)
                .then_some(())
        })
        .await;
        pass(&stack, time).await;
        assert_eq!(patch().await.status, if user_again == 201 { 200 } else { 412 }, "after {time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undelivered_post_of_an_inactive_user_gets_its_outcome() {
    for (activates, status) in [(false, 201), (true, 409)] {
        let stack = hasty_stack().await;
        let okta = stack.tenant("inactive").await.okta();
        let mut user = person("i@inactive.example", "In", "Active");
        user["active"] = json!(false);
        post_unheard(&stack, &okta, "/Users", &user).await;
        let (id, _) = only_user(&stack).await;
        if activates {
            okta.set_active(&id, true).await.is(200);
        }
        let again = post(&okta, "/Users", &user).await;
        assert_eq!(again.status, status, "{}", again.text);
        assert_eq!(only_user(&stack).await, (id, activates));
    }
}
