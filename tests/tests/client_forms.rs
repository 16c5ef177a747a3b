//! The forms in which clients send values, names and URNs. Each is written by POST, PUT, PATCH with and without a path,
//! and Bulk, and is answered and read in the RFCs' form.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::{PATCH_OP, encode, group, person};
use tests::{Answer, Okta, Stack, eventually};

const URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const ACME: &str = "urn:example:params:scim:schemas:extension:forms:2.0:User";
const DRAFT: &str = "urn:scim:schemas:extension:enterprise:2.0";

/// A tenant with a registered schema in force.
async fn tenant(stack: &Stack, name: &str) -> Okta {
    let okta = stack.tenant(name).await.okta();
    let definition = json!({ "id": ACME, "name": "Forms", "description": "Attributes of every type", "attributes": [
        { "name": "tags", "multiValued": true },
        { "name": "levels", "type": "integer", "multiValued": true },
        { "name": "level", "type": "integer" },
        { "name": "score", "type": "decimal" },
        { "name": "hired", "type": "dateTime" },
    ] });
    let file = stack.folder().join(format!("{name}.json"));
    std::fs::write(&file, definition.to_string()).unwrap();
    stack.rollcall(&["schema", "add", name, file.to_str().unwrap()]).await.well();
    eventually("the schema is in force", Duration::from_secs(5), async || {
        (okta.get(&format!("/Schemas/{ACME}")).await.status == 200).then_some(())
    })
    .await;
    okta
}

/// A user with this attribute as the client sends it.
fn body(user_name: &str, key: &str, sent: &Value) -> Value {
    let mut body = person(user_name, "For", "Mer");
    body[key] = sent.clone();
    body
}

/// Writes an attribute in every way, to a new user each time.
struct Writer<'a> {
    okta: &'a Okta,
    company: String,
    count: usize,
}

