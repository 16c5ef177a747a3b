//! An externalId shared by several users (RFC 7643 §3.1: its uniqueness is the client's responsibility), restoring a
//! user by it, and tenants that require it to be unique.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::okta::{PATCH_OP, group, person};
use tests::okta_api::{OktaApi, user};
use tests::{Okta, Stack};

/// A user with an externalId.
fn known_as(user_name: &str, external_id: &str) -> Value {
    let mut person = person(user_name, "Per", "Son");
    person["externalId"] = json!(external_id);
    person
}

/// Sends a bulk request with one operation; returns its status and answer.
async fn bulk(okta: &Okta, mut operation: Value) -> (String, Value) {
    if operation["method"] == "POST" {
        operation["bulkId"] = json!("one");
    }
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let body = json!({ "schemas": [urn], "Operations": [operation] });
    let result = okta.with_body("POST", "/Bulk", &body).await.is(200).body["Operations"][0].clone();
    (result["status"].as_str().unwrap().to_owned(), result)
}

fn set_external_id(external_id: &str) -> Value {
    json!([{ "op": "replace", "path": "externalId", "value": external_id }])
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_may_share_an_external_id_however_it_is_set() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("shared-id").await.okta();
    let first = okta.create(&known_as("first@shared-id.example", "x")).await.is(201).id();
    okta.create(&known_as("second@shared-id.example", "x")).await.is(201);
    let [put, patched, pathless, in_bulk] = ["put", "patched", "pathless", "bulk"]
        .map(|name| (format!("{name}@shared-id.example"), name.to_owned()));
    let make = async |(name, id): &(String, String)| okta.create(&known_as(name, id)).await.is(201).id();
    let id = make(&put).await;
    assert_eq!(okta.put(&id, &known_as(&put.0, "x")).await.is(200).body["externalId"], "x");
    let id = make(&patched).await;
    assert_eq!(okta.patch(&id, set_external_id("x")).await.is(200).body["externalId"], "x");
    let id = make(&pathless).await;
    let value = json!([{ "op": "Replace", "value": { "externalId": "x" } }]);
    assert_eq!(okta.patch(&id, value).await.is(200).body["externalId"], "x");
    let id = make(&in_bulk).await;
    for operation in [
        json!({ "method": "PATCH", "path": format!("/Users/{id}"), "data": { "schemas": [PATCH_OP], "Operations": set_external_id("x") } }),
        json!({ "method": "PUT", "path": format!("/Users/{id}"), "data": known_as(&in_bulk.0, "x") }),
        json!({ "method": "POST", "path": "/Users", "data": known_as("made-in-bulk@shared-id.example", "x") }),
    ] {
        let (status, result) = bulk(&okta, operation).await;
        assert!(status == "200" || status == "201", "{result}");
    }
    let found = okta.filter("externalId eq \"x\"").await.is(200);
    assert_eq!((found.total(), found.resources().len()), (7, 7), "all of them are found");
    // The userName must be unique.
    okta.create(&known_as("FIRST@shared-id.example", "another")).await.is_error_of(409, "uniqueness");
    assert_eq!(okta.user(&first).await.is(200).body["userName"], "first@shared-id.example");

    for name in ["One", "Two"] {
        let mut made = group(name, &[]);
        made["externalId"] = json!("x");
        okta.with_body("POST", "/Groups", &made).await.is(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_who_share_one_are_archived_and_restored_as_themselves() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("sharers").await.okta();
    let people = ["ada", "bob"].map(|name| known_as(&format!("{name}@sharers.example"), "shared"));
    let ids = [okta.create(&people[0]).await.is(201).id(), okta.create(&people[1]).await.is(201).id()];
    for order in [[0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]] {
        let mut away = [false, false];
        for who in order {
            away[who] = !away[who];
            if away[who] {
                okta.set_active(&ids[who], false).await.is(200);
                continue;
            }
            let back = okta.create(&people[who]).await.is(201);
            assert_eq!((back.id(), &back.body["active"]), (ids[who].clone(), &json!(true)), "{order:?}");
        }
    }
    // After one took the other's externalId, either value restores the right user.
    okta.patch(&ids[1], set_external_id("bobs")).await.is(200);
    okta.patch(&ids[1], set_external_id("shared")).await.is(200);
    okta.set_active(&ids[0], false).await.is(200);
    okta.set_active(&ids[1], false).await.is(200);
    let back = okta.create(&known_as("bob@sharers.example", "bobs")).await.is(201);
    assert_eq!((back.id(), &back.body["externalId"]), (ids[1].clone(), &json!("bobs")));
    assert_eq!(okta.create(&people[0]).await.is(201).id(), ids[0]);
    assert_eq!(okta.get("/Users").await.is(200).total(), 2, "no user was duplicated");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_id_restores_a_user_only_if_nobody_else_has_it() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("returns").await.okta();
    let id = okta.create(&known_as("old@returns.example", "hers")).await.is(201).id();
    okta.set_active(&id, false).await.is(200);
    let renamed = okta.create(&known_as("new@returns.example", "hers")).await.is(201);
    assert_eq!((renamed.id(), &renamed.body["userName"]), (id.clone(), &json!("new@returns.example")));
    // While she is active, a user with the same externalId is a different person; from then on it identifies no user.
    let other = okta.create(&known_as("other@returns.example", "hers")).await.is(201).id();
    assert_ne!(other, id);
    okta.set_active(&id, false).await.is(200);
    let third = okta.create(&known_as("third@returns.example", "hers")).await.is(201).id();
    assert!(third != id && third != other);
    for id in [&other, &third] {
        okta.set_active(id, false).await.is(200);
    }
    let fourth = okta.create(&known_as("fourth@returns.example", "hers")).await.is(201).id();
    assert!(![&id, &other, &third].contains(&&fourth));
    // Each is found by name, even without an externalId.
    assert_eq!(okta.create(&known_as("new@returns.example", "hers")).await.is(201).id(), id);
    assert_eq!(okta.create(&person("OTHER@returns.example", "Per", "Son")).await.is(201).id(), other);

    // A new hire with the name of a former user is a different person.
    let left = okta.create(&known_as("recycled@returns.example", "left")).await.is(201).id();
    okta.set_active(&left, false).await.is(200);
    let hired = okta.create(&known_as("recycled@returns.example", "hired")).await;
    hired.is_error_of(409, "uniqueness");
    assert_eq!(okta.user(&left).await.is(200).body["active"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_can_require_uniqueness_for_post_put_and_patch() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("unique-id").await;
    tenant.set(&stack, &["external_id=unique"]).await;
    let okta = tenant.okta();
    okta.create(&known_as("ada@unique-id.example", "x")).await.is(201);
    let bob = known_as("bob@unique-id.example", "y");
    let id = okta.create(&bob).await.is(201).id();
    let path = format!("/Users/{id}");
    let taken = |answer: &tests::Answer| {
        assert!(
            answer.detail().contains("externalId") && !answer.detail().contains("@"),
            "{}",
            answer.detail()
        );
    };
    taken(&okta.create(&known_as("eve@unique-id.example", "x")).await.is_error_of(409, "uniqueness"));
    taken(&okta.put(&id, &known_as("bob@unique-id.example", "x")).await.is_error_of(409, "uniqueness"));
    taken(&okta.patch(&id, set_external_id("x")).await.is_error_of(409, "uniqueness"));
    let data = json!({ "schemas": [PATCH_OP], "Operations": set_external_id("x") });
    let (status, result) = bulk(&okta, json!({ "method": "PATCH", "path": path, "data": data })).await;
    assert_eq!((status.as_str(), &result["response"]["scimType"]), ("409", &json!("uniqueness")));
    let (status, _) = bulk(
        &okta,
        json!({ "method": "POST", "path": "/Users", "data": known_as("e@unique-id.example", "x") }),
    )
    .await;
    assert_eq!(status, "409");
    assert_eq!(okta.user(&id).await.is(200).body["externalId"], "y", "nothing was changed");

    // A different case is a different value (caseExact); a user's own value is not a conflict; a deactivation never
    // conflicts.
    okta.patch(&id, set_external_id("X")).await.is(200);
    okta.put(&id, &bob).await.is(200);
    okta.put(&id, &bob).await.is(200);
    let leaving = json!([{ "op": "replace", "value": { "active": false, "externalId": "x" } }]);
    okta.patch(&id, leaving).await.is(200);
    okta.set_active(&id, true).await.is_error_of(409, "uniqueness");
    okta.create(&known_as("bob@unique-id.example", "x")).await.is_error_of(409, "uniqueness");
    okta.create(&bob).await.is(201);

    // Group externalIds are separate.
    for name in ["One", "Two"] {
        let mut made = group(name, &[]);
        made["externalId"] = json!("x");
        okta.with_body("POST", "/Groups", &made).await.is(201);
    }
    let said = stack.rollcall(&["tenant", "set", "unique-id", "external_id=mine"]).await;
    assert!(said.code == Some(2) && said.err.contains("`unique`"), "{:?} {}", said.code, said.err);
    let shown = stack.rollcall_json(&["tenant", "show", "unique-id"]).await;
    assert_eq!(
        (&shown["settings"]["external_id"], &shown["settings"]["discovery"]),
        (&json!("unique"), &json!("full"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_concurrent_requests_for_a_unique_external_id_wins() {
    const PEOPLE: usize = 12;
    let stack = Stack::shared().await;
    let tenant = stack.tenant("contest").await;
    tenant.set(&stack, &["external_id=unique"]).await;
    let both = [0, 1].map(|n| tenant.okta_at(&stack.origin_of(n)));
    let name = |n: usize| format!("person-{n}@contest.example");
    let made = (0..PEOPLE).map(|n| {
        let okta = both[n % 2].clone();
        async move { okta.create(&known_as(&name(n), &format!("own-{n}"))).await.is(201).id() }
    });
    let ids = join_all(made).await;
    for round in 0..6 {
        let wanted = format!("wanted-{round}");
        let asked = ids.iter().enumerate().map(|(n, id)| {
            let (okta, wanted) = (both[n % 2].clone(), wanted.clone());
            async move {
                match n % 3 {
                    0 => okta.patch(id, set_external_id(&wanted)).await,
                    1 => okta.put(id, &known_as(&name(n), &wanted)).await,
                    _ => okta.create(&known_as(&format!("new-{round}-{n}@contest.example"), &wanted)).await,
                }
            }
        });
        let answers = join_all(asked).await;
        let won = answers.iter().filter(|answer| answer.status < 300).count();
        let lost = answers
            .iter()
            .filter(|answer| answer.status == 409 && answer.scim_type() == "uniqueness")
            .count();
        assert_eq!((won, lost), (1, PEOPLE - 1), "{round}");
        assert_eq!(
            both[0].filter(&format!("externalId eq \"{wanted}\"")).await.is(200).total(),
            1,
            "{round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_users_with_one_external_id_slow_down_nobody() {
    const MANY: i64 = 30_000;
    let stack = Stack::shared().await;
    let tenant = stack.tenant("constant").await;
    let okta = tenant.okta();
    let seed = okta.create(&known_as("seed@constant.example", "constant")).await.is(201).id();
    let copies = format!(
        "insert into users (id, tenant_id, user_name_key, origin, archived_at, resource, search, search_version, version, ticket, \
         created_ticket, created_at, modified_at) \
         select gen_random_uuid(), tenant_id, n || user_name_key, origin, case when n % 2 = 0 then now() end, \
         resource || jsonb_build_object('userName', n || user_name), search, search_version, version, ticket, \
         created_ticket, created_at, modified_at from users, generate_series(1, {MANY}) n where id = '{seed}'"
    );
    stack.db().execute(&copies).await;
    stack.db().execute("analyze users").await;
    // If all of them were loaded and locked, each request would take a second and block the others.
    let posts = (0..64).map(|n| {
        let okta = okta.clone();
        async move {
            okta.once(
                okta.request("POST", "/Users")
                    .body(known_as(&format!("n{n}@constant.example"), "constant").to_string()),
            )
            .await
        }
    });
    let started = std::time::Instant::now();
    let answers = join_all(posts).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    assert!(started.elapsed().as_secs() < 10, "64 POSTs took {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_updates_only_one_of_several_users_with_the_same_external_id() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("twins").await.okta();
    let name = |n: usize| format!("person-0000{n}@twins.example");
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(okta.create(&known_as(&name(n), "mailnick")).await.is(201).id());
    }
    let alone = okta.create(&known_as("lonely@twins.example", "lonely")).await.is(201).id();
    // In the group are the third user, one with another name, and one known only by externalId.
    let users = [2, 7, 8].map(|n| {
        let mut user = user("twins", n);
        user["profile"]["nick"] = json!(if n == 8 { "lonely" } else { "mailnick" });
        user
    });
    let api = OktaApi::start(users.to_vec()).await;
    api.set(&stack, "twins", &["--archive-missing", "--limit-percent", "100"]).await;
    let map = stack.folder().join("twins.json");
    std::fs::write(&map, r#"{"external_id":"nick","region":"region","hire_date":"startDate"}"#).unwrap();
    stack.rollcall(&["pull", "set", "twins", "--map", map.to_str().unwrap()]).await.well();
    let said = stack.rollcall(&["pull", "run", "twins"]).await;
    assert!(said.out.contains("1 Okta users were skipped"), "{} {}", said.out, said.err);
    let run = &stack.rollcall_json(&["pull", "status", "twins"]).await[0]["last_run"];
    assert_eq!((&run["ambiguous"], &run["gone"]), (&json!(1), &json!(0)), "{run}");
    for (n, id) in ids.iter().enumerate() {
        let row = stack.db().user(id).await.unwrap();
        assert_eq!((row["region"].is_string(), &row["archived_at"]), (n == 2, &Value::Null), "{n}: {row}");
    }
    assert!(
        stack.db().user(&alone).await.unwrap()["region"].is_string(),
        "identified by the externalId, whatever the name"
    );
}
