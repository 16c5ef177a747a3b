//! Invalid input over HTTP: each is a SCIM error that describes the problem, none is a 5xx, and everything keeps
//! working.

use serde_json::{Value, json};
use tests::okta::person;
use tests::stack::Shared;
use tests::{Answer, Okta, Stack, Tenant, raw};

/// A stack and a tenant with one user.
pub struct Scene {
    pub stack: Shared,
    pub tenant: Tenant,
    pub okta: Okta,
    pub id: String,
}

impl Scene {
    pub async fn of(name: &str) -> Self {
        let stack = Stack::shared().await;
        let tenant = stack.tenant(name).await;
        let okta = tenant.okta();
        let id = okta.create(&person("good@bad.example", "Good", "Person")).await.is(201).id();
        Self { stack, tenant, okta, id }
    }

    /// Sends a body to every user endpoint that takes one.
    async fn everywhere(&self, body: impl Into<reqwest::Body> + Clone, check: impl Fn(Answer, &str)) {
        let user = format!("/Users/{}", self.id);
        for (method, path) in [("POST", "/Users"), ("PUT", user.as_str()), ("PATCH", user.as_str())] {
            let answer = self.okta.send(self.okta.request(method, path).body(body.clone().into())).await;
            check(answer, &format!("{method} {path}"));
        }
    }

