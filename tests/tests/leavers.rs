//! The leaver rule: a request that deactivates a user does not fail because of anything else in it, and reports what it
//! ignored. A blank member does not remove anyone from a group.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::{PATCH_OP, group, person};
use tests::rows::rows;
use tests::stack::Shared;
use tests::{Answer, Okta, Stack, Tenant, eventually};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// A tenant with a taken name, and a new user for each case.
struct Scene {
    stack: Shared,
    tenant: Tenant,
    okta: Okta,
    made: usize,
}

impl Scene {
    async fn of(name: &str) -> Self {
        let stack = Stack::shared().await;
        let tenant = stack.tenant(name).await;
        let okta = tenant.okta();
        okta.create(&person("taken@leave.example", "Ta", "Ken")).await.is(201);
        Self { stack, tenant, okta, made: 0 }
    }

    /// The id and body of a new, active user.
    async fn somebody(&mut self) -> (String, Value) {
        self.made += 1;
        let body = person(&format!("p{}@leave.example", self.made), "Lea", "Ver");
        (self.okta.create(&body).await.is(201).id(), body)
    }

    /// Asserts that the answer is 200 with the stored, archived user, with all required attributes, and lists what was
    /// ignored.
    async fn assert_left(&self, id: &str, sent: &Value, answer: Answer, ignored: &str, case: &str) {
        assert_eq!(answer.status, 200, "{case}: {}", answer.text);
        assert_eq!(answer.header("rollcall-ignored"), ignored, "{case}");
        assert_eq!(answer.body["active"], false, "{case}: {}", answer.text);
        for name in ["userName", "name", "emails"] {
            assert_eq!(answer.body[name], sent[name], "{case}: {}", answer.text);
        }
        assert_eq!(self.okta.user(id).await.is(200).body, answer.body, "{case}");
        assert_eq!(answer.header("etag"), answer.body["meta"]["version"], "{case}");
    }
}

