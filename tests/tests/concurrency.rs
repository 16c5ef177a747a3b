//! Concurrent requests: each resource behaves as if its changes were made one after the other.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::okta::{membership, person};
use tests::{Okta, Stack, Tenant, check};

/// The tenant's clients, alternating between both ingests.
fn clients(stack: &Stack, tenant: &Tenant, count: usize) -> Vec<Okta> {
    let both = [0, 1].map(|n| tenant.okta_at(&stack.origin_of(n)));
    (0..count).map(|n| both[n % 2].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_sixteen_concurrent_posts_of_a_name_wins() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("race").await;
    for round in 0..5 {
        let posts = clients(&stack, &tenant, 16).into_iter().enumerate().map(|(n, okta)| async move {
            // The name alternates in case, and each POST is for another person.
            let name: String = format!("racer-{round}@race.example");
            let name = if n % 2 == 0 { name } else { name.to_uppercase() };
            let mut user = person(&name, "Race", &format!("Number {n}"));
            user["externalId"] = json!(format!("{round}-{n}"));
            okta.once(okta.request("POST", "/Users").body(user.to_string())).await
        });
        let answers = join_all(posts).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!((made.len(), refused.len()), (1, 15));
        for answer in refused {
            answer.is_error_of(409, "uniqueness");
        }
        let found = tenant.okta().find(&format!("racer-{round}@race.example")).await;
        assert_eq!((found.total(), &found.resources()[0]["id"]), (1, &made[0].body["id"]));
    }
    assert_eq!(stack.db().count(&format!("select 1 from users where tenant_id = '{}'", tenant.id)).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_sixteen_concurrent_posts_of_a_unique_external_id_wins() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("same").await;
    tenant.set(&stack, &["external_id=unique"]).await;
    for round in 0..8 {
        let posts = clients(&stack, &tenant, 16).into_iter().enumerate().map(|(n, okta)| async move {
            let mut user = person(&format!("racer-{round}-{n}@same.example"), "Race", "Same");
            user["externalId"] = json!(format!("the-same-{round}"));
            okta.once(okta.request("POST", "/Users").body(user.to_string())).await
        });
        let mut statuses: Vec<u16> = join_all(posts).await.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!((statuses[0], &statuses[1..]), (201, &[409; 15][..]), "{round}");
    }
}

/// Deleting a user removes memberships, concurrently with the same user being added.
#[tokio::test(flavor = "multi_thread")]
async fn users_who_are_deleted_while_they_are_added_are_not_counted() {
    const PEOPLE: usize = 24;
    let stack = Stack::shared().await;
    let tenant = stack.tenant("leavers").await;
    let pushed = tests::load::push(&tenant.okta(), "leavers", PEOPLE, 16).await;
    let ids: Vec<String> = pushed.into_iter().map(|person| person.answer.is(201).id()).collect();
    let group = tenant.okta().push_group("Leavers").await.is(201).id();
    let both = clients(&stack, &tenant, 2 * PEOPLE);
    let (adding, leaving) = both.split_at(PEOPLE);
    let add = adding.iter().zip(&ids).map(|(okta, id)| okta.patch_group(&group, membership(&[], &[id])));
    let leave = leaving.iter().zip(&ids).map(|(okta, id)| okta.delete(id));
    let (added, left) = futures_util::join!(join_all(add), join_all(leave));
    assert!(added.iter().all(|answer| matches!(answer.status, 200 | 400)), "{added:?}");
    assert!(left.iter().all(|answer| answer.status == 204), "{left:?}");
    check::every_group_is_counted(&stack).await;
    assert_eq!(tenant.okta().group(&group).await.is(200).body["members"], json!([]), "nobody is left");
    assert_eq!(tenant.okta().get("/Users").await.is(200).total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_concurrent_patches_are_all_applied() {
    const ATTRIBUTES: [&str; 6] =
        ["title", "nickName", "userType", "preferredLanguage", "timezone", "displayName"];
    const URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    const EXTENSION: [&str; 5] = ["employeeNumber", "costCenter", "organization", "division", "department"];
    let stack = Stack::shared().await;
    let tenant = stack.tenant("patches").await;
    let id = tenant.okta().create(&person("p@patches.example", "Pat", "Ched")).await.is(201).id();

    let mut operations: Vec<(String, Value)> = Vec::new();
    operations.extend(ATTRIBUTES.map(|name| {
        (format!("/{name}"), json!({ "op": "replace", "path": name, "value": format!("new {name}") }))
    }));
    operations.extend(EXTENSION.map(|name| {
        (
            format!("/{URN}/{name}"),
            json!({ "op": "replace", "path": format!("{URN}:{name}"), "value": format!("new {name}") }),
        )
    }));
    operations.extend(["givenName", "familyName", "middleName", "formatted"].map(|name| {
        (
            format!("/name/{name}"),
            json!({ "op": "replace", "path": format!("name.{name}"), "value": format!("new {name}") }),
        )
    }));
    // Elements of lists: fifteen phone numbers, added one by one.
    operations.extend((0..15).map(|n| {
        let telephone = json!({ "type": "other", "value": format!("+1 555 01{n:02}") });
        (String::new(), json!({ "op": "add", "path": "phoneNumbers", "value": [telephone] }))
    }));
    assert_eq!(operations.len(), 30);

    let patches = clients(&stack, &tenant, 30).into_iter().zip(&operations).map(|(okta, (_, operation))| {
        let id = id.clone();
        async move { okta.patch(&id, json!([operation])).await.is(200) }
    });
    let answers = join_all(patches).await;
    let user = tenant.okta().user(&id).await.is(200).body;
    for (pointer, operation) in operations.iter().filter(|(pointer, _)| !pointer.is_empty()) {
        assert_eq!(user.pointer(pointer), Some(&operation["value"]), "lost: {operation}");
    }
    assert_eq!(user["phoneNumbers"].as_array().unwrap().len(), 15, "{user}");

    // Each answer has a different version, and the row counts them all.
    let mut versions: Vec<_> = answers.iter().map(|answer| answer.header("etag").to_owned()).collect();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 30);
    assert_eq!(stack.db().user(&id).await.unwrap()["version"], json!(31));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_pair_of_get_and_put_has_no_further_effect() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("pairs").await;
    let okta = tenant.okta();
    let id = okta.create(&person("old@pairs.example", "Pa", "Ir")).await.is(201).id();
    let changes = json!({ "title": "Twice" });
    // As observed in practice: the same pair twice, interleaved, then a deactivation and a lookup.
    let (first, second) = tokio::join!(okta.update(&id, &changes), okta.update(&id, &changes));
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.body, second.body);
    okta.set_active(&id, false).await.is(200);
    assert_eq!(okta.find("old@pairs.example").await.is(200).total(), 1);
    assert_eq!(stack.db().user(&id).await.unwrap()["version"], json!(3), "created, changed, archived");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_ten_concurrent_changes_with_the_same_if_match_wins() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("guarded").await;
    let created = tenant.okta().create(&person("g@guarded.example", "Gu", "Arded")).await.is(201);
    let (id, etag) = (created.id(), created.header("etag").to_owned());
    let patches = clients(&stack, &tenant, 10).into_iter().enumerate().map(|(n, okta)| {
        let request = okta.request("PATCH", &format!("/Users/{id}")).header("If-Match", &etag);
        let body = json!({ "schemas": [tests::okta::PATCH_OP], "Operations": [{ "op": "replace", "path": "title", "value": format!("{n}") }] });
        async move { okta.send(request.body(body.to_string())).await }
    });
    let answers = join_all(patches).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 412)));
    assert_eq!(tenant.okta().user(&id).await.body["title"], won[0].body["title"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_isolated_under_load() {
    let stack = Stack::shared().await;
    let (a, b) = (stack.tenant("load-a").await, stack.tenant("load-b").await);
    let (okta_a, okta_b) = (a.okta(), b.okta_at(&stack.origin_of(1)));
    // The same names in both tenants.
    let (pushed_a, pushed_b) =
        tokio::join!(tests::load::push(&okta_a, "load", 150, 8), tests::load::push(&okta_b, "load", 150, 8));
    for (tenant, pushed) in [(&a, pushed_a), (&b, pushed_b)] {
        assert!(pushed.iter().all(tests::load::Pushed::is_acknowledged));
        assert_eq!(tenant.okta().get("/Users?count=0").await.total(), 150);
        let rows = stack.db().rows(&format!("select id from users where tenant_id = '{}'", tenant.id)).await;
        let mut ids: Vec<_> = pushed.iter().map(|p| p.answer.id()).collect();
        let mut stored: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        stored.sort();
        assert_eq!(ids, stored);
    }
}
