//! Extension schemas that a tenant registers (RFC 7643 §3.3): written, shown, filtered and listed by that tenant only.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::{encode, person};
use tests::stack::Said;
use tests::{Answer, Okta, Stack, eventually};

const BADGE: &str = "urn:example:params:scim:schemas:extension:badge:2.0:User";
const UNKNOWN: &str = "urn:example:params:scim:schemas:extension:nobody:2.0:User";

/// A definition as an operator might write it.
fn badge() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": BADGE,
        "name": "Badge",
        "description": "What is printed on the badge",
        "attributes": [
            { "name": "number", "type": "integer" },
            { "name": "color", "type": "string", "canonicalValues": ["red", "blue"] },
            { "name": "code", "type": "string", "caseExact": true },
            { "name": "issued", "type": "dateTime" },
            { "name": "doors", "type": "complex", "multiValued": true, "subAttributes": [
                { "name": "value", "type": "string" },
                { "name": "type", "type": "string" },
            ] },
        ],
    })
}

/// Runs `rollcall schema add` with this definition.
async fn add(stack: &Stack, tenant: &str, definition: &Value, more: &[&str]) -> Said {
    let file = stack.folder().join(format!("{tenant}.json"));
    std::fs::write(&file, definition.to_string()).unwrap();
    stack.rollcall(&[&["schema", "add", tenant, file.to_str().unwrap()], more].concat()).await
}

async fn register(stack: &Stack, tenant: &str, okta: &Okta) {
    add(stack, tenant, &badge(), &[]).await.well();
    in_force(okta, 200).await;
}

/// Asserts that the schema is shown, or not, as soon as the command has returned.
async fn in_force(okta: &Okta, status: u16) {
    assert_eq!(okta.get(&format!("/Schemas/{BADGE}")).await.status, status);
}

fn bearer(name: &str, badge: Value) -> Value {
    let mut user = person(name, "Bea", "Rer");
    user["schemas"].as_array_mut().unwrap().extend([json!(BADGE), json!(UNKNOWN)]);
    user[BADGE] = badge;
    user[UNKNOWN] = json!({ "shoeSize": 44 });
    user
}

