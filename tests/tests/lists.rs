//! Lists (RFC 7644 §3.4.2, RFC 9865): filters, sorting, pages by index and by cursor, for users, groups and both.

use serde_json::{Value, json};
use tests::okta::{encode, person};
use tests::{Answer, Okta, Stack};

const NAMES: [&str; 7] = ["eve", "Ann", "bob", "dan", "Cid", "fay", "gus"];

/// A tenant with seven users, not in the order of their names, and two groups.
pub async fn scene(name: &str) -> Okta {
    let stack = Stack::shared().await;
    let okta = stack.tenant(name).await.okta();
    for given in NAMES {
        okta.create(&person(&format!("{given}@{name}.example"), given, "Lee")).await.is(201);
    }
    for group in ["Sales", "ann's friends"] {
        let body =
            json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": group });
        okta.with_body("POST", "/Groups", &body).await.is(201);
    }
    okta
}

/// The given names or displayNames, in the order of the list.
pub fn names(answer: &Answer) -> Vec<String> {
    let name = |resource: &Value| {
        let name = resource["name"]["givenName"].as_str().or_else(|| resource["displayName"].as_str());
        name.unwrap_or_else(|| panic!("no name in {resource}")).to_owned()
    };
    answer.resources().iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_selects() {
    let okta = scene("list-filter").await;
    let find = async |endpoint: &str, filter: &str| {
        let found =
            okta.get(&format!("{endpoint}?sortBy=displayName&filter={}", encode(filter))).await.is(200);
        assert_eq!(found.total(), found.resources().len() as u64);
        names(&found)
    };
    for (filter, expected) in [
        ("userName eq \"ANN@list-filter.example\"", &["Ann"][..]),
        ("name.givenName sw \"a\" or name.givenName eq \"BOB\"", &["Ann", "bob"]),
        ("emails co \"eve\"", &["eve"]),
        ("emails[type eq \"work\" and value sw \"dan\"]", &["dan"]),
        ("not (name.givenName gt \"b\")", &["Ann"]),
        ("name.givenName eq \"nobody\"", &[]),
        ("groups pr", &[]),
        ("meta.resourceType eq \"User\" and displayName sw \"a\"", &["Ann"]),
    ] {
        assert_eq!(find("/Users", filter).await, expected, "{filter}");
    }
    assert_eq!(find("/Groups", "displayName eq \"SALES\"").await, ["Sales"]);
    okta.get(&format!("/Groups?filter={}", encode("userName eq \"x\"")))
        .await
        .is_error_of(400, "invalidFilter");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_found_by_and_with_their_group() {
    let okta = scene("list-members").await;
    let ann = okta.find("ann@list-members.example").await.resources()[0]["id"].as_str().unwrap().to_owned();
    let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "With",
                       "members": [{ "value": ann }] });
    let id = okta.with_body("POST", "/Groups", &body).await.is(201).id();
    let found =
        okta.get(&format!("/Groups?filter={}", encode(&format!("members.value eq \"{ann}\"")))).await.is(200);
    assert_eq!(names(&found), ["With"]);
    assert_eq!(found.resources()[0]["members"][0]["value"], json!(ann));
    let found = okta.filter(&format!("groups.value eq \"{id}\"")).await.is(200);
    assert_eq!(names(&found), ["Ann"]);
    assert_eq!(found.resources()[0]["groups"][0]["display"], "With");
}

