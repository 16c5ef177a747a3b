//! A user's life cycle in Okta, request by request: assigned, updated, deactivated, reactivated.

use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::{PASSWORD, person};
use tests::{Answer, Stack, Tenant, eventually};

async fn company(stack: &Stack, name: &str) -> Tenant {
    stack.tenant(name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn okta_tests_its_credentials_with_two_reads() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "credentials").await.okta();
    for list in okta.test_credentials().await {
        let list = list.is(200);
        assert_eq!(list.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
        assert_eq!(list.body["totalResults"], json!(0));
        assert_eq!(list.body["startIndex"], json!(1));
        assert_eq!(list.body["itemsPerPage"], json!(0));
        assert!(list.resources().is_empty());
        assert!(list.header("content-type").starts_with("application/scim+json"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_assigned_updated_deactivated_and_reactivated() {
    let stack = Stack::shared().await;
    let acme = company(&stack, "life").await;
    let okta = acme.okta();

    // Okta looks first; no match is an empty list, not a 404.
    assert_eq!(okta.find("ada@life.example").await.is(200).body["totalResults"], json!(0));

    // Then it creates the user, and expects the whole user in the answer.
    let created = okta.create(&person("Ada@life.example", "Ada", "Lovelace")).await.is(201);
    let id = created.id();
    assert_eq!(created.header("location"), created.body["meta"]["location"].as_str().unwrap());
    assert_eq!(created.header("location"), format!("{}/scim/v2/Users/{id}", stack.origin()));
    assert_eq!(created.header("etag"), created.body["meta"]["version"].as_str().unwrap());
    assert!(created.header("etag").starts_with("W/\""), "{}", created.header("etag"));
    assert_eq!(created.body["userName"], "Ada@life.example");
    assert_eq!(created.body["active"], json!(true));
    assert_eq!(created.body["meta"]["resourceType"], "User");
    assert_eq!(created.body["externalId"], "00u-Ada@life.example");
    no_password(&created);

    // The answer agrees with the database: the row, and the command with its verdict.
    let row = stack.db().user(&id).await.unwrap();
    assert_eq!(row["user_name"], "Ada@life.example");
    assert_eq!(
        (&row["origin"], &row["role"], &row["archived_at"]),
        (&json!("scim"), &json!("learner"), &Value::Null)
    );
    assert!(!row.to_string().contains(PASSWORD), "the password is stored");
    let ticket = row["created_ticket"].as_str().unwrap();
    let command = stack.db().one(&format!("select * from commands where id = '{ticket}'")).await;
    assert_eq!((&command["delivery"], &command["status"]), (&json!("replied"), &json!(201)));
    assert_eq!(command["outcome"]["record"]["resource"], json!({}), "it is stored apart");
    let recent = stack.db().one(&format!("select * from recent_resources where command = '{ticket}'")).await;
    assert_eq!(recent["resource"], row["resource"]);
    let receipt = format!("select 1 from receipts where command = '{ticket}'");
    eventually("there is a receipt", Duration::from_secs(10), async || {
        (stack.db().count(&receipt).await == 1).then_some(())
    })
    .await;

    // A GET immediately afterwards sees the user, by id, externalId, and userName (case-insensitive).
    assert_eq!(okta.user(&id).await.is(200).body, created.body);
    for filter in [
        "userName eq \"ADA@LIFE.EXAMPLE\"".to_owned(),
        "USERNAME EQ \"ada@life.example\"".to_owned(),
        "externalId eq \"00u-Ada@life.example\"".to_owned(),
        format!("id eq \"{id}\""),
        "urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"ada@life.example\"".to_owned(),
    ] {
        let found = okta.filter(&filter).await.is(200);
        assert_eq!(found.total(), 1, "{filter}");
        assert_eq!(found.resources()[0]["id"], json!(id), "{filter}");
        no_password(&found);
    }
    assert_eq!(okta.filter("externalId eq \"00U-ADA@LIFE.EXAMPLE\"").await.is(200).total(), 0, "caseExact");

    // An update: our representation is sent back with changes merged in.
    let changes = json!({ "title": "Countess", "name": { "familyName": "King" } });
    let updated = okta.update(&id, &changes).await.is(200);
    assert_eq!(updated.body["title"], "Countess");
    assert_eq!(updated.body["name"]["givenName"], "Ada");
    assert_ne!(updated.header("etag"), created.header("etag"));
    no_password(&updated);
    assert_eq!(stack.db().user(&id).await.unwrap()["job_title"], "Countess");

    // Deactivated: archived, and still found.
    let archived = okta.set_active(&id, false).await.is(200);
    assert_eq!(archived.body["active"], json!(false));
    assert!(stack.db().user(&id).await.unwrap()["archived_at"].is_string());
    let found = okta.find("ada@life.example").await.is(200);
    assert_eq!((found.total(), &found.resources()[0]["active"]), (1, &json!(false)));

    // Reactivated: the same account.
    let back = okta.set_active(&id, true).await.is(200);
    assert_eq!((back.id(), &back.body["active"]), (id.clone(), &json!(true)));
    assert_eq!(back.body["title"], "Countess");
    assert!(stack.db().user(&id).await.unwrap()["archived_at"].is_null());

    // A wizard app does the same with PUT.
    let archived = okta.update(&id, &json!({ "active": false })).await.is(200);
    assert_eq!(archived.body["active"], json!(false));
    assert!(stack.db().user(&id).await.unwrap()["archived_at"].is_string());
    assert_eq!(okta.update(&id, &json!({ "active": true })).await.is(200).id(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_user_with_the_same_name_is_a_conflict_in_any_case() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "twice").await.okta();
    let first = okta.create(&person("grace@twice.example", "Grace", "Hopper")).await.is(201);
    for name in ["grace@twice.example", "GRACE@Twice.Example"] {
        let mut other = person(name, "Gracious", "Other");
        other["externalId"] = json!("somebody-else");
        okta.create(&other).await.is_error_of(409, "uniqueness");
    }
    assert_eq!(okta.user(&first.id()).await.body, first.body, "a rejected POST changes nothing");
    // Mail addresses need not be unique: two users may share one.
    let mut colleague = person("colleague@twice.example", "Jean", "Jennings");
    colleague["emails"][0]["value"] = json!("grace@twice.example");
    let colleague = okta.create(&colleague).await.is(201).id();
    // A rename to a taken name is a conflict too.
    okta.update(&colleague, &json!({ "userName": "Grace@twice.example" }))
        .await
        .is_error_of(409, "uniqueness");
    let rename = json!([{ "op": "replace", "value": { "userName": "grace@twice.example" } }]);
    okta.patch(&colleague, rename).await.is_error_of(409, "uniqueness");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_user_keeps_the_id_and_frees_the_old_name() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "rename").await.okta();
    let id = okta.create(&person("old@rename.example", "Mary", "Somerville")).await.is(201).id();
    let renamed = okta.update(&id, &json!({ "userName": "new@rename.example" })).await.is(200);
    assert_eq!((renamed.id(), &renamed.body["userName"]), (id.clone(), &json!("new@rename.example")));
    assert_eq!(okta.find("old@rename.example").await.is(200).total(), 0);
    assert_eq!(okta.find("NEW@rename.example").await.is(200).total(), 1);
    // The old name is free.
    let mut other = person("old@rename.example", "Other", "Person");
    other["externalId"] = json!("00u-other");
    okta.create(&other).await.is(201);
    // A user's own name in another case is not a conflict.
    let recased = okta.update(&id, &json!({ "userName": "New@Rename.example" })).await.is(200);
    assert_eq!(recased.body["userName"], "New@Rename.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_is_not_found_by_any_method() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "unknown").await.okta();
    let user = person("nobody@unknown.example", "No", "Body");
    for id in ["0192f7a0-0000-7000-8000-000000000000", "not-a-uuid", "1", "%C3%A4"] {
        okta.user(id).await.is_error(404);
        okta.put(id, &user).await.is_error(404);
        okta.set_active(id, false).await.is_error(404);
        okta.delete(id).await.is_error(404);
    }
    assert_eq!(okta.find("nobody@unknown.example").await.total(), 0, "PUT never creates");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_is_gone_and_the_name_is_free() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "deleted").await.okta();
    let ada = person("ada@deleted.example", "Ada", "Lovelace");
    let id = okta.create(&ada).await.is(201).id();
    let gone = okta.delete(&id).await.is(204);
    assert_eq!(gone.text, "");
    okta.user(&id).await.is_error(404);
    okta.put(&id, &ada).await.is_error(404);
    okta.set_active(&id, true).await.is_error(404);
    okta.delete(&id).await.is_error(404);
    assert_eq!(okta.find("ada@deleted.example").await.is(200).total(), 0);
    assert_ne!(okta.create(&ada).await.is(201).id(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_reads_stable_pages_and_the_exact_total() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "import").await.okta();
    for n in 0..7 {
        okta.create(&tests::load::somebody("import", n)).await.is(201);
    }
    let mut ids = Vec::new();
    for start in [1, 4, 7] {
        let page = okta.get(&format!("/Users?startIndex={start}&count=3")).await.is(200);
        assert_eq!((page.total(), page.body["startIndex"].as_u64()), (7, Some(start)));
        assert_eq!(page.body["itemsPerPage"].as_u64(), Some(page.resources().len() as u64));
        ids.extend(page.resources().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((all, ids.len()), (7, 7), "each once");
    // Totals only; past the end; values below the minimum count as the minimum (RFC 7644 §3.4.2.4).
    for (query, first_total, shown) in [
        ("count=0", 7, 0),
        ("startIndex=8&count=3", 7, 0),
        ("startIndex=0&count=2", 7, 2),
        ("startIndex=-5&count=2", 7, 2),
        ("count=-1", 7, 0),
        ("count=100000", 7, 7),
        ("unknown=parameter", 7, 7),
    ] {
        let page = okta.get(&format!("/Users?{query}")).await.is(200);
        assert_eq!((page.total(), page.resources().len()), (first_total, shown), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_may_be_empty_and_missing_required_ones_are_named() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "required").await.okta();
    let mut empty = person("empty@required.example", "Em", "Pty");
    for (name, value) in
        [("title", json!("")), ("nickName", Value::Null), ("phoneNumbers", json!([])), ("locale", json!(""))]
    {
        empty[name] = value;
    }
    let id = okta.create(&empty).await.is(201).id();
    okta.update(&id, &json!({ "displayName": "", "timezone": null })).await.is(200);

    for (parent, name) in [("", "userName"), ("/name", "givenName"), ("/name", "familyName"), ("", "emails")]
    {
        let mut user = person("missing@required.example", "Miss", "Ing");
        user.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        let refused = okta.create(&user).await.is_error_of(400, "invalidValue");
        assert!(refused.detail().contains(name), "{name}: {}", refused.detail());
        okta.put(&id, &user).await.is_error_of(400, "invalidValue");
    }
    assert_eq!(okta.find("missing@required.example").await.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn enterprise_attributes_are_stored_in_columns_and_returned() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "enterprise").await.okta();
    const URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let mut user = person("e@enterprise.example", "Edith", "Clarke");
    user["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:User", URN]);
    user[URN] = json!({
        "costCenter": "Lisbon", "division": "Power", "department": "Grid", "employeeNumber": "701984",
        "manager": { "value": "26118915", "displayName": "John Smith" },
    });
    let created = okta.create(&user).await.is(201);
    assert_eq!(created.body[URN], user[URN]);
    assert!(created.body["schemas"].as_array().unwrap().contains(&json!(URN)));
    let row = stack.db().user(&created.id()).await.unwrap();
    for (column, value) in [
        ("location", "Lisbon"),
        ("business_unit", "Power"),
        ("department", "Grid"),
        ("employee_number", "701984"),
        ("manager_name", "John Smith"),
        ("email", "e@enterprise.example"),
        ("given_name", "Edith"),
        ("family_name", "Clarke"),
        ("locale", "en-US"),
        ("display_name", "Edith Clarke"),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_external_id_does_not_take_over_an_archived_account() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "again").await.okta();
    let user = person("a@again.example", "A", "Gain");
    let id = okta.create(&user).await.is(201).id();
    let archived = okta.set_active(&id, false).await.is(200);
    let mut other = user.clone();
    other["externalId"] = json!("somebody-else");
    okta.create(&other).await.is_error_of(409, "uniqueness");
    assert_eq!(okta.user(&id).await.is(200).body, archived.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_can_be_selected_and_excluded() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "projection").await.okta();
    let id = okta.create(&person("p@projection.example", "Pro", "Jection")).await.is(201).id();
    for path in [format!("/Users/{id}?"), "/Users?".to_owned()] {
        let get = async |query: &str| {
            let answer = okta.get(&format!("{path}{query}")).await.is(200);
            answer.resources().first().cloned().unwrap_or(answer.body)
        };
        let some = get("attributes=name.givenName,USERNAME").await;
        assert_eq!((&some["id"], &some["userName"]), (&json!(id), &json!("p@projection.example")));
        assert_eq!((&some["name"], some.get("emails")), (&json!({ "givenName": "Pro" }), None));
        let most = get("excludedAttributes=emails,name.familyName,id").await;
        assert_eq!((&most["id"], most.get("emails")), (&json!(id), None));
        assert_eq!(most["name"], json!({ "givenName": "Pro" }));
        okta.get(&format!("{path}attributes=userName&excludedAttributes=emails")).await.is_error(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_links_use_the_proxys_origin() {
    let stack = Stack::shared().await;
    let okta = company(&stack, "proxied").await.okta();
    let user = person("p@proxied.example", "Pro", "Xied").to_string();
    let request = okta
        .request("POST", "/Users")
        .header("Host", "scim.example.com")
        .header("X-Forwarded-Proto", "https");
    let created = okta.send(request.body(user)).await.is(201);
    let expected = format!("https://scim.example.com/scim/v2/Users/{}", created.id());
    assert_eq!(
        (created.header("location"), &created.body["meta"]["location"]),
        (expected.as_str(), &json!(expected))
    );
}

fn no_password(answer: &Answer) {
    assert!(!answer.text.contains("password") && !answer.text.contains(PASSWORD), "{}", answer.text);
}