async fn found(okta: &Okta, filter: &str) -> Vec<String> {
    let all: Answer = okta.get(&format!("/Users?filter={}", encode(filter))).await.is(200);
    all.resources().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_attributes_are_stored_shown_and_filtered() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("badges").await.okta();
    register(&stack, "badges", &okta).await;

    let value = json!({
        "number": 7, "color": "Red", "code": "aB", "issued": "2026-11-02T10:00:00+01:00",
        "doors": [{ "value": "North", "type": "main" }, { "value": "South" }],
    });
    let ada = okta.create(&bearer("ada@badges.example", value.clone())).await.is(201);
    let grace = okta.create(&bearer("grace@badges.example", json!({ "number": 12, "color": "blue" }))).await;
    let (ada_id, grace_id) = (ada.id(), grace.is(201).id());
    for shown in [ada, okta.user(&ada_id).await.is(200)] {
        for attribute in ["number", "color", "code", "doors"] {
            assert_eq!(shown.body[BADGE][attribute], value[attribute], "{}", shown.text);
        }
        let schemas = shown.body["schemas"].as_array().unwrap();
        assert!(schemas.contains(&json!(BADGE)) && !schemas.contains(&json!(UNKNOWN)), "{}", shown.text);
        assert!(shown.body.get(UNKNOWN).is_none(), "{}", shown.text);
    }

    for (filter, hits) in [
        ("number eq 7", vec![&ada_id]),
        ("number gt 7", vec![&grace_id]),
        ("number pr", vec![&ada_id, &grace_id]),
        ("color eq \"RED\"", vec![&ada_id]),
        ("code eq \"aB\"", vec![&ada_id]),
        ("code eq \"ab\"", vec![]),
        ("issued eq \"2026-11-02T09:00:00Z\"", vec![&ada_id]),
        ("issued lt \"2026-11-02T09:00:00Z\"", vec![]),
        ("doors.value eq \"south\"", vec![&ada_id]),
        ("doors[type eq \"main\" and value sw \"N\"]", vec![&ada_id]),
        ("doors[type eq \"main\" and value sw \"S\"]", vec![]),
    ] {
        let mut hits: Vec<String> = hits.into_iter().cloned().collect();
        hits.sort();
        let mut ids = found(&okta, &format!("{BADGE}:{filter}")).await;
        ids.sort();
        assert_eq!(ids, hits, "{filter}");
    }

    // PATCH and PUT handle them like any other attribute.
    let patch = json!([
        { "op": "replace", "path": format!("{BADGE}:color"), "value": "blue" },
        { "op": "remove", "path": format!("{BADGE}:doors[value eq \"south\"]") },
    ]);
    let patched = okta.patch(&ada_id, patch).await.is(200);
    assert_eq!(patched.body[BADGE]["color"], "blue");
    assert_eq!(patched.body[BADGE]["doors"], json!([{ "value": "North", "type": "main" }]));
    let wrong = json!([{ "op": "replace", "path": format!("{BADGE}:number"), "value": "many" }]);
    okta.patch(&ada_id, wrong).await.is_error_of(400, "invalidValue");
    let put = okta.update(&ada_id, &json!({ (BADGE): { "number": 8 } })).await.is(200);
    assert_eq!(put.body[BADGE]["number"], 8);
    let only = okta.get(&format!("/Users/{ada_id}?attributes={BADGE}:number")).await.is(200);
    assert_eq!(only.body[BADGE], json!({ "number": 8 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_schema_is_visible_only_to_its_tenant() {
    let stack = Stack::shared().await;
    let (mine, theirs) = (stack.tenant("ours").await.okta(), stack.tenant("theirs").await.okta());
    register(&stack, "ours", &mine).await;

    let schema = mine.get(&format!("/Schemas/{BADGE}")).await.is(200).body;
    let color = schema["attributes"].as_array().unwrap().iter().find(|a| a["name"] == "color").unwrap();
    assert_eq!(color["canonicalValues"], json!(["red", "blue"]));
    let user = mine.get("/ResourceTypes/User").await.is(200).body;
    let extensions = user["schemaExtensions"].as_array().unwrap();
    assert!(extensions.contains(&json!({ "schema": BADGE, "required": false })), "{user}");
    let all = mine.get("/Schemas").await.is(200);
    assert!(all.resources().contains(&schema), "{}", all.text);

    theirs.get(&format!("/Schemas/{BADGE}")).await.is_error(404);
    let others = theirs.get("/Schemas").await.is(200);
    assert_eq!(others.total() + 1, all.total());
    let bearer = theirs.create(&bearer("bea@theirs.example", json!({ "number": 7 }))).await.is(201);
    assert!(bearer.body.get(BADGE).is_none(), "{}", bearer.text);
    assert_eq!(theirs.user(&bearer.id()).await.is(200).body.get(BADGE), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_can_be_listed_shown_extended_and_removed() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("lister").await.okta();
    assert_eq!(stack.rollcall_json(&["schema", "list", "lister"]).await, json!([]));
    register(&stack, "lister", &okta).await;
    let id = okta.create(&bearer("bea@lister.example", json!({ "number": 7 }))).await.is(201).id();

    let list = stack.rollcall_json(&["schema", "list", "lister"]).await;
    assert_eq!(list[0]["id"], BADGE);
    assert_eq!(list[0]["resource_type"], "User");
    assert_eq!(list[0]["attributes"], json!(["number", "color", "code", "issued", "doors"]));
    let mut shown = stack.rollcall_json(&["schema", "show", "lister", &BADGE.to_uppercase()]).await;
    assert_eq!(shown["attributes"][2]["caseExact"], json!(true));

    // The shown definition can be extended and registered again; incompatible changes are rejected.
    shown["attributes"].as_array_mut().unwrap().push(json!({ "name": "floor", "type": "string" }));
    let said = add(&stack, "lister", &shown, &["--json"]).await.well();
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap()["replaced"], json!(true));
    shown["attributes"][0]["type"] = json!("string");
    let refused = add(&stack, "lister", &shown, &[]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("number"), "{}", refused.err);

    // A removed schema is not shown; when it is added again, the stored values reappear.
    let said = stack.rollcall(&["schema", "remove", "lister", BADGE]).await.well();
    assert!(said.out.contains("stay stored"), "{}", said.out);
    in_force(&okta, 404).await;
    assert_eq!(okta.user(&id).await.is(200).body.get(BADGE), None);
    assert_eq!(okta.user(&id).await.body["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:User"]));
    // Other changes keep the stored values, and so does a PUT of the shown user.
    okta.set_active(&id, true).await.is(200);
    okta.update(&id, &json!({ "title": "Guard" })).await.is(200);
    // The schema can be added again only if the stored values fit.
    let refused = add(&stack, "lister", &shown, &[]).await;
    assert_eq!((refused.code, refused.err.contains("number")), (Some(1), true), "{}", refused.err);
    shown["attributes"][0]["type"] = json!("integer");
    add(&stack, "lister", &shown, &[]).await.well();
    in_force(&okta, 200).await;
    assert_eq!(okta.user(&id).await.is(200).body[BADGE]["number"], 7);
    assert_eq!(found(&okta, &format!("{BADGE}:number eq 7")).await, [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_without_stored_values_can_be_replaced_by_any_other() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("unused").await.okta();
    register(&stack, "unused", &okta).await;
    let mut other = badge();
    other["attributes"][0]["type"] = json!("string");
    other["id"] = json!(BADGE.to_uppercase());
    let said = add(&stack, "unused", &other, &["--json"]).await.well();
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap()["replaced"], json!(true));
    let listed = stack.rollcall_json(&["schema", "list", "unused"]).await;
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &json!(BADGE.to_uppercase())));
    let made = eventually("the other definition is in force", Duration::from_secs(5), async || {
        let user = bearer("bea@unused.example", json!({ "number": "seven" }));
        Some(okta.create(&user).await).filter(|made| made.status == 201)
    });
    assert_eq!(made.await.body[BADGE.to_uppercase()]["number"], "seven");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_schema_is_rejected_with_the_reason() {
    let stack = Stack::shared().await;
    stack.tenant("invalid-schemas").await;
    let with = |path: &str, value: Value| {
        let mut definition = badge();
        *definition.pointer_mut(path).unwrap() = value;
        definition
    };
    for (definition, word) in [
        (with("/id", json!("urn:ietf:params:scim:schemas:core:2.0:User")), "id"),
        (with("/id", json!("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")), "URN"),
        (with("/id", json!("badge")), "id"),
        (with("/attributes", json!([])), "attributes"),
        (with("/attributes/0/type", json!("number")), "type"),
        (with("/attributes/0/name", json!("7up")), "name"),
        (json!([]), "object"),
    ] {
        let said = add(&stack, "invalid-schemas", &definition, &[]).await;
        assert_eq!(said.code, Some(1), "{definition}: {}", said.out);
        assert!(said.err.contains(word), "{definition}: {}", said.err);
    }
    for (arguments, code, word) in [
        (vec!["schema", "add", "invalid-schemas", "/nowhere.json"], 2, "cannot be read"),
        (vec!["schema", "add", "/nowhere.json"], 2, "several tenants"),
        (vec!["schema", "list"], 2, "several tenants"),
        (vec!["schema", "list", "nobody"], 1, "no tenant"),
        (vec!["schema", "show", "invalid-schemas", BADGE], 1, "no such schema"),
        (vec!["schema", "remove", "invalid-schemas", BADGE], 1, "no such schema"),
        (vec!["schema", "add", "invalid-schemas", "x.json", "--tenant", "invalid-schemas"], 2, "--tenant"),
    ] {
        let said = stack.rollcall(&arguments).await;
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(word), "{arguments:?}: {}", said.err);
    }
    assert_eq!(stack.rollcall_json(&["schema", "list", "invalid-schemas"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenant_can_be_omitted_if_there_is_only_one() {
    let stack = Stack::own().await;
    let none = stack.rollcall(&["schema", "list"]).await;
    assert!(none.code == Some(1) && none.err.contains("no tenant yet"), "{}", none.err);
    let okta = stack.tenant("single").await.okta();
    let file = stack.folder().join("badge.json");
    std::fs::write(&file, badge().to_string()).unwrap();
    let file = file.to_str().unwrap();
    stack.rollcall(&["schema", "add", file]).await.well();
    in_force(&okta, 200).await;
    stack.rollcall(&["schema", "add", "--tenant", "single", file]).await.well();
    assert_eq!(stack.rollcall_json(&["schema", "list"]).await.as_array().unwrap().len(), 1);
    stack.rollcall(&["schema", "show", BADGE]).await.well();
    stack.rollcall(&["schema", "remove", BADGE]).await.well();

    // Another schema, for groups.
    let mut group = badge();
    group["id"] = json!("urn:example:params:scim:schemas:extension:cost:2.0:Group");
    std::fs::write(file, group.to_string()).unwrap();
    stack.rollcall(&["schema", "add", file, "--resource-type", "group"]).await.well();
    eventually("groups have it", Duration::from_secs(5), async || {
        let group = okta.get("/ResourceTypes/Group").await.is(200).body;
        (group["schemaExtensions"][0]["schema"] == "urn:example:params:scim:schemas:extension:cost:2.0:Group")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_settings_can_be_set_and_read() {
    let stack = Stack::shared().await;
    stack.tenant("settings").await;
    let shown = stack.rollcall_json(&["tenant", "show", "settings"]).await;
    assert_eq!(shown["settings"]["unknown_members"], "reject");
    stack.rollcall(&["tenant", "set", "settings", "unknown_members=skip"]).await.well();
    let shown = stack.rollcall(&["tenant", "show", "settings"]).await.well();
    assert!(shown.out.lines().any(|line| line.starts_with("unknown_members") && line.ends_with("skip")));
    for (change, words) in [
        ("unknown_members=perhaps", ["`reject`", "`skip`"]),
        ("unknown_member=skip", ["unknown_member", "unknown_members"]),
    ] {
        let said = stack.rollcall(&["tenant", "set", "settings", change]).await;
        assert_eq!(said.code, Some(2));
        assert!(words.iter().all(|word| said.err.contains(word)), "{}", said.err);
        assert_eq!(said.err.trim().lines().count(), 1, "{}", said.err);
    }
    assert_eq!(stack.rollcall(&["tenant", "set", "nobody", "unknown_members=skip"]).await.code, Some(1));
}