#[tokio::test(flavor = "multi_thread")]
async fn sorting_spans_all_pages() {
    let okta = scene("list-order").await;
    let list = async |query: &str| okta.get(&format!("/Users?{query}")).await.is(200);
    assert_eq!(names(&list("").await), NAMES, "without sorting, in the order of creation");
    let ascending = ["Ann", "bob", "Cid", "dan", "eve", "fay", "gus"];
    assert_eq!(names(&list("sortBy=name.givenName").await), ascending);
    let mut descending = ascending;
    descending.reverse();
    assert_eq!(names(&list("sortBy=name.givenName&sortOrder=Descending").await), descending);

    let mut seen = Vec::new();
    for start in [1, 4, 7, 10] {
        let page = list(&format!("sortBy=userName&startIndex={start}&count=3")).await;
        assert_eq!((page.total(), &page.body["startIndex"]), (7, &json!(start)));
        assert_eq!(page.body["itemsPerPage"], json!(page.resources().len()));
        seen.extend(names(&page));
    }
    assert_eq!(seen, ascending);
    for (query, status) in
        [("sortBy=nothing", 400), ("sortBy=userName&sortOrder=up", 400), ("sortOrder=descending", 200)]
    {
        assert_eq!(okta.get(&format!("/Users?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_within_its_limits() {
    let okta = scene("list-bounds").await;
    for (query, start, length) in [
        ("startIndex=0&count=2", 1, 2),
        ("startIndex=-3&count=2", 1, 2),
        ("count=-1", 1, 0),
        ("count=0", 1, 0),
        ("startIndex=7", 7, 1),
        ("startIndex=8", 8, 0),
        ("count=100000", 1, 7),
        ("unknown=1&COUNT=1", 1, 1),
    ] {
        let page = okta.get(&format!("/Users?{query}")).await.is(200);
        assert_eq!((page.total(), page.resources().len()), (7, length), "{query}");
        assert_eq!(page.body["startIndex"], json!(start), "{query}");
        assert!(page.body.get("nextCursor").is_none(), "{query}");
    }
}

/// All pages of a query by cursor.
async fn pages(okta: &Okta, path: &str) -> Vec<Answer> {
    pages_from(okta, path, String::new()).await
}

/// The pages from this cursor on.
async fn pages_from(okta: &Okta, path: &str, mut cursor: String) -> Vec<Answer> {
    let mut pages = Vec::new();
    loop {
        let page = okta.get(&format!("{path}&cursor={}", encode(&cursor))).await.is(200);
        assert!(page.body.get("startIndex").is_none(), "{}", page.text);
        let next = page.body.get("nextCursor").map(|next| next.as_str().unwrap().to_owned());
        pages.push(page);
        match next {
            Some(next) => cursor = next,
            None => return pages,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_visit_every_resource_once() {
    let okta = scene("list-cursor").await;
    for (query, expected) in [
        ("count=3", NAMES.to_vec()),
        ("count=7", NAMES.to_vec()),
        ("", NAMES.to_vec()),
        ("count=1&sortBy=userName", vec!["Ann", "bob", "Cid", "dan", "eve", "fay", "gus"]),
        (
            "count=2&filter=name.givenName%20gt%20%22d%22&sortBy=userName&sortOrder=descending",
            vec!["gus", "fay", "eve", "dan"],
        ),
        ("count=2&filter=userName%20eq%20%22nobody%22", vec![]),
    ] {
        let pages = pages(&okta, &format!("/Users?{query}")).await;
        assert_eq!(pages.iter().flat_map(names).collect::<Vec<_>>(), expected, "{query}");
        assert!(pages.iter().all(|page| page.total() == expected.len() as u64), "{query}");
        assert!(pages.len() == 1 || pages.iter().all(|page| !page.resources().is_empty()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_cursors_the_total_is_that_of_the_first_page() {
    let okta = scene("list-total").await;
    // Each round adds a user.
    for (path, total) in [("/Users?count=3", 7), ("?count=3", 10), ("/Users?count=3&sortBy=userName", 9)] {
        let first = okta.get(&format!("{path}&cursor=")).await.is(200);
        assert_eq!(first.total(), total, "{path}");
        let late = person(&format!("late-{total}@list-total.example"), "late", "Lee");
        okta.create(&late).await.is(201);
        let rest = pages_from(&okta, path, first.body["nextCursor"].as_str().unwrap().to_owned()).await;
        assert!(rest.iter().all(|page| page.total() == total), "{path}");
        assert!(rest.iter().flat_map(names).any(|name| name == "late"), "{path}: the new user is shown");
        assert_eq!(okta.get(path).await.is(200).total(), total + 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_valid_only_for_its_query_and_tenant() {
    let okta = scene("list-cursors").await;
    let other = Stack::shared().await.tenant("list-cursors-2").await.okta();
    let next = |answer: &Answer| answer.body["nextCursor"].as_str().unwrap().to_owned();
    let cursor = next(&okta.get("/Users?cursor=&count=2").await.is(200));
    okta.get(&format!("/Users?cursor={cursor}&count=5")).await.is(200);
    for query in [
        format!("cursor={cursor}&filter=id%20pr"),
        format!("cursor={cursor}&sortBy=userName"),
        "cursor=x".into(),
    ] {
        okta.get(&format!("/Users?{query}")).await.is_error_of(400, "invalidCursor");
    }
    okta.get(&format!("/Groups?cursor={cursor}")).await.is_error_of(400, "invalidCursor");
    other.get(&format!("/Users?cursor={cursor}")).await.is_error_of(400, "invalidCursor");
    for count in ["0", "-1", "x", "1.5"] {
        okta.get(&format!("/Users?cursor=&count={count}")).await.is_error_of(400, "invalidCount");
    }
    okta.get("/Users?cursor=&startIndex=1").await.is_error_of(400, "invalidValue");

    // The query is the same in another case.
    let same = okta.get("/Users?cursor=&count=2&sortBy=userName&filter=userName%20pr").await.is(200);
    let cursor = next(&same);
    okta.get(&format!("/Users?cursor={cursor}&count=2&sortBy=USERNAME&filter=username%20pr")).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_begins_where_the_last_one_ended_even_if_its_last_resource_moved() {
    for (name, query, expected) in [
        ("moving-1", "sortBy=userName&count=3", ["Ann", "bob", "Cid", "dan", "eve", "fay", "gus"]),
        ("moving-2", "sortBy=meta.lastModified&count=3", NAMES),
    ] {
        let okta = scene(name).await;
        let page = okta.get(&format!("/Users?cursor=&{query}")).await.is(200);
        assert_eq!(names(&page), expected[..3]);
        // The last one moves to the end of the list.
        let last = page.resources()[2]["id"].as_str().unwrap();
        let zoe = json!([{ "op": "replace", "value": { "userName": "zoe@moving.example" } }]);
        okta.patch(last, zoe).await.is(200);
        let cursor = page.body["nextCursor"].as_str().unwrap();
        let rest = pages_from(&okta, &format!("/Users?{query}"), cursor.to_owned()).await;
        let rest: Vec<String> = rest.iter().flat_map(names).collect();
        assert_eq!(rest, [&expected[3..], &expected[2..3]].concat(), "{query}");
        // Then it is deleted.
        okta.delete(last).await.is(204);
        let rest = okta.get(&format!("/Users?{query}&cursor={cursor}")).await.is(200);
        assert_eq!(names(&rest), expected[3..6], "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_lists_users_then_groups() {
    let okta = scene("list-root").await;
    let all: Vec<&str> = NAMES.into_iter().chain(["Sales", "ann's friends"]).collect();
    for path in ["", "/"] {
        let listed = okta.get(path).await.is(200);
        assert_eq!(
            (listed.total(), names(&listed)),
            (9, all.iter().map(|name| (*name).to_owned()).collect())
        );
    }
    let mut seen = Vec::new();
    for start in [1, 5, 9] {
        let page = okta.get(&format!("?startIndex={start}&count=4")).await.is(200);
        assert_eq!(page.total(), 9);
        seen.extend(names(&page));
    }
    assert_eq!(seen, all);
    for count in [1, 2, 7, 8, 9] {
        let pages = pages(&okta, &format!("?count={count}")).await;
        assert_eq!(pages.iter().flat_map(names).collect::<Vec<_>>(), all, "{count}");
        assert!(pages.iter().all(|page| page.total() == 9), "{count}");
    }
    for (filter, expected) in [
        ("displayName sw \"ann\"", &["Ann", "ann's friends"][..]),
        ("userName sw \"ann\"", &["Ann"]),
        ("meta.resourceType eq \"Group\"", &["Sales", "ann's friends"]),
        ("userName sw \"bob\" or displayName eq \"sales\"", &["bob", "Sales"]),
        ("not (userName pr)", &["Sales", "ann's friends"]),
    ] {
        assert_eq!(
            names(&okta.get(&format!("?filter={}", encode(filter))).await.is(200)),
            expected,
            "{filter}"
        );
    }
    okta.get("?filter=nothing%20pr").await.is_error_of(400, "invalidFilter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_the_requested_attributes() {
    let okta = scene("list-shown").await;
    let some = okta.get("/Users?attributes=userName&count=1").await.is(200).resources()[0].clone();
    let mut keys: Vec<&String> = some.as_object().unwrap().keys().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["id", "schemas", "userName"]);
    let rest = okta.get("/Users?excludedAttributes=emails,name&count=1").await.is(200).resources()[0].clone();
    assert!(
        rest.get("emails").is_none() && rest.get("name").is_none() && rest.get("userName").is_some(),
        "{rest}"
    );
    okta.get("/Users?attributes=a&excludedAttributes=b").await.is_error_of(400, "invalidValue");
}
