//! Versions (RFC 7644 §3.14): the ETag is `meta.version`; conditional reads and writes.

use serde_json::json;
use tests::okta::person;
use tests::{Answer, Okta, Stack};

async fn conditionally(okta: &Okta, method: &str, id: &str, header: (&str, &str), body: &str) -> Answer {
    let request = okta.request(method, &format!("/Users/{id}")).header(header.0, header.1);
    okta.send(request.body(body.to_owned())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_version_is_not_sent_again() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("etag-read").await.okta();
    let created = okta.create(&person("a@etag.example", "Ada", "Lovelace")).await.is(201);
    let (id, etag) = (created.id(), created.header("etag").to_owned());
    for known in
        [etag.clone(), etag.trim_start_matches("W/").to_owned(), format!("\"x\", {etag}"), "*".to_owned()]
    {
        let answer = conditionally(&okta, "GET", &id, ("If-None-Match", &known), "").await.is(304);
        assert_eq!((answer.text.as_str(), answer.header("etag")), ("", etag.as_str()), "{known}");
    }
    conditionally(&okta, "GET", &id, ("If-None-Match", "W/\"other\""), "").await.is(200);
    okta.set_active(&id, false).await.is(200);
    let changed = conditionally(&okta, "GET", &id, ("If-None-Match", &etag), "").await.is(200);
    assert_ne!(changed.header("etag"), etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_an_old_version_is_rejected() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("etag-write").await.okta();
    let created = okta.create(&person("a@etag.example", "Ada", "Lovelace")).await.is(201);
    let (id, old) = (created.id(), created.header("etag").to_owned());
    let patch = json!({
        "schemas": [tests::okta::PATCH_OP],
        "Operations": [{ "op": "replace", "path": "title", "value": "Countess" }],
    })
    .to_string();

    let new = conditionally(&okta, "PATCH", &id, ("If-Match", &old), &patch)
        .await
        .is(200)
        .header("etag")
        .to_owned();
    assert_ne!(new, old);
    let put = created.body.to_string();
    conditionally(&okta, "PATCH", &id, ("If-Match", &old), &patch).await.is_error(412);
    conditionally(&okta, "PUT", &id, ("If-Match", &old), &put).await.is_error(412);
    conditionally(&okta, "DELETE", &id, ("If-Match", &old), "").await.is_error(412);
    assert_eq!(okta.user(&id).await.is(200).header("etag"), new, "nothing changed");

    conditionally(&okta, "PUT", &id, ("If-Match", &new), &put).await.is(200);
    conditionally(&okta, "DELETE", &id, ("If-Match", "*"), "").await.is(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_changes_nothing_keeps_the_version() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("etag-same").await.okta();
    let created = okta.create(&person("a@etag.example", "Ada", "Lovelace")).await.is(201);
    let id = created.id();
    let same = okta.set_active(&id, true).await.is(200);
    assert_eq!(same.body["meta"], created.body["meta"]);
    let same = okta.put(&id, &created.body).await.is(200);
    assert_eq!(same.body, created.body);
}
