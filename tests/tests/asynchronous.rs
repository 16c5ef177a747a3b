//! Asynchronous requests (RFC 9967): accepted with 202, processed later, and their outcome fetched.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::{PATCH_OP, person};
use tests::stack::Options;
use tests::{Answer, Okta, Stack, eventually};

const EVENT: &str = "urn:ietf:params:scim:event:misc:asyncresp";

async fn send(okta: &Okta, method: &str, path: &str, prefer: &str, body: &Value) -> Answer {
    let request = okta.request(method, path).header("Prefer", prefer);
    okta.once(request.body(body.to_string())).await
}

/// The path of an accepted request's outcome, below the base URL.
fn promised(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{}", answer.text);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let (txn, location) = (answer.header("set-txn"), answer.header("location"));
    assert!(location.ends_with(&format!("/scim/v2/Async/{txn}")), "{location}");
    format!("/Async/{txn}")
}

/// Waits for the outcome.
async fn outcome(okta: &Okta, path: &str) -> Value {
    eventually("the outcome", Duration::from_secs(20), async || {
        let answer = okta.once(okta.request("GET", path)).await;
        if answer.status == 202 {
            assert!(answer.retry_after() >= 1);
            return None;
        }
        Some(answer.is(200).body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_change_is_made_and_its_outcome_can_be_fetched() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("async-all").await.okta();
    let user = person("later@async.example", "La", "Ter");
    let accepted = send(&okta, "POST", "/Users", "respond-async", &user).await;
    let result = outcome(&okta, &promised(&accepted)).await;
    assert_eq!((&result["schemas"], &result["txn"]), (&json!([EVENT]), &json!(accepted.header("set-txn"))));
    assert_eq!((&result["method"], &result["status"]), (&json!("POST"), &json!("201")));
    let id = result["response"]["id"].as_str().unwrap().to_owned();
    let now = okta.user(&id).await.is(200);
    assert_eq!(result["response"], now.body);
    assert_eq!(
        (&result["location"], &result["version"]),
        (&now.body["meta"]["location"], &now.body["meta"]["version"])
    );

    let patch =
        json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "path": "title", "value": "T" }] });
    let path = format!("/Users/{id}");
    for (method, body, status) in
        [("PATCH", patch, "200"), ("PUT", user.clone(), "200"), ("DELETE", json!(null), "204")]
    {
        let result =
            outcome(&okta, &promised(&send(&okta, method, &path, "Respond-Async", &body).await)).await;
        assert_eq!((&result["method"], &result["status"]), (&json!(method), &json!(status)), "{result}");
        assert_eq!(result["location"], now.body["meta"]["location"]);
    }
    okta.user(&id).await.is_error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_rejected_change_has_the_error() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("async-refused").await.okta();
    let user = person("taken@async.example", "Ta", "Ken");
    okta.create(&user).await.is(201);
    let result =
        outcome(&okta, &promised(&send(&okta, "POST", "/Users", "respond-async", &user).await)).await;
    assert_eq!((&result["status"], &result["response"]["scimType"]), (&json!("409"), &json!("uniqueness")));
    assert!(result.get("location").is_none());
    // What can be rejected at once is.
    send(&okta, "POST", "/Users", "respond-async", &json!({})).await.is_error(400);
    send(&okta, "DELETE", "/Users/1", "respond-async", &json!(null)).await.is_error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_gets_an_ordinary_answer() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("async-wait").await;
    let okta = tenant.okta();
    let user = person("wait@async.example", "Wa", "It");
    let answer = send(&okta, "POST", "/Users", "respond-async, wait=10", &user).await.is(201);
    assert_eq!(okta.user(&answer.id()).await.is(200).body, answer.body);
    let states = format!("select delivery from commands where tenant_id = '{}'", tenant.id);
    eventually("its row is marked as delivered", Duration::from_secs(5), async || {
        (stack.db().one(&states).await["delivery"] == "delivered").then_some(())
    })
    .await;
    // An intentional repetition is a separate request.
    send(&okta, "POST", "/Users", "respond-async; x=1, wait=10", &user).await.is_error_of(409, "uniqueness");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_longer_than_the_client_waits_becomes_asynchronous() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("async-late").await;
    let okta = tenant.okta();
    stack.workers[0].freeze();
    let waited =
        send(&okta, "POST", "/Users", "respond-async, wait=1", &person("w@async.example", "Wa", "It")).await;
    let at_once =
        send(&okta, "POST", "/Users", "respond-async", &person("n@async.example", "No", "Wait")).await;
    let (waited, at_once) = (promised(&waited), promised(&at_once));
    for path in [&waited, &at_once] {
        let queued = okta.once(okta.request("GET", path)).await;
        assert_eq!((queued.status, queued.text.as_str()), (202, ""));
    }
    assert_eq!(stack.db().count("select 1 from commands where delivery = 'queued'").await, 2);
    stack.workers[0].thaw();
    for path in [&waited, &at_once] {
        assert_eq!(outcome(&okta, path).await["status"], "201");
    }
    tests::check::wait_until_idle(&stack).await;
    assert_eq!(stack.db().count("select 1 from users").await, 2, "each took effect once");
    assert_eq!(stack.db().count("select 1 from commands where delivery <> 'delivered'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_accepted_before_a_worker_died_are_processed() {
    let stack = Stack::own().await;
    let okta = stack.tenant("async-killed").await.okta();
    stack.workers[0].kill();
    let mut paths = Vec::new();
    for n in 0..20 {
        let user = person(&format!("k{n}@async.example"), "Ke", "Pt");
        paths.push(promised(&send(&okta, "POST", "/Users", "respond-async", &user).await));
    }
    stack.workers[0].restart().await;
    for path in &paths {
        assert_eq!(outcome(&okta, path).await["status"], "201");
    }
    assert_eq!(stack.db().count("select 1 from users").await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_visible_only_to_its_tenant() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("async-own").await.okta();
    let other = stack.tenant("async-other").await.okta();
    let path = promised(
        &send(&okta, "POST", "/Users", "respond-async", &person("o@async.example", "O", "Wn")).await,
    );
    other.get(&path).await.is_error(404);
    for unknown in ["/Async/0192f7a0-0000-7000-8000-000000000000", "/Async/x"] {
        okta.get(unknown).await.is_error(404);
    }
    outcome(&okta, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_can_be_changed_asynchronously() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("async-group").await.okta();
    let id = okta.create(&person("m@async.example", "Mem", "Ber")).await.is(201).id();
    let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Later",
                       "members": [{ "value": id }] });
    let result =
        outcome(&okta, &promised(&send(&okta, "POST", "/Groups", "respond-async", &body).await)).await;
    assert_eq!((&result["status"], &result["response"]["members"][0]["value"]), (&json!("201"), &json!(id)));
    // The stored outcome stays the same when the group changes.
    let group = result["response"]["id"].as_str().unwrap();
    let rename = json!([{ "op": "replace", "path": "displayName", "value": "Changed since" }]);
    okta.patch_group(group, rename).await.is(200);
    let path = format!("/Async/{}", result["txn"].as_str().unwrap());
    let again = okta.get(&path).await.is(200).body;
    assert_eq!((&again["version"], &again["location"]), (&result["version"], &result["location"]));
    assert_eq!(again.get("response"), None, "the group's representation is not kept");
    let data = &again["events"][EVENT];
    assert_eq!((&data["status"], &data["method"]), (&json!("201"), &json!("POST")));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_the_queue_rejects_are_not_accepted() {
    const ASKED: usize = 12;
    let environment = vec![("ROLLCALL_QUEUE_LIMIT", "3".to_owned())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let okta = stack.tenant("async-full").await.okta();
    stack.workers[0].kill();
    let mut paths = Vec::new();
    for n in 0..ASKED {
        let user = person(&format!("f{n}@async.example"), "Fu", "Ll");
        let answer = send(&okta, "POST", "/Users", "respond-async", &user).await;
        match answer.status {
            429 => drop(answer.is_error(429)),
            _ => paths.push(promised(&answer)),
        }
    }
    assert!(!paths.is_empty() && paths.len() < ASKED, "{} of {ASKED} were accepted", paths.len());
    let queued = stack.db().count("select 1 from commands where delivery = 'queued'").await;
    assert_eq!(usize::try_from(queued).unwrap(), paths.len(), "rejected requests leave no command");
    stack.workers[0].restart().await;
    for path in &paths {
        assert_eq!(outcome(&okta, path).await["status"], "201");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_asynchronous_scim_requests_have_an_outcome() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("async-only").await;
    let okta = tenant.okta();
    let id = okta.create(&person("ada@async.example", "Ada", "A")).await.is(201).id();
    okta.set_active(&id, true).await.is(200);
    let role = json!({
        "specversion": "1.0", "type": "role.changed", "source": "/platform", "id": platform::id::new(),
        "data": { "user": { "id": id }, "role": "manager" }
    });
    tenant.content().tell(&role).await.is(202);
    stack.rollcall(&["user", "role", "async-only", "ada@async.example", "creator"]).await.well();
    // Commands as a pull creates them: supplements and an archival, decided and queued.
    for (change, state) in [
        ("user.supplement", "queued"),
        ("user.supplement", "delivered"),
        ("user.patch", "queued"),
        ("user.patch", "delivered"),
    ] {
        let outcome = if state == "queued" { "null, null" } else { "200, outcome - 'asynchronous'" };
        let like_a_pull = format!(
            "insert into commands (id, tenant_id, change, resource_id, actor, request_id, fingerprint, delivery, status, outcome, \
             issued_at) select '{}', tenant_id, '{change}', resource_id, 'pull', request_id, '{change} {state}', '{state}', \
             {outcome}, issued_at from commands where tenant_id = '{}' and change = 'user.patch' and actor <> 'pull'",
            platform::id::new(),
            tenant.id
        );
        stack.db().execute(&like_a_pull).await;
    }
    // Also a synchronous create whose verdict ingest read from `commands`.
    let create = format!("tenant_id = '{}' and change = 'user.create'", tenant.id);
    stack.db().execute(&format!("update commands set delivery = 'delivered' where {create}")).await;
    let rows = format!("select id, change, actor, delivery from commands where tenant_id = '{}'", tenant.id);
    let rows = stack.db().rows(&rows).await;
    assert_eq!(rows.len(), 8, "{rows:?}");
    for row in rows {
        let answer = okta.get(&format!("/Async/{}", row["id"].as_str().unwrap())).await;
        assert_eq!(answer.status, 404, "{row}: {}", answer.text);
        answer.is_error(404);
    }
}