impl Writer<'_> {
    fn name(&mut self) -> String {
        self.count += 1;
        format!("n{}@{}.example", self.count, self.company)
    }

    async fn somebody(&mut self) -> (String, String) {
        let name = self.name();
        let id = self.okta.create(&person(&name, "For", "Mer")).await.is(201).id();
        (name, id)
    }

    /// The answers of all ways; each 2xx answer must agree with a subsequent GET.
    async fn write(&mut self, key: &str, sent: &Value) -> Vec<(&'static str, Answer)> {
        let mut answers = Vec::new();
        let name = self.name();
        answers.push(("POST", self.okta.create(&body(&name, key, sent)).await));
        let (name, id) = self.somebody().await;
        answers.push(("PUT", self.okta.put(&id, &body(&name, key, sent)).await));
        for (way, operation) in [
            ("add by path", json!({ "op": "add", "path": key, "value": sent })),
            ("replace by path", json!({ "op": "Replace", "path": key, "value": sent })),
            ("add by key", json!({ "op": "add", "value": { key: sent } })),
            ("replace by key", json!({ "op": "replace", "value": { key: sent } })),
        ] {
            let (_, id) = self.somebody().await;
            answers.push((way, self.okta.patch(&id, json!([operation])).await));
        }
        let (_, id) = self.somebody().await;
        let operations = json!([{ "op": "replace", "path": key, "value": sent }]);
        let data = json!({ "schemas": [PATCH_OP], "Operations": operations });
        let bulk = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [{ "method": "PATCH", "path": format!("/Users/{id}"), "data": data }],
        });
        let bulk = self.okta.with_body("POST", "/Bulk", &bulk).await.is(200);
        let status = bulk.body["Operations"][0]["status"].as_str().unwrap().parse().unwrap();
        answers.push((
            "Bulk",
            match status {
                200 => self.okta.user(&id).await.is(200),
                _ => Answer { status, body: bulk.body["Operations"][0]["response"].clone(), ..bulk },
            },
        ));
        for (way, answer) in &answers {
            if answer.status < 300 {
                let read = self.okta.user(&answer.id()).await.is(200);
                assert_eq!(
                    read.body, answer.body,
                    "{key} = {sent} by {way}: the answer agrees with what is stored"
                );
            }
        }
        answers
    }

    async fn is_taken(&mut self, key: &str, sent: Value, pointer: &str, expected: &Value) {
        for (way, answer) in self.write(key, &sent).await {
            let status = if way == "POST" { 201 } else { 200 };
            assert_eq!(answer.status, status, "{key} = {sent} by {way}: {}", answer.text);
            let pointer = pointer.replace("URN", URN).replace("ACME", ACME);
            let seen = answer.body.pointer(&pointer).cloned().unwrap_or_default();
            assert_eq!(&seen, expected, "{key} = {sent} by {way}, at {pointer}");
        }
    }

    async fn is_refused(&mut self, key: &str, sent: Value) {
        for (way, answer) in self.write(key, &sent).await {
            let refused = (answer.status, answer.body["scimType"].as_str().unwrap_or_default());
            assert_eq!(refused, (400, "invalidValue"), "{key} = {sent} by {way}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn draft_urns_and_names_without_a_urn_resolve_to_the_extension() {
    let stack = Stack::shared().await;
    let okta = tenant(&stack, "forms-urns").await;
    let mut writer = Writer { okta: &okta, company: "forms-urns".to_owned(), count: 0 };
    let (sales, seven) = (json!("Sales"), json!({ "value": "7" }));
    for (key, sent, pointer, expected) in [
        (DRAFT.to_owned(), json!({ "department": "Sales" }), "/URN/department", &sales),
        (format!("{DRAFT}:User:department"), json!("Sales"), "/URN/department", &sales),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:1.0:department".to_owned(),
            json!(["Sales"]),
            "/URN/department",
            &sales,
        ),
        ("department".to_owned(), json!([{ "$ref": null, "value": "Sales" }]), "/URN/department", &sales),
        ("manager".to_owned(), json!("7"), "/URN/manager", &seven),
        ("manager.value".to_owned(), json!(7), "/URN/manager", &seven),
        ("level".to_owned(), json!("3"), "/ACME/level", &json!(3)),
        ("urn:scim:schemas:core:1.0:title".to_owned(), json!("Clerk"), "/title", &json!("Clerk")),
    ] {
        writer.is_taken(&key, sent, pointer, expected).await;
    }
    let both = json!({ "department": "Draft", "costCenter": "1" });
    let mut user = body("both@forms-urns.example", DRAFT, &both);
    user[URN] = json!({ "department": "Sales" });
    user["schemas"] = json!(["urn:scim:schemas:core:1.0", DRAFT]);
    let made = okta.create(&user).await.is(201);
    assert_eq!(made.body[URN], json!({ "department": "Sales", "costCenter": "1" }));
    assert_eq!(made.body["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:User", URN]));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_values_in_lists_and_values_of_other_types_are_converted() {
    let stack = Stack::shared().await;
    let okta = tenant(&stack, "forms-values").await;
    let mut writer = Writer { okta: &okta, company: "forms-values".to_owned(), count: 0 };
    for (key, sent, pointer, expected) in [
        ("title", json!(["Clerk"]), "/title", json!("Clerk")),
        ("active", json!([{ "$ref": null, "value": "False" }]), "/active", json!(false)),
        (
            "name",
            json!([{ "givenName": "Bo", "familyName": "Ek" }]),
            "/name",
            json!({ "givenName": "Bo", "familyName": "Ek" }),
        ),
        ("manager", json!([{ "$ref": null, "value": "7" }]), "/URN/manager", json!({ "value": "7" })),
        ("tags", json!([{ "value": "1" }, { "value": "2" }]), "/ACME/tags", json!(["1", "2"])),
        ("levels", json!([{ "value": "1" }, 2.0]), "/ACME/levels", json!([1, 2])),
        ("level", json!(3.0), "/ACME/level", json!(3)),
        ("score", json!("2.5"), "/ACME/score", json!(2.5)),
        ("employeeNumber", json!(5), "/URN/employeeNumber", json!("5")),
        ("externalId", json!(12345), "/externalId", json!("12345")),
        ("hired", json!("2019-12-20T04:40:00"), "/ACME/hired", json!("2019-12-20T04:40:00Z")),
        (
            "phoneNumbers",
            json!([
                { "value": "1", "type": "work", "primary": true }, { "value": "2", "primary": true }, { "value": "1", "type": "work" }
            ]),
            "/phoneNumbers",
            json!([{ "value": "1", "type": "work", "primary": true }, { "value": "2", "primary": false }]),
        ),
    ] {
        // An externalId can be set for only one user here.
        if key == "externalId" {
            let (_, id) = writer.somebody().await;
            for operation in [
                json!({ "op": "replace", "path": key, "value": sent }),
                json!({ "op": "add", "value": { key: sent } }),
            ] {
                assert_eq!(okta.patch(&id, json!([operation])).await.is(200).body[key], expected);
            }
            continue;
        }
        writer.is_taken(key, sent, pointer, &expected).await;
    }
    for (key, sent) in [
        ("title", json!(["Clerk", "Judge"])),
        ("active", json!([true, false])),
        ("level", json!(1.5)),
        ("level", json!("18446744073709551616")),
        ("hired", json!("2019-12-20")),
    ] {
        writer.is_refused(key, sent).await;
    }
    let (name, id) = writer.somebody().await;
    let renamed = okta
        .patch(&id, json!([{ "op": "replace", "path": "userName", "value": [name.to_uppercase()] }]))
        .await;
    assert_eq!(renamed.is(200).body["userName"], json!(name.to_uppercase()));
    let work = json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": [{ "$ref": null, "value": "w@forms.example" }] }]);
    assert_eq!(okta.patch(&id, work).await.is(200).body["emails"][0]["value"], "w@forms.example");
    // All digits are kept, although no float can hold them.
    let long = body(&writer.name(), "externalId", &json!("DIGITS")).to_string();
    let long = long.replace("\"DIGITS\"", "123456789012345678901234567890");
    let made = okta.send(okta.request("POST", "/Users").body(long)).await.is(201);
    assert_eq!(made.body["externalId"], "123456789012345678901234567890");
    // A group's name.
    let mut shift = group("x", &[]);
    shift["displayName"] = json!([{ "$ref": null, "value": "Night shift" }]);
    let shift = okta.with_body("POST", "/Groups", &shift).await.is(201);
    assert_eq!(shift.body["displayName"], "Night shift");
    let day = json!([{ "op": "replace", "path": "displayName", "value": ["Day shift"] }]);
    assert_eq!(okta.patch_group(&shift.id(), day).await.is(200).body["displayName"], "Day shift");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_manager_is_removed_and_so_are_listed_values_of_a_simple_list() {
    let stack = Stack::shared().await;
    let okta = tenant(&stack, "forms-empty").await;
    let mut full = person("full@forms-empty.example", "Fu", "Ll");
    full[URN] = json!({ "department": "Sales", "manager": { "value": "7", "displayName": "Bo Ek" } });
    full[ACME] = json!({ "tags": ["1", "2", "3"] });
    let id = okta.create(&full).await.is(201).id();
    for empty in [json!({}), json!({ "value": "" }), json!({ "value": null }), json!([{}]), json!([])] {
        for operation in [
            json!({ "op": "replace", "path": format!("{URN}:manager"), "value": empty }),
            json!({ "op": "add", "value": { "manager": empty } }),
        ] {
            okta.put(&id, &full).await.is(200);
            let after = okta.patch(&id, json!([operation])).await.is(200);
            assert_eq!(after.body[URN], json!({ "department": "Sales" }), "{operation}");
            assert_eq!(okta.user(&id).await.body, after.body);
        }
        let mut put = full.clone();
        put[URN]["manager"] = empty;
        assert_eq!(okta.put(&id, &put).await.is(200).body[URN], json!({ "department": "Sales" }));
    }
    for (operation, tags) in [
        (
            json!({ "op": "remove", "path": format!("{ACME}:tags"), "value": [{ "value": "2" }] }),
            json!(["1", "3"]),
        ),
        (json!({ "op": "remove", "path": "tags[value eq \"2\"]" }), json!(["1", "3"])),
        (json!({ "op": "replace", "path": "tags[value eq \"2\"]", "value": "4" }), json!(["1", "4", "3"])),
        (
            json!({ "op": "add", "path": "tags", "value": [{ "value": "3" }, { "value": "4" }] }),
            json!(["1", "2", "3", "4"]),
        ),
    ] {
        okta.put(&id, &full).await.is(200);
        let after = okta.patch(&id, json!([operation])).await.is(200);
        assert_eq!(after.body[ACME]["tags"], tags, "{operation}");
        assert_eq!(okta.user(&id).await.body, after.body);
    }
    // Adding existing values is not a change, in any form.
    let before = okta.user(&id).await.is(200);
    for operation in [
        json!({ "op": "add", "path": "tags", "value": [{ "value": "3" }, 1] }),
        json!({ "op": "add", "value": { format!("{DRAFT}:department"): ["Sales"] } }),
        json!({ "op": "add", "path": "emails", "value": [full["emails"][0], full["emails"][0]] }),
    ] {
        let same = okta.patch(&id, json!([operation])).await.is(200);
        assert_eq!(same.body["meta"], before.body["meta"], "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_accept_the_same_forms() {
    let stack = Stack::shared().await;
    let okta = tenant(&stack, "forms-queries").await;
    let mut ann = person("ann@forms-queries.example", "Ann", "Lee");
    ann["externalId"] = json!("12345");
    ann[URN] = json!({ "department": "Sales", "employeeNumber": "5", "manager": { "value": "7" } });
    ann[ACME] = json!({ "tags": ["1", "2"], "level": 3, "score": 2.5, "hired": "2019-12-20T04:40:00Z" });
    let id = okta.create(&ann).await.is(201).id();
    let mut bo = person("bo@forms-queries.example", "Bo", "Ek");
    bo[URN] = json!({ "department": "Art" });
    bo[ACME] = json!({ "tags": ["9"], "level": 1, "hired": "2020-12-20T04:40:00Z" });
    let other = okta.create(&bo).await.is(201).id();
    for filter in [
        "department eq \"Sales\"".to_owned(),
        format!("{DRAFT}:department eq \"sales\""),
        "manager.value eq 7".to_owned(),
        "employeeNumber eq 5".to_owned(),
        "externalId eq 12345".to_owned(),
        "level eq \"3\"".to_owned(),
        "score eq \"2.50\"".to_owned(),
        "tags.value eq \"1\"".to_owned(),
        "tags[value eq \"1\"]".to_owned(),
        "tags[value sw \"1\" and not (value eq \"9\")]".to_owned(),
        "hired lt \"2020-01-01T00:00:00\"".to_owned(),
        "department eq \"Sales\" and meta.created gt \"2019-12-20T04:40:00\" and active eq \"true\""
            .to_owned(),
    ] {
        let found = okta.filter(&filter).await.is(200);
        let ids: Vec<_> = found.resources().iter().map(|user| user["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [id.as_str()], "{filter}");
        let at_root = okta.get(&format!("?filter={}", encode(&filter))).await.is(200);
        assert_eq!(at_root.total(), 1, "{filter} at the root");
    }
    for filter in
        ["meta.created gt \"2019-12-20\"", "level eq \"many\"", "tags[type eq \"1\"]", "active eq 1"]
    {
        okta.filter(filter).await.is_error_of(400, "invalidFilter");
    }
    for by in ["department", "urn:scim:schemas:extension:enterprise:1.0:department"] {
        let sorted = okta.get(&format!("/Users?sortBy={}", encode(by))).await.is(200);
        let ids: Vec<_> = sorted.resources().iter().map(|user| user["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [other.as_str(), id.as_str()], "sorted by {by}");
        let only = okta.get(&format!("/Users/{id}?attributes={}", encode(by))).await.is(200);
        assert_eq!(only.body[URN], json!({ "department": "Sales" }), "{by}");
        let without = okta.get(&format!("/Users/{id}?excludedAttributes={}", encode(by))).await.is(200);
        assert_eq!(without.body[URN].get("department"), None, "{by}");
    }
}
