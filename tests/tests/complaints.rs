//! Known complaints about other SCIM servers, by row number, and the right behaviour here: the rows that need an
//! end-to-end test. The others are unit tests.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::answer::Answer;
use tests::okta::{encode, group, members, membership, person};
use tests::{Okta, Stack, Tenant};

/// An id that no user has.
const NOBODY: &str = "0192f7a0-0000-7000-8000-000000000000";

async fn tenant(name: &str) -> (impl std::ops::Deref<Target = Stack>, Tenant, Okta) {
    let stack = Stack::shared().await;
    let tenant = stack.tenant(name).await;
    let okta = tenant.okta();
    (stack, tenant, okta)
}

/// Creates this many users; returns their ids.
async fn people(okta: &Okta, company: &str, count: usize) -> Vec<String> {
    let mut pushed = tests::load::push(okta, company, count, 16).await;
    pushed.sort_by(|a, b| a.user_name.cmp(&b.user_name));
    pushed.into_iter().map(|person| person.answer.is(201).id()).collect()
}

fn as_strs(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

/// The ids of a group's members, sorted.
fn members_of(group: &Answer) -> Vec<String> {
    let members = group.body["members"].as_array().map_or(&[][..], Vec::as_slice);
    let mut ids: Vec<_> = members.iter().map(|m| m["value"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_a_name_is_unique_in_any_case_and_keeps_its_case() {
    let (_stack, _, okta) = tenant("row-08").await;
    let made = okta.create(&person("Ada@Row-08.example", "Ada", "Lovelace")).await.is(201);
    assert_eq!(made.body["userName"], "Ada@Row-08.example");
    let mut other = person("aDA@rOW-08.eXAMPLE", "Another", "Ada");
    other["externalId"] = json!("another");
    okta.create(&other).await.is_error_of(409, "uniqueness");
    // The mail address need not be unique.
    other["userName"] = json!("another@row-08.example");
    other["emails"] = made.body["emails"].clone();
    okta.create(&other).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_09_a_user_who_is_provisioned_again_gets_the_same_account() {
    let (_stack, _, okta) = tenant("row-09").await;
    let ada = person("ada@row-09.example", "Ada", "Lovelace");
    let id = okta.create(&ada).await.is(201).id();
    okta.create(&ada).await.is_error_of(409, "uniqueness");
    okta.set_active(&id, false).await.is(200);
    // The externalId identifies the user, even after a rename.
    let mut renamed = person("ada.king@row-09.example", "Ada", "King");
    renamed["externalId"] = ada["externalId"].clone();
    let restored = okta.create(&renamed).await.is(201);
    assert_eq!((restored.id(), &restored.body["active"]), (id.clone(), &json!(true)));
    assert_eq!(restored.body["userName"], "ada.king@row-09.example");
    assert_eq!(restored.header("location"), restored.body["meta"]["location"].as_str().unwrap());
    okta.create(&renamed).await.is_error_of(409, "uniqueness");
    // Without an externalId the name identifies the user; with a different externalId it does not.
    okta.set_active(&id, false).await.is(200);
    let mut other = renamed.clone();
    other["externalId"] = json!("somebody-else");
    okta.create(&other).await.is_error_of(409, "uniqueness");
    other.as_object_mut().unwrap().remove("externalId");
    assert_eq!(okta.create(&other).await.is(201).id(), id);
    assert_eq!(okta.get("/Users").await.is(200).total(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_10_deactivated_users_are_archived_and_still_found() {
    let (stack, _, okta) = tenant("row-10").await;
    let id = okta.create(&person("ada@row-10.example", "Ada", "Lovelace")).await.is(201).id();
    for by_put in [false, true] {
        let away = match by_put {
            true => okta.update(&id, &json!({ "active": false })).await,
            false => okta.set_active(&id, false).await,
        };
        assert_eq!(away.is(200).body["active"], json!(false));
        let found = okta.find("ADA@row-10.example").await.is(200);
        assert_eq!((found.total(), &found.resources()[0]["active"]), (1, &json!(false)));
        assert_eq!(okta.user(&id).await.is(200).body["active"], json!(false));
        assert!(stack.db().user(&id).await.unwrap()["archived_at"].is_string());
        assert_eq!(okta.set_active(&id, true).await.is(200).id(), id);
        assert!(stack.db().user(&id).await.unwrap()["archived_at"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_11_renamed_users_keep_their_id_and_show_the_new_name_everywhere() {
    let (_stack, _, okta) = tenant("row-11").await;
    let id = okta.create(&person("old@row-11.example", "Ada", "Lovelace")).await.is(201).id();
    okta.create(&person("taken@row-11.example", "Grace", "Hopper")).await.is(201);
    let mut nameless = okta.user(&id).await.body;
    nameless.as_object_mut().unwrap().remove("displayName");
    okta.put(&id, &nameless).await.is(200);
    let group = json!({ "displayName": "Renamed", "members": [{ "value": id }] });
    let group = okta.with_body("POST", "/Groups", &group).await.is(201).id();

    let rename = |name: &str| json!([{ "op": "replace", "value": { "userName": name } }]);
    okta.patch(&id, rename("TAKEN@row-11.example")).await.is_error_of(409, "uniqueness");
    let renamed = okta.patch(&id, rename("new@row-11.example")).await.is(200);
    assert_eq!((renamed.id(), &renamed.body["userName"]), (id.clone(), &json!("new@row-11.example")));
    assert_eq!(okta.user(&id).await.body, renamed.body);
    assert_eq!(okta.find("old@row-11.example").await.is(200).total(), 0);
    assert_eq!(okta.find("new@row-11.example").await.is(200).resources()[0], renamed.body);
    let shown = okta.get(&format!("/Groups/{group}")).await.is(200);
    assert_eq!(shown.body["members"][0]["display"], "new@row-11.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_no_concurrent_change_of_a_group_is_lost() {
    let (stack, tenant, okta) = tenant("row-12").await;
    let ids = people(&okta, "row-12", 40).await;
    let (leaving, joining) = ids.split_at(20);
    let group = group("Busy", &as_strs(leaving));
    let id = okta.with_body("POST", "/Groups", &group).await.is(201).id();
    let clients = [0, 1].map(|n| tenant.okta_at(&stack.origin_of(n)));
    // Forty concurrent requests: one member leaves or joins in each.
    let patches = leaving
        .iter()
        .map(|id| membership(&[id], &[]))
        .chain(joining.iter().map(|id| membership(&[], &[id])));
    let sent = patches.enumerate().map(|(n, operations)| {
        let (okta, id) = (&clients[n % 2], &id);
        async move { okta.patch_group(id, operations).await.is(200) }
    });
    join_all(sent).await;
    let mut joined = joining.to_vec();
    joined.sort();
    assert_eq!(members_of(&okta.group(&id).await.is(200)), joined);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_13_repeated_requests_have_no_further_effect() {
    let (_stack, _, okta) = tenant("row-13").await;
    let ids = people(&okta, "row-13", 2).await;
    let (a, b) = (ids[0].as_str(), ids[1].as_str());
    let id = okta.with_body("POST", "/Groups", &group("Again", &[a])).await.is(201).id();
    // Adding members and removing non-members changes nothing, not even the version.
    let before = okta.group(&id).await.is(200);
    for operations in [membership(&[], &[a]), membership(&[b], &[]), membership(&[NOBODY], &[a, a])] {
        let same = okta.patch_group(&id, operations).await.is(200);
        assert_eq!((same.header("etag"), &same.body), (before.header("etag"), &before.body));
    }
    // A repeated POST neither overwrites nor duplicates a user.
    let user = okta.user(a).await.is(200).body;
    let mut again = tests::load::somebody("row-13", 0);
    again["title"] = json!("Overwritten");
    okta.create(&again).await.is_error_of(409, "uniqueness");
    assert_eq!(okta.user(a).await.is(200).body, user);
    assert_eq!(okta.get("/Users").await.is(200).total(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_an_unknown_member_is_rejected_before_anything_changes_or_skipped_and_reported() {
    let (stack, tenant, okta) = tenant("row-14").await;
    let elsewhere = stack.tenant("row-14-elsewhere").await.okta();
    let strangers = people(&elsewhere, "row-14-elsewhere", 1).await;
    let ids = people(&okta, "row-14", 2).await;
    let (a, b) = (ids[0].as_str(), ids[1].as_str());
    let id = okta.with_body("POST", "/Groups", &group("Push", &[a])).await.is(201).id();
    let before = okta.group(&id).await.is(200);

    for unknown in [NOBODY, "not-an-id", strangers[0].as_str(), id.as_str()] {
        let operations = membership(&[a], &[b, unknown]);
        let refused = okta.patch_group(&id, operations).await.is_error_of(400, "invalidValue");
        assert!(refused.detail().contains("members[1]"), "{}", refused.detail());
        assert!(!refused.detail().contains(unknown), "the error quotes the value: {}", refused.detail());
        let path = format!("/Groups/{id}");
        okta.with_body("PUT", &path, &group("Other", &[b, unknown])).await.is_error_of(400, "invalidValue");
        okta.with_body("POST", "/Groups", &group("New", &[unknown])).await.is_error_of(400, "invalidValue");
        assert_eq!(okta.group(&id).await.is(200).body, before.body);
    }
    assert_eq!(okta.get("/Groups").await.is(200).total(), 1);

    stack.rollcall(&["tenant", "set", &tenant.name, "unknown_members=skip"]).await.well();
    let skipped = okta.patch_group(&id, membership(&[a], &[NOBODY, b, "not-an-id"])).await.is(200);
    assert_eq!(skipped.header("rollcall-skipped-members"), "2");
    assert_eq!(members_of(&skipped), [b]);
    let path = format!("/Groups/{id}");
    let put = okta.with_body("PUT", &path, &group("Push", &[a, strangers[0].as_str()])).await.is(200);
    assert_eq!((put.header("rollcall-skipped-members"), members_of(&put)), ("1", vec![a.to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_15_a_push_of_256_members_is_one_request() {
    let (_stack, _, okta) = tenant("row-15").await;
    let ids = people(&okta, "row-15", 256).await;
    let id = okta.push_group("Everybody").await.is(201).id();
    assert_eq!(members_of(&okta.patch_group(&id, membership(&[], &as_strs(&ids))).await.is(200)).len(), 256);
    let without = okta.get(&format!("/Groups/{id}?excludedAttributes=members")).await.is(200);
    assert_eq!(without.body.get("members"), None);
    let (leaving, staying) = ids.split_at(200);
    let rest = okta.patch_group(&id, membership(&as_strs(leaving), &[])).await.is(200);
    let mut staying = staying.to_vec();
    staying.sort();
    assert_eq!(members_of(&rest), staying);
    // "Push now" is one replace.
    let all = json!([{ "op": "replace", "path": "members", "value": members(&as_strs(&ids)) }]);
    assert_eq!(members_of(&okta.patch_group(&id, all).await.is(200)).len(), 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_16_pages_are_stable_and_their_counts_are_integers() {
    let (_stack, _, okta) = tenant("row-16").await;
    let mut ids = people(&okta, "row-16", 7).await;
    for n in 0..3 {
        okta.push_group(&format!("Group {n}")).await.is(201);
    }
    let page = async |path: &str, query: &str| okta.get(&format!("{path}?{query}")).await.is(200);
    let mut seen = Vec::new();
    for start in [1, 4, 7] {
        // A user changes between two pages: the order stays the same.
        okta.update(&ids[0], &json!({ "title": format!("Page {start}") })).await.is(200);
        let page = page("/Users", &format!("startIndex={start}&count=3")).await;
        assert_eq!((page.total(), page.body["startIndex"].as_u64()), (7, Some(start)));
        assert_eq!(page.body["itemsPerPage"].as_u64(), Some(page.resources().len() as u64));
        seen.extend(page.resources().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
    }
    ids.sort();
    seen.sort();
    assert_eq!(seen, ids, "each once");
    for (path, total) in [("/Users", 7), ("/Groups", 3)] {
        let none = page(path, "count=0").await;
        assert_eq!((none.total(), none.resources().len()), (total, 0));
        assert_eq!(page(path, "startIndex=100").await.total(), total);
    }
    let some = page("/Users", &format!("count=1&filter={}", encode("userName sw \"person\""))).await;
    assert_eq!((some.total(), some.resources().len()), (7, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_17_both_media_types_are_accepted_and_discovery_ignores_bodies() {
    let (_stack, tenant, okta) = tenant("row-17").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (n, media_type) in
        ["application/json", "application/scim+json", "application/scim+json; charset=utf-8"]
            .iter()
            .enumerate()
    {
        for (path, body) in
            [("Users", tests::load::somebody("row-17", n)), ("Groups", group(&format!("Group {n}"), &[]))]
        {
            let request = okta.request("POST", &format!("/{path}")).build().unwrap();
            let request = http
                .post(request.url().clone())
                .basic_auth(&tenant.key.username, Some(&tenant.key.api_key))
                .header("Content-Type", *media_type)
                .body(body.to_string());
            let answer = Answer::read(request.send().await.unwrap()).await.unwrap().is(201);
            assert!(answer.header("content-type").starts_with("application/scim+json"));
        }
    }
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"] {
        let answer = okta.send(okta.request("POST", path).body("{ no json")).await.is_error(405);
        assert!(answer.header("allow").contains("GET"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_19_a_tenant_sees_and_changes_only_its_own_resources() {
    let (stack, _, ours) = tenant("row-19").await;
    let theirs = stack.tenant("row-19-theirs").await.okta();
    let user = person("ada@row-19.example", "Ada", "Lovelace");
    let person = theirs.create(&user).await.is(201).id();
    let group = theirs.with_body("POST", "/Groups", &group("Theirs", &[&person])).await.is(201).id();
    let before = [theirs.user(&person).await.body, theirs.group(&group).await.body];

    for (path, body) in [(format!("/Users/{person}"), &before[0]), (format!("/Groups/{group}"), &before[1])] {
        ours.get(&path).await.is_error(404);
        ours.with_body("PUT", &path, body).await.is_error(404);
        let patch = json!({ "schemas": [tests::okta::PATCH_OP], "Operations": [{ "op": "replace", "value": { "displayName": "Ours" } }] });
        ours.with_body("PATCH", &path, &patch).await.is_error(404);
        ours.send(ours.request("DELETE", &path)).await.is_error(404);
    }
    for path in ["/Users", "/Groups"] {
        assert_eq!(ours.get(path).await.is(200).total(), 0, "{path}");
    }
    for filter in [
        format!("id eq \"{group}\""),
        "displayName eq \"Theirs\"".into(),
        format!("members.value eq \"{person}\""),
    ] {
        assert_eq!(
            ours.get(&format!("/Groups?filter={}", encode(&filter))).await.is(200).total(),
            0,
            "{filter}"
        );
    }
    // The name is free in our tenant and makes a new account; an address links no accounts.
    let own = ours.create(&user).await.is(201).id();
    assert_ne!(own, person);
    let mut same_address = user.clone();
    same_address["userName"] = json!("eve@row-19.example");
    same_address["externalId"] = json!("eve");
    assert_ne!(ours.create(&same_address).await.is(201).id(), own);
    assert_eq!([theirs.user(&person).await.body, theirs.group(&group).await.body], before, "untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_20_an_invalid_filter_is_rejected_and_never_lists_all_users() {
    let (_stack, _, okta) = tenant("row-20").await;
    people(&okta, "row-20", 2).await;
    okta.push_group("Somebody").await.is(201);
    for filter in [
        "",
        "displayName",
        "displayName eq",
        "displayName eq \"Some",
        "displayName like \"Some\"",
        "unknown eq \"a\"",
        "displayName eq \"a\" eq \"b\"",
        "(displayName eq \"a\"",
        "not displayName",
        "meta.created gt true",
        "emails[type eq \"work\"",
    ] {
        for path in ["/Users", "/Groups"] {
            okta.get(&format!("{path}?filter={}", encode(filter))).await.is_error_of(400, "invalidFilter");
            let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter });
            let found = okta.with_body("POST", &format!("{path}/.search"), &search).await;
            assert_eq!(
                (found.status, found.scim_type()),
                (400, "invalidFilter"),
                "{filter:?}: {}",
                found.text
            );
        }
    }
    let nobody: Value = okta.filter("userName eq \"nobody\"").await.is(200).body;
    assert_eq!(nobody["totalResults"], json!(0));
}