/// Operations beside `active: false`, the status each has alone, and the ignored attributes.
fn operations() -> Vec<(Value, u16, &'static str)> {
    let mut cases = vec![
        (json!({ "op": "remove", "path": "emails" }), 400, "emails"),
        (json!({ "op": "Remove", "path": "emails[type eq \"work\"].value" }), 400, "emails"),
        (json!({ "op": "remove", "path": "name" }), 400, "name"),
        (json!({ "op": "remove", "path": "name.familyName" }), 400, "name.familyName"),
        (json!({ "op": "remove", "path": "userName" }), 400, "userName"),
        (json!({ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "" }), 400, "emails"),
        (json!({ "op": "replace", "path": "emails", "value": [] }), 400, "emails"),
        (json!({ "op": "replace", "path": "emails", "value": true }), 400, "emails"),
        (json!({ "op": "replace", "path": "name.givenName", "value": null }), 400, "name.givenName"),
        (json!({ "op": "replace", "path": "name.givenName", "value": { "a": 1 } }), 400, "name.givenName"),
        (json!({ "op": "replace", "value": { "emails": [] } }), 400, "emails"),
        (
            json!({ "op": "replace", "value": { "name.givenName": "", "title": true } }),
            400,
            "title, name.givenName",
        ),
        (json!({ "op": "replace", "value": { "emails[type eq \"work\"].value": null } }), 400, "emails"),
        (json!({ "op": "replace", "path": "id", "value": "x" }), 400, "id"),
        (json!({ "op": "add", "path": "groups", "value": [{ "value": "x" }] }), 400, "groups"),
        (json!({ "op": "replace", "path": "meta.created", "value": "x" }), 400, "meta.created"),
        (
            json!({ "op": "replace", "path": "phoneNumbers[type eq \"fax\"]", "value": { "value": "1" } }),
            400,
            "phoneNumbers",
        ),
        (json!({ "op": "replace", "path": "userName", "value": "TAKEN@leave.example" }), 409, "userName"),
        (json!({ "op": "replace", "value": { "userName": "taken@leave.example" } }), 409, "userName"),
        (json!({ "op": "remove" }), 400, "Operations"),
        (json!({ "op": "replace", "path": "title" }), 400, "title"),
        // Ignored even without a deactivation.
        (json!({ "op": "replace", "path": "companyName", "value": "Acme" }), 200, "companyName"),
    ];
    let long = json!({ "op": "replace", "path": "displayName", "value": "x".repeat(5_000) });
    cases.push((long, 400, "displayName"));
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_deactivates_does_not_fail_because_of_other_operations() {
    let mut scene = Scene::of("leave-patch").await;
    let deactivations = [
        json!({ "op": "Replace", "path": "active", "value": "False" }),
        json!({ "op": "replace", "value": { "active": false } }),
        json!({ "op": "add", "path": format!("{USER}:active"), "value": "false" }),
    ];
    for (n, (operation, alone, ignored)) in operations().into_iter().enumerate() {
        let (id, sent) = scene.somebody().await;
        let before = scene.okta.user(&id).await.is(200).body;
        let refused = scene.okta.patch(&id, json!([operation])).await;
        assert_eq!(refused.status, alone, "{operation}: {}", refused.text);
        assert_eq!(scene.okta.user(&id).await.body, before, "{operation}");

        let leave = &deactivations[n % deactivations.len()];
        let both = if n % 2 == 0 { json!([leave, operation]) } else { json!([operation, leave]) };
        // And again, for a user who is archived already.
        for _ in 0..2 {
            let answer = scene.okta.patch(&id, both.clone()).await;
            scene.assert_left(&id, &sent, answer, ignored, &both.to_string()).await;
        }
        let answer = scene.okta.patch(&id, json!([operation])).await;
        scene.assert_left(&id, &sent, answer, ignored, &operation.to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_deactivates_needs_no_other_attributes() {
    let mut scene = Scene::of("leave-put").await;
    let without = |body: &Value, name: &str| {
        let mut body = body.clone();
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let with = |body: &Value, name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    type Change<'a> = Box<dyn Fn(&Value) -> Value + 'a>;
    let mut cases: Vec<(Change<'_>, &str)> = vec![
        (Box::new(|_| json!({})), "userName, name, emails"),
        (Box::new(|body| json!({ "userName": body["userName"] })), "name, emails"),
        (Box::new(|body| json!({ "schemas": [USER], "userName": body["userName"] })), "name, emails"),
        (Box::new(|body| without(body, "emails")), "emails"),
        (Box::new(|body| without(body, "name")), "name"),
        (Box::new(|body| with(body, "userName", json!("taken@leave.example"))), "userName"),
        (
            Box::new(|body| with(body, "name", json!({ "givenName": "", "familyName": "Ver" }))),
            "name.givenName",
        ),
        (Box::new(|body| with(body, "emails", json!([{ "value": "", "type": "work" }]))), "emails"),
        (Box::new(|body| with(body, "locale", json!(true))), "locale"),
    ];
    for wrong in [json!(null), json!(""), json!([]), json!(true)] {
        for name in ["emails", "name", "userName"] {
            let wrong = wrong.clone();
            cases.push((Box::new(move |body| with(body, name, wrong.clone())), name));
        }
    }
    for (change, ignored) in &cases {
        let (id, sent) = scene.somebody().await;
        let before = scene.okta.user(&id).await.is(200).body;
        let mut body = change(&sent);
        body["active"] = json!(true);
        let refused = scene.okta.put(&id, &body).await;
        let expected = if body["userName"] == "taken@leave.example" { 409 } else { 400 };
        assert_eq!(refused.status, expected, "{body}: {}", refused.text);
        assert_eq!(scene.okta.user(&id).await.body, before, "{body}");
        for active in [json!(false), json!("False")] {
            body["active"] = active;
            let answer = scene.okta.put(&id, &body).await;
            scene.assert_left(&id, &sent, answer, ignored, &body.to_string()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ignored_attributes_are_reported_in_bulk_asynchronously_and_in_the_log() {
    let mut scene = Scene::of("leave-reported").await;
    let (id, sent) = scene.somebody().await;
    let operations = json!([
        { "op": "replace", "value": { "active": false, "emails": [] } },
        { "op": "add", "path": "companyName", "value": "somebody@secret.example" },
    ]);
    let patch = json!({ "schemas": [PATCH_OP], "Operations": operations });
    let bulk = json!({ "schemas": [BULK], "Operations": [
        { "method": "PATCH", "path": format!("/Users/{id}"), "data": patch },
        { "method": "PUT", "path": format!("/Users/{id}"), "data": { "active": false } },
    ]});
    let results = scene.okta.with_body("POST", "/Bulk", &bulk).await.is(200).body["Operations"].clone();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("200"), &json!("200")), "{results}");
    assert_eq!(results[0]["ignored"], json!(["companyName", "emails"]));
    assert_eq!(results[1]["ignored"], json!(["userName", "name", "emails"]));
    let stored = scene.okta.user(&id).await.is(200).body;
    assert_eq!((&stored["active"], &stored["emails"]), (&json!(false), &sent["emails"]));

    let (later, _) = scene.somebody().await;
    let request = scene.okta.request("PATCH", &format!("/Users/{later}")).header("Prefer", "respond-async");
    let promised = scene.okta.once(request.body(patch.to_string())).await.is(202);
    let path = format!("/Async/{}", promised.header("set-txn"));
    let outcome = eventually("the outcome", Duration::from_secs(20), async || {
        let answer = scene.okta.get(&path).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!((&outcome["status"], &outcome["ignored"]), (&json!("200"), &json!(["emails", "unknown(1)"])));

    let log = rows(&scene.stack, &scene.tenant.key, &format!("/activity?user={later}")).await;
    assert_eq!(
        (&log[1]["outcome"], &log[1]["ignored"]),
        (&json!("updated"), &json!("emails unknown(1)")),
        "{log:?}"
    );
    assert_eq!(log[0]["ignored"], Value::Null);
    assert!(!json!(log).to_string().contains("secret.example"), "the log contains a value: {log:?}");
    let said = scene.stack.rollcall(&["activity", "leave-reported", "--user", &id]).await.well();
    assert!(
        said.out.contains("emails unknown(1)") && said.out.contains("emails name userName"),
        "{}",
        said.out
    );
    let learners = rows(&scene.stack, &scene.tenant.key, "/reports/learners").await;
    assert_eq!(learners.len(), 1, "archived users are in no report: {learners:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_and_failed_preconditions_are_still_rejected() {
    let mut scene = Scene::of("leave-not").await;
    let (id, _) = scene.somebody().await;
    let leave = json!({ "op": "replace", "value": { "active": false } });
    for operation in [
        json!({ "op": "remove", "path": "emails[type eq" }),
        json!({ "op": "replace", "path": "no such path", "value": "x" }),
        json!({ "op": "explode", "path": "title" }),
        json!({ "op": "replace", "path": 7, "value": "x" }),
    ] {
        scene.okta.patch(&id, json!([leave, operation])).await.is_error(400);
    }
    scene.okta.with_body("PATCH", &format!("/Users/{id}"), &json!({ "active": false })).await.is_error(400);
    let put = scene.okta.request("PUT", &format!("/Users/{id}")).body("{\"active\": false,");
    scene.okta.send(put).await.is_error(400);
    let body = json!({ "Operations": [leave, { "op": "remove", "path": "emails" }] });
    let stale = scene.okta.request("PATCH", &format!("/Users/{id}")).header("If-Match", "W/\"7\"");
    scene.okta.send(stale.body(body.to_string())).await.is_error(412);
    assert_eq!(scene.okta.user(&id).await.is(200).body["active"], true);
    let nobody = format!("/Users/{}", platform::id::new());
    scene.okta.with_body("PUT", &nobody, &json!({ "active": false })).await.is_error(404);
    scene.okta.create(&json!({ "userName": "new@leave.example", "active": false })).await.is_error(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_attribute_by_path_is_ignored_and_named() {
    let mut scene = Scene::of("leave-unknown").await;
    let (id, _) = scene.somebody().await;
    let before = scene.okta.user(&id).await.is(200).body;
    let unknown = [
        "companyName",
        "foo.bar",
        "name.nickname2",
        "urn:example:none:1.0:User:x",
        "emails[type eq \"work\"].shoe",
    ];
    for (path, op) in unknown.into_iter().zip(["add", "Replace", "remove", "add", "replace"]) {
        let operation = json!({ "op": op, "path": path, "value": "x" });
        let name = path.replace("[type eq \"work\"]", "");
        let answer = scene.okta.patch(&id, json!([operation])).await.is(200);
        assert_eq!((&answer.body, answer.header("rollcall-ignored")), (&before, &*name), "{path}");
    }
    let beside = json!([{ "op": "add", "path": "companyName", "value": "x" }, { "op": "add", "path": "title", "value": "T" }]);
    assert_eq!(scene.okta.patch(&id, beside).await.is(200).body["title"], "T");
    let filter = json!([{ "op": "replace", "path": "emails[foo eq \"x\"].value", "value": "x" }]);
    scene.okta.patch(&id, filter).await.is_error_of(400, "invalidFilter");
    // Unknown attributes inside a larger value are ignored without a report, in a PATCH as in a POST.
    let along =
        scene.okta.patch(&id, json!([{ "op": "replace", "value": { "companyName": "x" } }])).await.is(200);
    assert_eq!(along.header("rollcall-ignored"), "");

    let team = scene.okta.push_group("Team").await.is(201).id();
    let operations = json!([{ "op": "replace", "path": "description", "value": "x" }, { "op": "replace", "path": "displayName", "value": "Crew" }]);
    let answer = scene.okta.patch_group(&team, operations).await;
    assert_eq!(answer.header("rollcall-ignored"), "description", "{} {}", answer.status, answer.text);
    assert_eq!(scene.okta.group(&team).await.is(200).body["displayName"], "Crew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_an_id_removes_nobody() {
    let mut scene = Scene::of("leave-blank").await;
    let ((a, _), (b, _)) = (scene.somebody().await, scene.somebody().await);
    let team = scene.okta.with_body("POST", "/Groups", &group("Team", &[&a, &b])).await.is(201).id();
    let members = async |okta: &Okta| {
        let body = okta.group(&team).await.is(200).body;
        body["members"].as_array().map_or(0, Vec::len)
    };
    let path = format!("/Groups/{team}");
    for setting in ["reject", "skip"] {
        let set = format!("unknown_members={setting}");
        scene.stack.rollcall(&["tenant", "set", "leave-blank", &set]).await.well();
        for blank in [
            json!([{ "value": "" }]),
            json!([{ "value": null }]),
            json!([{ "value": "  " }]),
            json!([{}]),
            json!([null]),
            json!([""]),
            json!({}),
            json!(""),
            json!([{ "value": a }, { "value": "" }]),
            json!([null, a]),
        ] {
            let put = json!({ "displayName": "Team", "members": blank });
            scene.okta.with_body("PUT", &path, &put).await.is_error_of(400, "invalidValue");
            scene.okta.with_body("POST", "/Groups", &put).await.is_error_of(400, "invalidValue");
            for operation in [
                json!({ "op": "add", "path": "members", "value": blank }),
                json!({ "op": "replace", "path": "members", "value": blank }),
                json!({ "op": "remove", "path": "members", "value": blank }),
                json!({ "op": "replace", "value": { "members": blank } }),
                json!({ "op": "add", "value": { "members": blank } }),
            ] {
                scene.okta.patch_group(&team, json!([operation])).await.is_error_of(400, "invalidValue");
            }
            assert_eq!(members(&scene.okta).await, 2, "{blank}");
        }
    }
    for nobody in [json!([]), json!(null)] {
        scene.okta.patch_group(&team, json!([{ "op": "add", "path": "members", "value": [a, b] }])).await;
        assert_eq!(members(&scene.okta).await, 2);
        scene
            .okta
            .patch_group(&team, json!([{ "op": "replace", "path": "members", "value": nobody }]))
            .await
            .is(200);
        assert_eq!(members(&scene.okta).await, 0, "{nobody}");
    }
}
