//! Groups (RFC 7643 §4.2): members, `groups` of users, versions, and tenant settings.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::{PATCH_OP, group, person};
use tests::stack::Shared;
use tests::{Answer, Okta, Stack, Tenant, eventually};

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const NOBODY: &str = "0192f7a0-0000-7000-8000-000000000000";

/// A tenant with some users.
struct Scene {
    stack: Shared,
    tenant: Tenant,
    okta: Okta,
    people: Vec<String>,
}

impl Scene {
    async fn of(name: &str, people: usize) -> Self {
        let stack = Stack::shared().await;
        let tenant = stack.tenant(name).await;
        let okta = tenant.okta();
        let mut ids = Vec::new();
        for n in 0..people {
            ids.push(okta.create(&person(&format!("p{n}@{name}.example"), "Per", "Son")).await.is(201).id());
        }
        Self { stack, tenant, okta, people: ids }
    }

    async fn group(&self, name: &str, members: &[&str]) -> Answer {
        self.okta.with_body("POST", "/Groups", &group(name, members)).await
    }

    async fn conditionally(&self, method: &str, id: &str, header: (&str, &str), body: &Value) -> Answer {
        let request = self.okta.request(method, &format!("/Groups/{id}")).header(header.0, header.1);
        self.okta.send(request.body(body.to_string())).await
    }
}

