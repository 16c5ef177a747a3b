//! `POST /.search` (RFC 7644 §3.4.3): the same queries in a body, which keeps personal data out of URLs.

use serde_json::{Value, json};
use tests::{Answer, Okta};

use crate::lists::{names, scene};

const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

async fn search(okta: &Okta, path: &str, mut body: Value) -> Answer {
    body["schemas"] = json!([SEARCH]);
    okta.with_body("POST", &format!("{path}/.search"), &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_returns_the_same_as_the_query() {
    let okta = scene("search-same").await;
    for (path, body, query) in [
        ("/Users", json!({}), ""),
        ("/Users", json!({ "filter": "userName sw \"a\"" }), "filter=userName%20sw%20%22a%22"),
        (
            "/Users",
            json!({ "sortBy": "userName", "sortOrder": "descending", "startIndex": 2, "count": 3 }),
            "sortBy=userName&sortOrder=descending&startIndex=2&count=3",
        ),
        (
            "/Users",
            json!({ "attributes": ["userName", "name.givenName"] }),
            "attributes=userName,name.givenName",
        ),
        ("/Groups", json!({ "excludedAttributes": ["members"] }), "excludedAttributes=members"),
        ("", json!({ "count": 8 }), "count=8"),
        ("/Users", json!({ "count": 0 }), "count=0"),
    ] {
        let searched = search(&okta, path, body.clone()).await.is(200);
        assert_eq!(searched.body, okta.get(&format!("{path}?{query}")).await.is(200).body, "{path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_supports_cursors() {
    let okta = scene("search-cursor").await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = search(&okta, "", json!({ "count": 4, "cursor": cursor })).await.is(200);
        seen.extend(names(&page));
        match page.body.get("nextCursor") {
            Some(next) => next.as_str().unwrap().clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, names(&okta.get("").await));
    search(&okta, "", json!({ "cursor": "x" })).await.is_error_of(400, "invalidCursor");
    search(&okta, "", json!({ "cursor": "", "count": 0 })).await.is_error_of(400, "invalidCount");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_search_is_rejected() {
    let okta = scene("search-bad").await;
    search(&okta, "/Users", json!({ "filter": "userName eq" })).await.is_error_of(400, "invalidFilter");
    search(&okta, "/Groups", json!({ "filter": "userName pr" })).await.is_error_of(400, "invalidFilter");
    search(&okta, "/Users", json!({ "attributes": ["a"], "excludedAttributes": ["b"] })).await.is_error(400);
    search(&okta, "/Users", json!({ "count": {} })).await.is_error(400);
    okta.with_body("POST", "/Users/.search", &json!([])).await.is_error_of(400, "invalidSyntax");
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let answer = okta.send(okta.request(method, "/Users/.search").body("{ no json")).await.is_error(405);
        assert_eq!(answer.header("allow"), "POST", "{method}");
    }
}
