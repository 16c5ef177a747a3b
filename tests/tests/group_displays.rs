//! The `display` of group members: the client's value, or else the user's name; and empty groups.

use serde_json::{Value, json};
use tests::okta::{PATCH_OP, group, person};
use tests::{Okta, Stack};

/// The displays of the members, ordered by id.
fn displays(body: &Value) -> Vec<&str> {
    let members = body["members"].as_array().unwrap_or_else(|| panic!("no members in {body}"));
    members.iter().map(|member| member["display"].as_str().unwrap_or("-")).collect()
}

fn called(id: &str, display: &str) -> Value {
    json!({ "value": id, "display": display })
}

/// A client and two users: Ada Lovelace, and one without a displayName.
async fn two_people(stack: &Stack, tenant: &str) -> (Okta, [String; 2]) {
    let okta = stack.tenant(tenant).await.okta();
    let ada = okta.create(&person(&format!("ada@{tenant}.example"), "Ada", "Lovelace")).await.is(201).id();
    let mut nameless = person(&format!("bob@{tenant}.example"), "Bob", "Bobson");
    nameless.as_object_mut().unwrap().remove("displayName");
    let bob = okta.create(&nameless).await.is(201).id();
    (okta, [ada, bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn members_have_their_own_names_or_the_displays_that_clients_set() {
    let stack = Stack::shared().await;
    let (okta, [ada, bob]) = two_people(&stack, "called").await;
    let mut body = group("Called", &[]);
    body["members"] = json!([{ "value": ada, "type": "User" }, { "value": bob }]);
    let made = okta.with_body("POST", "/Groups", &body).await.is(201);
    let (id, version) = (made.id(), made.header("etag").to_owned());
    let own = ["Ada Lovelace", "bob@called.example"];
    assert_eq!(displays(&made.body), own);
    assert_eq!(displays(&okta.group(&id).await.is(200).body), own);
    assert_eq!(displays(&okta.get("/Groups").await.is(200).resources()[0]), own);
    let search =
        okta.with_body("POST", "/Groups/.search", &json!({ "filter": "displayName eq \"called\"" })).await;
    assert_eq!(displays(&search.is(200).resources()[0]), own);

    // A client sets displays in every way; that does not change the group's version.
    let path = format!("/Groups/{id}");
    body["members"] = json!([called(&ada, "The Countess"), called(&bob, "Bobby")]);
    let put = okta.with_body("PUT", &path, &body).await.is(200);
    assert_eq!((displays(&put.body), put.header("etag")), (vec!["The Countess", "Bobby"], &*version));
    let one = format!("members[value eq \"{ada}\"]");
    for (operation, expected) in [
        (
            json!({ "op": "add", "path": "members", "value": [called(&ada, "Lady Ada")] }),
            ["Lady Ada", "Bobby"],
        ),
        (json!({ "op": "add", "path": "members", "value": [{ "value": ada }] }), ["Lady Ada", "Bobby"]),
        (json!({ "op": "replace", "path": format!("{one}.display"), "value": "A" }), ["A", "Bobby"]),
        (json!({ "op": "remove", "path": format!("{one}.display") }), ["Ada Lovelace", "Bobby"]),
        (
            json!({ "op": "replace", "value": { "members": [called(&ada, "AL"), { "value": bob }] } }),
            ["AL", "bob@called.example"],
        ),
    ] {
        let patched = okta.patch_group(&id, json!([operation])).await.is(200);
        assert_eq!(
            (displays(&patched.body), patched.header("etag")),
            (expected.to_vec(), &*version),
            "{operation}"
        );
    }
    let found = async |display: &str| {
        okta.filter_groups(&format!("members.display eq \"{display}\"")).await.is(200).total()
    };
    for (display, expected) in [("al", 1), ("AL", 1), ("Ada Lovelace", 0), ("BOB@called.example", 1)] {
        assert_eq!(found(display).await, expected, "{display}");
    }
    // A display that the server computed and the client sends back is not stored: it follows the user's name.
    let shown = okta.group(&id).await.is(200).body;
    okta.with_body("PUT", &path, &shown).await.is(200);
    okta.update(&bob, &json!({ "displayName": "Robert" })).await.is(200);
    okta.update(&ada, &json!({ "displayName": "Augusta" })).await.is(200);
    assert_eq!(displays(&okta.group(&id).await.is(200).body), ["AL", "Robert"]);

    let patch = json!([{ "op": "remove", "path": "members[display eq \"al\"]" }]);
    assert_eq!(displays(&okta.patch_group(&id, patch).await.is(200).body), ["Robert"]);
    let back = json!([{ "op": "add", "path": "members", "value": [ada] }]);
    assert_eq!(displays(&okta.patch_group(&id, back).await.is(200).body), ["Augusta", "Robert"]);
    assert_eq!(
        okta.get(&format!("{path}?attributes=members.display")).await.is(200).body["members"],
        json!([{ "display": "Augusta" }, { "display": "Robert" }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_display_is_limited_to_its_group_tenant_and_length() {
    let stack = Stack::shared().await;
    let (okta, [ada, bob]) = two_people(&stack, "bounds").await;
    let mut body = group("First", &[]);
    body["members"] = json!([called(&ada, "The Countess")]);
    let first = okta.with_body("POST", "/Groups", &body).await.is(201).id();
    body["members"] = json!([ada]);
    let second = okta.with_body("POST", "/Groups", &body).await.is(201);
    assert_eq!(displays(&second.body), ["Ada Lovelace"], "another group shows her name");
    let add = |display: Value| json!([{ "op": "add", "path": "members", "value": [{ "value": bob, "display": display }] }]);
    for (display, status) in [(json!("x".repeat(4_097)), 400), (json!("nul\u{0}"), 400)] {
        let refused = okta.patch_group(&first, add(display)).await.is_error(status);
        assert!(
            refused.detail().contains("display") && !refused.detail().contains("xx"),
            "{}",
            refused.detail()
        );
    }
    assert_eq!(displays(&okta.group(&first).await.is(200).body), ["The Countess"]);
    let long = "ß".repeat(4_096);
    assert_eq!(
        displays(&okta.patch_group(&first, add(json!(long))).await.is(200).body),
        ["The Countess", &long]
    );
    // A value that is not a string is not a display.
    okta.patch_group(&first, json!([{ "op": "remove", "path": format!("members[value eq \"{bob}\"]") }]))
        .await
        .is(200);
    for odd in [json!(7), json!(null), json!({ "a": 1 }), json!("")] {
        assert_eq!(displays(&okta.patch_group(&first, add(odd)).await.is(200).body)[1], "bob@bounds.example");
    }
    let other = stack.tenant("bounds-other").await.okta();
    let body = json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "path": format!("members[value eq \"{ada}\"].display"), "value": "Stolen" }] });
    other.with_body("PATCH", &format!("/Groups/{first}"), &body).await.is_error(404);
    let theirs = other.push_group("Theirs").await.is(201).id();
    other.with_body("PATCH", &format!("/Groups/{theirs}"), &body).await.is(200);
    assert_eq!(other.group(&theirs).await.is(200).body["members"], json!([]));
    assert_eq!(displays(&okta.group(&first).await.is(200).body)[0], "The Countess");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_group_has_empty_members_unless_they_are_excluded() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("nobody-in").await.okta();
    let made = okta.push_group("Empty").await.is(201);
    let path = format!("/Groups/{}", made.id());
    let nobody = json!([]);
    assert_eq!(made.body["members"], nobody);
    for query in ["", "?attributes=members", "?attributes=members.value", "?excludedAttributes=displayName"] {
        assert_eq!(okta.get(&format!("{path}{query}")).await.is(200).body["members"], nobody, "{query}");
        let listed = okta.get(&format!("/Groups{query}")).await.is(200);
        assert_eq!(listed.resources()[0]["members"], nobody, "{query}");
    }
    for query in ["?excludedAttributes=members", "?attributes=displayName"] {
        assert_eq!(okta.get(&format!("{path}{query}")).await.is(200).body.get("members"), None, "{query}");
        let listed = okta.get(&format!("/Groups{query}")).await.is(200);
        assert_eq!(listed.resources()[0].get("members"), None, "{query}");
    }
    let put = okta.with_body("PUT", &path, &group("Still empty", &[])).await.is(200);
    assert_eq!(put.body["members"], nobody);
    let rename = json!([{ "op": "replace", "path": "displayName", "value": "Renamed" }]);
    assert_eq!(okta.patch_group(&made.id(), rename).await.is(200).body["members"], nobody);
    assert_eq!(okta.filter_groups("members pr").await.is(200).total(), 0);
    let schema = okta.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group").await.is(200).body;
    let attribute = |within: &Value, name: &str| {
        within.as_array().unwrap().iter().find(|attribute| attribute["name"] == name).cloned().unwrap()
    };
    let display = attribute(&attribute(&schema["attributes"], "members")["subAttributes"], "display");
    assert_eq!((&display["returned"], &display["mutability"]), (&json!("default"), &json!("readWrite")));
}
