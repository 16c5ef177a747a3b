//! `POST /Bulk` (RFC 7644 §3.7): independent operations with references between them.

use serde_json::{Value, json};
use tests::okta::{PATCH_OP, person};
use tests::stack::Options;
use tests::{Answer, Okta, Stack};

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

async fn bulk(okta: &Okta, operations: Value) -> Answer {
    okta.with_body("POST", "/Bulk", &json!({ "schemas": [BULK], "Operations": operations })).await
}

/// The statuses of the operations, in the order of the answer.
fn statuses(answer: &Answer) -> Vec<&str> {
    answer.body["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["status"].as_str().unwrap())
        .collect()
}

fn post(bulk_id: &str, user_name: &str) -> Value {
    json!({ "method": "POST", "path": "/Users", "bulkId": bulk_id, "data": person(user_name, "Bul", "Ky") })
}

fn post_group(bulk_id: &str, name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    let data = json!({ "schemas": [GROUP], "displayName": name, "members": members });
    json!({ "method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data })
}

fn id_of(result: &Value) -> String {
    result["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_performed_and_answered_separately() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("bulk-all").await.okta();
    let made = bulk(&okta, json!([post("a", "a@bulk.example"), post("b", "b@bulk.example")])).await.is(200);
    assert_eq!(made.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
    assert_eq!(statuses(&made), ["201", "201"]);
    let result = &made.body["Operations"][0];
    assert_eq!(
        (&result["method"], &result["bulkId"], result.get("response")),
        (&json!("POST"), &json!("a"), None)
    );
    let (a, b) = (id_of(result), id_of(&made.body["Operations"][1]));
    let user = okta.user(&a).await.is(200);
    assert_eq!(result["location"], user.body["meta"]["location"]);
    assert_eq!(result["version"], user.body["meta"]["version"]);

    let patch =
        json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "path": "title", "value": "T" }] });
    let changed = bulk(&okta, json!([
        { "method": "PATCH", "path": format!("/Users/{a}"), "version": result["version"], "data": patch },
        { "method": "patch", "path": format!("/scim/v2/Users/{a}"), "version": result["version"], "data": patch },
        { "method": "PUT", "path": format!("/Users/{b}"), "data": person("b2@bulk.example", "Bee", "Two") },
        { "method": "DELETE", "path": format!("/Users/{b}") },
        { "method": "DELETE", "path": format!("/Users/{b}") },
        post("c", "a@bulk.example"),
    ]))
    .await
    .is(200);
    assert_eq!(statuses(&changed), ["200", "412", "200", "204", "404", "409"]);
    let results = changed.body["Operations"].as_array().unwrap();
    assert!(
        results[..5].iter().all(|result| result["location"].is_string())
            && results[5].get("location").is_none()
    );
    for refused in [&results[1], &results[4], &results[5]] {
        assert_eq!(refused["response"]["status"], refused["status"]);
        assert_eq!(refused["response"]["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    }
    assert_eq!(results[5]["response"]["scimType"], "uniqueness");
    assert_eq!(okta.user(&a).await.is(200).body["title"], "T");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_id_refers_to_the_resource_of_another_operation() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("bulk-refs").await.okta();
    let manager = json!({ "manager": { "value": "bulkId:boss" } });
    let mut user = person("clerk@bulk.example", "Cle", "Rk");
    user["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] = manager;
    let answer = bulk(&okta, json!([
        post_group("g", "Forward", &["bulkId:boss", "bulkId:clerk"]),
        { "method": "POST", "path": "/Users", "bulkId": "clerk", "data": user },
        post("boss", "boss@bulk.example"),
        { "method": "PATCH", "path": "/Groups/bulkId:g", "data": {
            "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "path": "displayName", "value": "Renamed" }] } },
    ]))
    .await
    .is(200);
    assert_eq!(statuses(&answer), ["201", "201", "201", "200"], "{}", answer.text);
    let results = answer.body["Operations"].as_array().unwrap();
    let [group, clerk, boss] = [0, 1, 2].map(|n| id_of(&results[n]));
    let group = okta.get(&format!("/Groups/{group}")).await.is(200).body;
    assert_eq!((&group["displayName"], group["members"].as_array().unwrap().len()), (&json!("Renamed"), 2));
    let clerk = okta.user(&clerk).await.is(200).body;
    assert_eq!(
        clerk["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]["manager"]["value"],
        json!(boss)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dangling_references_are_conflicts_and_cycles_are_resolved() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("bulk-broken").await.okta();
    okta.create(&person("taken@bulk.example", "Ta", "Ken")).await.is(201);
    let boss_of = |name: &str, bulk_id: &str, boss: &str| {
        let mut user = person(name, "Cir", "Cle");
        user["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] =
            json!({ "manager": { "value": format!("bulkId:{boss}") } });
        json!({ "method": "POST", "path": "/Users", "bulkId": bulk_id, "data": user })
    };
    let answer = bulk(
        &okta,
        json!([
            post_group("g1", "Unknown", &["bulkId:nobody"]),
            post_group("g2", "Failed", &["bulkId:taken"]),
            post("taken", "taken@bulk.example"),
            boss_of("x@bulk.example", "x", "y"),
            boss_of("y@bulk.example", "y", "x"),
            post("x", "again@bulk.example"),
            { "method": "DELETE", "path": "/Users/bulkId:nobody" },
        ]),
    )
    .await
    .is(200);
    assert_eq!(statuses(&answer), ["409", "409", "409", "201", "201", "400", "409"], "{}", answer.text);
    let results = answer.body["Operations"].as_array().unwrap();
    let (x, y) = (id_of(&results[3]), id_of(&results[4]));
    let boss = async |id: &str| {
        let user = okta.user(id).await.is(200).body;
        user["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]["manager"]["value"].clone()
    };
    assert_eq!((boss(&x).await, boss(&y).await), (json!(y), json!(x)));
    assert_eq!(okta.get("/Groups").await.is(200).total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_to_a_post_that_restores_a_user_gets_the_users_id() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("bulk-restore").await.okta();
    let id = okta.create(&person("back@bulk.example", "Bul", "Ky")).await.is(201).id();
    okta.set_active(&id, false).await.is(200);
    let answer =
        bulk(&okta, json!([post_group("g", "Back", &["bulkId:u"]), post("u", "back@bulk.example")])).await;
    assert_eq!(statuses(&answer), ["201", "201"], "{}", answer.text);
    let results = answer.body["Operations"].as_array().unwrap();
    assert_eq!(id_of(&results[1]), id);
    let group = okta.get(&format!("/Groups/{}", id_of(&results[0]))).await.is(200).body;
    assert_eq!(group["members"][0]["value"], json!(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn processing_stops_after_fail_on_errors() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("bulk-errors").await.okta();
    let operations = json!([
        post("a", "a@bulk.example"),
        { "method": "DELETE", "path": "/Users/1" },
        post("b", "b@bulk.example"),
        { "method": "GET", "path": "/Users/1" },
        post("c", "c@bulk.example"),
    ]);
    let body = |most: Value| json!({ "schemas": [BULK], "failOnErrors": most, "Operations": operations });
    let answer = okta.with_body("POST", "/Bulk", &body(json!(2))).await.is(200);
    assert_eq!(statuses(&answer), ["201", "404", "201", "400"]);
    assert_eq!(okta.get("/Users").await.is(200).total(), 2);

    // Some clients send 0 or null for "no limit".
    for none in [json!(0), json!("0"), json!(null)] {
        let answer = okta.with_body("POST", "/Bulk", &body(none)).await.is(200);
        assert_eq!(statuses(&answer).len(), 5, "{}", answer.text);
    }
    okta.with_body("POST", "/Bulk", &body(json!(-1))).await.is_error_of(400, "invalidValue");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_operations_are_rejected_one_by_one_and_invalid_requests_as_a_whole() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("bulk-bad").await.okta();
    let mut nameless = post("n", "n@bulk.example");
    nameless["data"].as_object_mut().unwrap().remove("userName");
    let answer = bulk(
        &okta,
        json!([
            nameless,
            { "method": "POST", "path": "/Users", "data": person("x@bulk.example", "X", "Y") },
            { "method": "POST", "path": "/Nothing", "bulkId": "q", "data": {} },
            { "method": "PUT", "path": "/Users/1" },
            { "method": "POST", "path": "/Users", "bulkId": "w", "data": [] },
        ]),
    )
    .await
    .is(200);
    assert_eq!(statuses(&answer), ["400", "400", "404", "400", "400"], "{}", answer.text);
    for body in
        [json!({}), json!({ "schemas": [BULK] }), json!({ "schemas": [GROUP], "Operations": [] }), json!([])]
    {
        okta.with_body("POST", "/Bulk", &body).await.is_error(400);
    }
    let config = okta.get("/ServiceProviderConfig").await.is(200).body["bulk"].clone();
    assert_eq!(config["supported"], json!(true));
    let most = config["maxOperations"].as_u64().unwrap();
    let many: Vec<Value> = (0..=most).map(|_| json!({ "method": "DELETE", "path": "/Users/1" })).collect();
    let refused = bulk(&okta, json!(many)).await.is_error(413);
    assert!(refused.detail().contains(&most.to_string()), "{}", refused.detail());
    let size = config["maxPayloadSize"].as_u64().unwrap();
    let padding = " ".repeat(usize::try_from(size).unwrap() + 1);
    let refused = okta.send(okta.request("POST", "/Bulk").body(padding)).await.is_error(413);
    assert!(refused.detail().contains(&size.to_string()), "{}", refused.detail());
    assert_eq!(okta.get("/Users").await.is(200).total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_undelivered_outcomes() {
    let environment = vec![("ROLLCALL_DEADLINE", "2".to_owned())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let okta = stack.tenant("bulk-late").await.okta();
    let operations = json!([post("a", "a@bulk.example"), post_group("g", "Late", &["bulkId:a"])]);
    stack.workers[0].freeze();
    let late = bulk(&okta, operations.clone()).await.is(200);
    assert_eq!(statuses(&late), ["429", "409"], "{}", late.text);
    stack.workers[0].thaw();
    tests::check::wait_until_idle(&stack).await;
    let again = bulk(&okta, operations).await.is(200);
    assert_eq!(statuses(&again), ["201", "201"], "{}", again.text);
    assert_eq!(stack.db().count("select 1 from users").await, 1);
}
