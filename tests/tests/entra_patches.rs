//! The forms in which Entra ID and others PATCH users: booleans as strings, capitalized operations, dotted and URN
//! keys.

use serde_json::{Value, json};
use tests::okta::person;
use tests::{Okta, Stack};

const URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

async fn somebody(stack: &Stack, tenant: &str) -> (Okta, String) {
    let tenant = stack.tenant(tenant).await;
    // Entra uses only a Bearer token.
    let entra = Okta::bearer(&stack.origin(), &tenant.key.api_key);
    let id = entra.create(&person("m@entra.example", "Margaret", "Hamilton")).await.is(201).id();
    (entra, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn booleans_come_as_strings_and_operations_in_capitals() {
    let stack = Stack::shared().await;
    let (entra, id) = somebody(&stack, "entra-bool").await;
    for (operation, active) in [
        (json!({ "op": "Replace", "path": "active", "value": "False" }), false),
        (json!({ "op": "Replace", "path": "active", "value": "True" }), true),
        (json!({ "op": "Add", "path": "active", "value": false }), false),
        (json!({ "op": "REPLACE", "value": { "active": "true" } }), true),
    ] {
        let answer = entra.patch(&id, json!([operation])).await.is(200);
        assert_eq!(answer.body["active"], json!(active), "a boolean, after {operation}");
        assert_eq!(stack.db().user(&id).await.unwrap()["archived_at"].is_null(), active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_has_the_intended_effect() {
    let stack = Stack::shared().await;
    let (entra, id) = somebody(&stack, "entra-forms").await;
    let urn = |attribute: &str| format!("{URN}:{attribute}");
    let cases: Vec<(Value, &str, Value)> = vec![
        // Add on a single value replaces it.
        (json!({ "op": "Add", "path": "title", "value": "Director" }), "/title", json!("Director")),
        (json!({ "op": "add", "path": "title", "value": "Lead" }), "/title", json!("Lead")),
        // Each key of a value without a path is a path.
        (
            json!({ "op": "replace", "value": { "name.givenName": "Maggie" } }),
            "/name/givenName",
            json!("Maggie"),
        ),
        (
            json!({ "op": "replace", "value": { urn("department"): "Flight" } }),
            "/URN/department",
            json!("Flight"),
        ),
        (json!({ "op": "add", "value": { "title": "Chief" } }), "/title", json!("Chief")),
        // Other members stay.
        (
            json!({ "op": "replace", "path": "name", "value": { "familyName": "H." } }),
            "/name/givenName",
            json!("Maggie"),
        ),
        (
            json!({ "op": "replace", "value": { "name": { "familyName": "Heafield" } } }),
            "/name/givenName",
            json!("Maggie"),
        ),
        // Extensions, in every form of addressing.
        (
            json!({ "op": "Add", "path": urn("costCenter"), "value": "Houston" }),
            "/URN/costCenter",
            json!("Houston"),
        ),
        (
            json!({ "op": "replace", "path": format!("{URN}.division"), "value": "Apollo" }),
            "/URN/division",
            json!("Apollo"),
        ),
        (
            json!({ "op": "add", "path": URN, "value": { "organization": "MIT" } }),
            "/URN/organization",
            json!("MIT"),
        ),
        (
            json!({ "op": "Replace", "path": urn("manager"), "value": "26118915" }),
            "/URN/manager/value",
            json!("26118915"),
        ),
        (
            json!({ "op": "replace", "value": { URN: { "employeeNumber": "7" } } }),
            "/URN/costCenter",
            json!("Houston"),
        ),
        // A missing element is created from the filter's terms.
        (
            json!({ "op": "Replace", "path": "emails[type eq \"home\"].value", "value": "m@home.example" }),
            "/emails/1/value",
            json!("m@home.example"),
        ),
        (
            json!({ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "mh@entra.example" }),
            "/emails/0/value",
            json!("mh@entra.example"),
        ),
        (
            json!({ "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+1 555 0100" }),
            "/phoneNumbers/0/type",
            json!("mobile"),
        ),
        (json!({ "op": "Remove", "path": "title" }), "/title", Value::Null),
        // Removing a missing attribute succeeds too.
        (json!({ "op": "Remove", "path": "title" }), "/title", Value::Null),
        // A read-only id in the value is tolerated.
        (
            json!({ "op": "replace", "value": { "id": id, "displayName": "Margaret H." } }),
            "/displayName",
            json!("Margaret H."),
        ),
    ];
    for (operation, pointer, expected) in cases {
        let answer = entra.patch(&id, json!([operation])).await;
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text);
        let seen = answer.body.pointer(&pointer.replace("URN", URN)).cloned().unwrap_or_default();
        assert_eq!(seen, expected, "{operation} at {pointer}: {}", answer.text);
        assert_eq!(entra.user(&id).await.body, answer.body, "the answer agrees with what is stored");
    }
    let row = stack.db().user(&id).await.unwrap();
    assert_eq!(
        (&row["location"], &row["business_unit"], &row["email"]),
        (&json!("Houston"), &json!("Apollo"), &json!("mh@entra.example"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_primary_address_clears_the_old_one() {
    let stack = Stack::shared().await;
    let (entra, id) = somebody(&stack, "entra-primary").await;
    let second = json!([{ "op": "add", "path": "emails", "value": [{ "type": "home", "value": "h@entra.example", "primary": true }] }]);
    let emails = entra.patch(&id, second).await.is(200).body["emails"].clone();
    let primary: Vec<_> =
        emails.as_array().unwrap().iter().filter(|email| email["primary"] == json!(true)).collect();
    assert_eq!((emails.as_array().unwrap().len(), primary.len()), (2, 1), "{emails}");
    assert_eq!(primary[0]["value"], "h@entra.example");
    assert_eq!(stack.db().user(&id).await.unwrap()["email"], "h@entra.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_fails_in_the_middle_changes_nothing() {
    let stack = Stack::shared().await;
    let (entra, id) = somebody(&stack, "entra-atomic").await;
    let before = entra.user(&id).await.body;
    for (last, scim_type) in [
        (json!({ "op": "remove" }), "noTarget"),
        (json!({ "op": "remove", "path": "userName" }), "mutability"),
        (json!({ "op": "remove", "path": "name.familyName" }), "mutability"),
        (json!({ "op": "replace", "path": "no such path", "value": 1 }), "invalidPath"),
        (json!({ "op": "replace", "path": "emails[type eq", "value": 1 }), "invalidFilter"),
        (json!({ "op": "replace", "path": "active", "value": "perhaps" }), "invalidValue"),
        (json!({ "op": "replace", "path": "title", "value": { "a": 1 } }), "invalidValue"),
        (json!({ "op": "explode", "path": "title" }), "invalidSyntax"),
    ] {
        let first = json!({ "op": "replace", "path": "title", "value": "Half done" });
        let answer = entra.patch(&id, json!([first, last])).await;
        assert_eq!((answer.status, answer.scim_type()), (400, scim_type), "{last}: {}", answer.text);
        assert_eq!(entra.user(&id).await.body, before, "after {last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_tests_its_connection_with_a_random_name() {
    let stack = Stack::shared().await;
    let (entra, id) = somebody(&stack, "entra-find").await;
    assert_eq!(entra.find("c4e3a5f0-random").await.is(200).total(), 0);
    entra.set_active(&id, false).await.is(200);
    assert_eq!(entra.find("M@ENTRA.EXAMPLE").await.is(200).total(), 1, "deactivated users are still found");
}
