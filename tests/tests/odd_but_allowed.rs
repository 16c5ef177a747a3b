//! Unusual requests that the RFCs allow are handled as intended.

use serde_json::{Value, json};
use tests::okta::person;
use tests::{Stack, holds_for};

#[tokio::test(flavor = "multi_thread")]
async fn read_only_attributes_from_clients_are_ignored() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("readonly").await.okta();
    let mut user = person("r@readonly.example", "Re", "Ad");
    let foreign = "0192f7a0-0000-7000-8000-000000000000";
    user["id"] = json!(foreign);
    user["meta"] = json!({ "created": "1999-01-01T00:00:00Z", "version": "W/\"99\"", "location": "http://elsewhere.example" });
    user["groups"] = json!([{ "value": "g", "display": "Admins" }]);
    user["roles"] = json!([{ "value": "admin" }]);
    let created = okta.create(&user).await.is(201);
    let id = created.id();
    assert_ne!(id, foreign);
    assert_ne!(created.body["meta"]["created"], user["meta"]["created"]);
    assert_ne!(created.body["meta"]["location"], user["meta"]["location"]);
    assert_eq!((created.body.get("groups"), created.body.get("roles")), (None, None), "{}", created.text);
    assert_eq!(stack.db().user(&id).await.unwrap()["role"], "learner", "SCIM cannot set roles");
    // Another id in a PUT is ignored too.
    let mut put = created.body.clone();
    put["id"] = json!(foreign);
    put["title"] = json!("Reader");
    assert_eq!(okta.put(&id, &put).await.is(200).id(), id);
    okta.user(foreign).await.is_error(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn attribute_names_are_case_insensitive() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("caseless").await.okta();
    let user = json!({
        "SCHEMAS": ["URN:ietf:params:scim:schemas:core:2.0:USER"],
        "username": "c@caseless.example",
        "NAME": { "GIVENNAME": "Ca", "familyname": "Se" },
        "Emails": [{ "Value": "c@caseless.example", "PRIMARY": "True" }],
        "ACTIVE": "true",
    });
    let created = okta.create(&user).await.is(201);
    assert_eq!(created.body["userName"], "c@caseless.example");
    assert_eq!(created.body["name"], json!({ "givenName": "Ca", "familyName": "Se" }));
    assert_eq!(created.body["emails"][0]["primary"], json!(true));
    let patch = json!([{ "OP": "replace", "PATH": "NAME.givenname", "VALUE": "Co" }]);
    assert_eq!(okta.patch(&created.id(), patch).await.is(200).body["name"]["givenName"], "Co");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_can_be_created_inactive_and_gets_no_mail() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("inactive").await;
    let (okta, content) = (tenant.okta(), tenant.content());
    let mut user = person("i@inactive.example", "In", "Active");
    user["active"] = json!(false);
    let created = okta.create(&user).await.is(201);
    assert_eq!(created.body["active"], json!(false));
    assert!(stack.db().user(&created.id()).await.unwrap()["archived_at"].is_string());
    content.tell(&content.assigned(&created.id(), "Not yet")).await.is(202);
    let silent = async || stack.mailbox().to("i@inactive.example").is_empty();
    assert!(holds_for(std::time::Duration::from_millis(1_500), silent).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_one_address_is_primary() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("primary").await.okta();
    let mut user = person("p@primary.example", "Pri", "Mary");
    user["emails"] = json!([
        { "value": "a@primary.example", "primary": true, "type": "work" },
        { "value": "b@primary.example", "primary": true, "type": "home" },
    ]);
    let emails = okta.create(&user).await.is(201).body["emails"].clone();
    assert_eq!((&emails[0]["primary"], &emails[1]["primary"]), (&json!(true), &json!(false)), "{emails}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_clears_omitted_attributes() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("cleared").await.okta();
    let mut user = person("c@cleared.example", "Cle", "Ared");
    user["title"] = json!("Temporary");
    user["phoneNumbers"] = json!([{ "value": "+1 555 0100", "type": "work" }]);
    let id = okta.create(&user).await.is(201).id();
    for name in ["title", "phoneNumbers", "externalId"] {
        user.as_object_mut().unwrap().remove(name);
    }
    let put = okta.put(&id, &user).await.is(200);
    assert_eq!((put.body.get("title"), put.body.get("phoneNumbers")), (None, None), "{}", put.text);
    assert_eq!(stack.db().user(&id).await.unwrap()["job_title"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_a_resource_is_limited() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("growth").await.okta();
    let id = okta.create(&person("g@growth.example", "Gro", "Wth")).await.is(201).id();
    // Each request is below the body limit; together they exceed the resource limit.
    let mut refused = None;
    for round in 0..12 {
        let many: Vec<_> = (0..3_000)
            .map(|n| json!({ "value": format!("{round}-{n}-{}", "x".repeat(60)), "type": "other" }))
            .collect();
        let answer = okta.patch(&id, json!([{ "op": "add", "path": "phoneNumbers", "value": many }])).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the size is limited");
    assert!((400..500).contains(&refused.status), "{}", refused.text);
    let status = refused.status;
    refused.is_error(status);
    okta.set_active(&id, false).await.is(200);
}