    /// Checks that everything works and that the invalid requests had no effect.
    pub async fn still_works(&self) {
        let users = self.okta.get("/Users").await.is(200);
        assert_eq!(users.total(), 1, "{}", users.text);
        self.okta.set_active(&self.id, true).await.is(200);
        let added = self.okta.create(&person("after@bad.example", "Af", "Ter")).await.is(201);
        self.okta.delete(&added.id()).await.is(204);
        let fives: Vec<_> = self.okta.seen().into_keys().filter(|status| *status >= 500).collect();
        assert!(fives.is_empty(), "{fives:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_json_objects() {
    let scene = Scene::of("bad-json").await;
    for body in [
        "",
        " ",
        "{",
        "no json",
        "null",
        "[]",
        "\"text\"",
        "17",
        "true",
        "{\"userName\":}",
        "{\"a\":1}{\"b\":2}",
        "{'a': 1}",
        "\u{feff}",
        "{\"userName\": \"a\", }",
        "NaN",
        "{\"a\": 1e999999}",
    ] {
        scene
            .everywhere(body, |answer, place| {
                assert_eq!(answer.status, 400, "{place} {body:?}: {}", answer.text);
                answer.is_error(400);
            })
            .await;
    }
    scene
        .everywhere(vec![b'{', b'"', 0xff, 0xfe, b'"', b':', b'1', b'}'], |answer, _| {
            drop(answer.is_error_of(400, "invalidSyntax"));
        })
        .await;
    scene.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_nested_too_deeply() {
    let scene = Scene::of("bad-deep").await;
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
    for value in [&deep, &objects] {
        scene.everywhere(value.clone(), |answer, _| drop(answer.is_error(400))).await;
        scene.everywhere(format!("{{\"userName\":{value}}}"), |answer, _| drop(answer.is_error(400))).await;
    }
    scene.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_wrong_types_sizes_and_characters() {
    let scene = Scene::of("bad-values").await;
    let good = person("wrong@bad.example", "Wr", "Ong");
    for (pointer, value) in [
        ("/userName", json!(true)),
        ("/userName", json!(["a", "b"])),
        ("/userName", json!([["a"]])),
        ("/userName", json!({ "a": 1 })),
        ("/userName", json!("")),
        ("/userName", json!("   ")),
        ("/userName", Value::Null),
        ("/userName", json!("x".repeat(10_000))),
        ("/userName", json!("nul\u{0}@bad.example")),
        ("/name/givenName", json!("nul\u{0}")),
        ("/name/givenName", json!(false)),
        ("/name/givenName", json!(["a", "b"])),
        ("/name", json!("Wr Ong")),
        ("/name", json!([])),
        ("/emails", json!(true)),
        ("/emails", json!([])),
        ("/emails", json!([{ "type": "work" }])),
        ("/emails", json!([[17]])),
        ("/emails/0/value", json!(true)),
        ("/emails/0/value", json!("nul\u{0}@bad.example")),
        ("/emails/0/primary", json!("perhaps")),
        ("/active", json!("perhaps")),
        ("/active", json!(17)),
        ("/externalId", json!("nul\u{0}")),
        ("/externalId", json!(true)),
        ("/displayName", json!({ "a": "nul\u{0}" })),
    ] {
        let mut user = good.clone();
        *user.pointer_mut(pointer).unwrap() = value.clone();
        let shown: String = value.to_string().chars().take(40).collect();
        for answer in [scene.okta.create(&user).await, scene.okta.put(&scene.id, &user).await] {
            assert_eq!(answer.status, 400, "{pointer} = {shown}: {}", answer.text);
            let answer = answer.is_error(400);
            let leaf =
                pointer.trim_start_matches("/emails/0/").trim_start_matches("/name/").trim_start_matches('/');
            // U+0000 is rejected anywhere, before the attribute is known.
            let named = answer.detail().contains(leaf) || answer.detail().contains("U+0000");
            assert!(named, "{pointer} = {shown} is not named: {}", answer.detail());
            assert!(answer.detail().len() < 500, "the error quotes the value: {}", answer.detail());
        }
    }
    // A key with U+0000 is an unknown attribute, and is not stored.
    let mut user = good.clone();
    user["nul\u{0}key"] = json!("x");
    let answer = scene.okta.create(&user).await;
    assert!(answer.status == 400 || answer.status == 201, "{}", answer.text);
    if answer.status == 201 {
        scene.okta.delete(&answer.id()).await.is(204);
    }
    // Lone surrogates and invalid escapes are not strings.
    for text in ["\"\\ud800\"", "\"\\u00\"", "\"tab\tinside\"", "\"\\x\""] {
        let body = good.to_string().replace("\"Wr\"", text);
        scene.okta.send(scene.okta.request("POST", "/Users").body(body)).await.is_error(400);
    }
    // U+0000 inside PATCH operations.
    for operation in [
        json!({ "op": "replace", "path": "title", "value": "nul\u{0}" }),
        json!({ "op": "replace", "value": { "title": "nul\u{0}" } }),
        json!({ "op": "replace", "path": "title\u{0}", "value": "x" }),
        json!({ "op": "add", "path": "emails", "value": [{ "value": "nul\u{0}" }] }),
    ] {
        scene.okta.patch(&scene.id, json!([operation])).await.is_error(400);
    }
    scene.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_patches() {
    let scene = Scene::of("bad-patch").await;
    let urn = tests::okta::PATCH_OP;
    for body in [
        json!({}),
        json!({ "schemas": [urn] }),
        json!({ "schemas": [urn], "Operations": [] }),
        json!({ "schemas": [urn], "Operations": {} }),
        json!({ "schemas": [urn], "Operations": "replace" }),
        json!({ "schemas": [urn], "Operations": [17] }),
        json!({ "schemas": [urn], "Operations": [{}] }),
        json!({ "schemas": [urn], "Operations": [{ "op": 17, "path": "title", "value": "x" }] }),
        json!({ "schemas": [urn], "Operations": [{ "op": "replace", "path": 17, "value": "x" }] }),
        json!({ "schemas": [urn], "Operations": [{ "op": "replace", "value": "x" }] }),
        json!({ "schemas": [urn], "Operations": [{ "op": "replace", "path": "title" }] }),
        json!({ "schemas": [urn], "Operations": vec![json!({ "op": "replace", "path": "title", "value": "x" }); 5_000] }),
    ] {
        let answer = scene.okta.with_body("PATCH", &format!("/Users/{}", scene.id), &body).await;
        let shown: String = body.to_string().chars().take(200).collect();
        assert!((400..500).contains(&answer.status), "{shown}: {} {}", answer.status, answer.text);
        let status = answer.status;
        answer.is_error(status);
    }
    scene.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_another_media_type() {
    let scene = Scene::of("bad-media").await;
    let user = person("media@bad.example", "Me", "Dia").to_string();
    let post = async |content_type: Option<&str>| {
        let mut request = scene.okta.request("POST", "/Users").body(user.clone()).build().unwrap();
        match content_type {
            Some(content_type) => request.headers_mut().insert("content-type", content_type.parse().unwrap()),
            None => request.headers_mut().remove("content-type"),
        };
        let response = reqwest::Client::builder().no_proxy().build().unwrap().execute(request).await.unwrap();
        Answer::read(response).await.unwrap()
    };
    for refused in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "nonsense",
        "",
    ] {
        post(Some(refused)).await.is_error(415);
    }
    for taken in [
        "application/json",
        "application/scim+json",
        "APPLICATION/SCIM+JSON;charset=UTF-8",
        "application/json; charset=utf-8",
    ] {
        let id = post(Some(taken)).await.is(201).id();
        scene.okta.delete(&id).await.is(204);
    }
    scene.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_rejected_with_the_limit() {
    let scene = Scene::of("bad-size").await;
    const LIMIT: usize = 1_048_576;
    let mut user = person("size@bad.example", "Si", "Ze");
    user["nickName"] = json!("x".repeat(LIMIT));
    scene
        .everywhere(user.to_string(), |answer, _| {
            let answer = answer.is_error(413);
            assert!(answer.detail().contains(&LIMIT.to_string()), "{}", answer.detail());
        })
        .await;

    // Chunked, without a Content-Length.
    let head = raw::head("POST", "/scim/v2/Users", &scene.tenant.key);
    let mut chunked =
        format!("{head}Content-Type: application/scim+json\r\nTransfer-Encoding: chunked\r\n\r\n")
            .into_bytes();
    for _ in 0..20 {
        chunked.extend_from_slice(format!("10000\r\n{}\r\n", " ".repeat(0x10000)).as_bytes());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = raw::send(&scene.stack.ingests[0], &chunked).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
    assert!(answer.text.contains(&LIMIT.to_string()), "{}", answer.text);

    // A valid chunked body is accepted.
    let user = person("chunked@bad.example", "Chun", "Ked").to_string();
    let (a, b) = user.split_at(40);
    let good = format!(
        "{head}Content-Type: application/scim+json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n",
        a.len(),
        b.len()
    );
    let answer = raw::send(&scene.stack.ingests[0], good.as_bytes()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let found = scene.okta.find("chunked@bad.example").await.is(200);
    scene.okta.delete(found.resources()[0]["id"].as_str().unwrap()).await.is(204);
    scene.still_works().await;
}