/// The ids of the members, sorted.
fn members(body: &Value) -> Vec<&str> {
    let members = body["members"].as_array().map_or(&[][..], Vec::as_slice);
    let mut ids: Vec<&str> = members.iter().map(|member| member["value"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_created_changed_and_deleted() {
    let scene = Scene::of("group-life", 3).await;
    let [a, b, c] = [0, 1, 2].map(|n| scene.people[n].as_str());

    let made = scene.group("Sales", &[a, b]).await.is(201);
    let id = made.id();
    assert_eq!(made.header("location"), made.body["meta"]["location"].as_str().unwrap());
    assert!(made.header("location").ends_with(&format!("/scim/v2/Groups/{id}")));
    assert_eq!(made.header("etag"), made.body["meta"]["version"].as_str().unwrap());
    assert_eq!(
        (&made.body["meta"]["resourceType"], &made.body["schemas"]),
        (&json!("Group"), &json!([GROUP]))
    );
    assert_eq!(members(&made.body), [a, b]);
    let member = &made.body["members"][0];
    assert_eq!((&member["display"], &member["type"]), (&json!("someone@okta.example"), &json!("User")));
    assert!(member["$ref"].as_str().unwrap().ends_with(&format!("/scim/v2/Users/{a}")), "{member}");
    assert_eq!(scene.okta.group(&id).await.is(200).body, made.body);

    let person = scene.okta.user(a).await.is(200);
    let groups = &person.body["groups"];
    assert_eq!(
        (&groups[0]["value"], &groups[0]["display"], groups[1].is_null()),
        (&json!(id), &json!("Sales"), true)
    );

    let put = scene.okta.with_body("PUT", &format!("/Groups/{id}"), &group("Sales 2", &[b, c])).await.is(200);
    assert_eq!((&put.body["displayName"], members(&put.body)), (&json!("Sales 2"), vec![b, c]));
    let patched = scene
        .okta
        .patch_group(
            &id,
            json!([
                { "op": "remove", "path": format!("members[value eq \"{b}\"]") },
                { "op": "add", "path": "members", "value": [{ "value": a, "display": "a" }] },
            ]),
        )
        .await
        .is(200);
    assert_eq!(members(&patched.body), [a, c]);
    let renamed = scene
        .okta
        .patch_group(&id, json!([{ "op": "replace", "value": { "id": id, "displayName": "S" } }]))
        .await;
    assert_eq!((&renamed.body["displayName"], members(&renamed.body)), (&json!("S"), vec![a, c]));

    scene.okta.delete(c).await.is(204);
    assert_eq!(members(&scene.okta.group(&id).await.is(200).body), [a], "a deleted user is not a member");
    scene.okta.send(scene.okta.request("DELETE", &format!("/Groups/{id}"))).await.is(204);
    for method in ["GET", "DELETE"] {
        scene.okta.send(scene.okta.request(method, &format!("/Groups/{id}"))).await.is_error(404);
    }
    assert!(scene.okta.user(a).await.is(200).body.get("groups").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_groups_can_be_selected_and_excluded() {
    let scene = Scene::of("group-shown", 1).await;
    let a = scene.people[0].as_str();
    let id = scene.group("Shown", &[a]).await.is(201).id();
    let get = async |query: &str| scene.okta.get(&format!("/Groups/{id}?{query}")).await.is(200).body;
    for hidden in ["excludedAttributes=members", "attributes=displayName"] {
        assert!(get(hidden).await.get("members").is_none(), "{hidden}");
    }
    assert_eq!(members(&get("attributes=members").await), [a]);
    assert_eq!(get("attributes=members.value").await["members"], json!([{ "value": a }]));
    let called = json!([{ "display": "someone@okta.example" }]);
    assert_eq!(get("attributes=members.display").await["members"], called);
    let user = async |query: &str| scene.okta.get(&format!("/Users/{a}?{query}")).await.is(200).body;
    assert!(user("excludedAttributes=groups").await.get("groups").is_none());
    assert_eq!(user("attributes=groups").await["groups"][0]["value"], json!(id));

    let listed = scene.okta.get("/Groups?excludedAttributes=members").await.is(200);
    assert!(listed.resources()[0].get("members").is_none());
    assert_eq!(members(&scene.okta.get("/Groups").await.is(200).resources()[0]), [a]);
    assert_eq!(scene.okta.get("/Users").await.is(200).resources()[0]["groups"][0]["value"], json!(id));
    // The answer to a change shows them too.
    assert_eq!(scene.okta.set_active(a, true).await.is(200).body["groups"][0]["value"], json!(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_requests_check_the_version() {
    let scene = Scene::of("group-version", 1).await;
    let a = scene.people[0].as_str();
    let made = scene.group("Guarded", &[]).await.is(201);
    let (id, old) = (made.id(), made.header("etag").to_owned());
    assert_eq!(
        scene.conditionally("GET", &id, ("If-None-Match", &old), &json!({})).await.is(304).header("etag"),
        old
    );

    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": a }] }]);
    let new = scene.okta.patch_group(&id, add.clone()).await.is(200).header("etag").to_owned();
    assert_ne!(new, old, "another member changes the version");
    assert_eq!(
        scene.okta.patch_group(&id, add.clone()).await.is(200).header("etag"),
        new,
        "an existing member changes nothing"
    );
    scene.conditionally("GET", &id, ("If-None-Match", &old), &json!({})).await.is(200);

    let body = json!({ "schemas": [PATCH_OP], "Operations": add });
    scene.conditionally("PATCH", &id, ("If-Match", &old), &body).await.is_error(412);
    scene.conditionally("PUT", &id, ("If-Match", &old), &group("Other", &[])).await.is_error(412);
    scene.conditionally("DELETE", &id, ("If-Match", &old), &json!({})).await.is_error(412);
    assert_eq!(scene.okta.group(&id).await.is(200).header("etag"), new, "nothing changed");
    scene.conditionally("PUT", &id, ("If-Match", &new), &group("Other", &[a])).await.is(200);
    scene.conditionally("DELETE", &id, ("If-Match", "*"), &json!({})).await.is(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_member_is_rejected_or_skipped_by_the_tenants_setting() {
    let scene = Scene::of("group-unknown", 1).await;
    let a = scene.people[0].as_str();
    for unknown in [NOBODY, "not-an-id"] {
        let refused = scene.group("Refused", &[a, unknown]).await.is_error_of(400, "invalidValue");
        assert!(
            refused.detail().contains("members[1]") && !refused.detail().contains(unknown),
            "{}",
            refused.detail()
        );
    }
    assert_eq!(scene.okta.get("/Groups").await.is(200).total(), 0, "nothing was changed");
    let id = scene.group("Kept", &[a]).await.is(201).id();
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": NOBODY }] }]);
    scene.okta.patch_group(&id, add.clone()).await.is_error_of(400, "invalidValue");

    let said = scene.stack.rollcall(&["tenant", "set", &scene.tenant.name, "unknown_members=skip"]).await;
    said.well();
    let skipped = eventually("the setting is in force", Duration::from_secs(5), async || {
        Some(scene.okta.patch_group(&id, add.clone()).await).filter(|answer| answer.status == 200)
    })
    .await;
    assert_eq!((skipped.header("rollcall-skipped-members"), members(&skipped.body)), ("1", vec![a]));
    let made = scene.group("Skipping", &[NOBODY, a, "x"]).await.is(201);
    assert_eq!((made.header("rollcall-skipped-members"), members(&made.body)), ("2", vec![a]));
    assert_eq!(scene.group("Whole", &[a]).await.is(201).header("rollcall-skipped-members"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_groups_and_users_are_not_found() {
    let scene = Scene::of("group-own", 1).await;
    let other = Scene::of("group-other", 1).await;
    let id = scene.group("Mine", &[&scene.people[0]]).await.is(201).id();
    other.okta.group(&id).await.is_error(404);
    other
        .okta
        .patch_group(&id, json!([{ "op": "replace", "path": "displayName", "value": "x" }]))
        .await
        .is_error(404);
    other.okta.send(other.okta.request("DELETE", &format!("/Groups/{id}"))).await.is_error(404);
    other.group("Thieves", &[&scene.people[0]]).await.is_error_of(400, "invalidValue");
    assert_eq!(other.okta.get("/Groups").await.is(200).total(), 0);
}

/// Okta pushes up to 256 members per PATCH, and does not want 100,000 in each answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_patch_of_a_large_group_is_answered_without_its_members() {
    const MANY: usize = 1_001;
    let scene = Scene::of("group-large", 0).await;
    let operations: Vec<Value> = (0..MANY)
        .map(|n| {
            let data = person(&format!("l{n}@group-large.example"), "Lar", "Ge");
            json!({ "method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": data })
        })
        .collect();
    let mut ids: Vec<String> = Vec::new();
    for operations in operations.chunks(200) {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
        let answer = scene.okta.with_body("POST", "/Bulk", &body).await.is(200);
        let made = answer.body["Operations"].as_array().unwrap().clone();
        ids.extend(
            made.iter().map(|made| made["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()),
        );
    }
    let people: Vec<&str> = ids.iter().map(String::as_str).collect();
    let made = scene.group("Large", &people[..1_000]).await.is(201);
    let id = made.id();
    assert_eq!(members(&made.body).len(), 1_000, "a POST returns the whole group");

    let rename = json!([{ "op": "replace", "path": "displayName", "value": "Larger" }]);
    assert_eq!(members(&scene.okta.patch_group(&id, rename).await.is(200).body).len(), 1_000);
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": people[1_000] }] }]);
    let patched = scene.okta.patch_group(&id, add.clone()).await.is(204);
    assert_eq!((patched.text.as_str(), patched.header("etag").is_empty()), ("", false));
    let body = json!({ "schemas": [PATCH_OP], "Operations": add });
    let asked = scene
        .okta
        .with_body("PATCH", &format!("/Groups/{id}?excludedAttributes=members"), &body)
        .await
        .is(200);
    assert_eq!((&asked.body["displayName"], members(&asked.body).len()), (&json!("Larger"), 0));
    let asked =
        scene.okta.with_body("PATCH", &format!("/Groups/{id}?attributes=members"), &body).await.is(200);
    assert_eq!(members(&asked.body).len(), MANY);
    assert_eq!(scene.okta.group(&id).await.is(200).header("etag"), patched.header("etag"));
}
