//! Invalid filters, queries, paths and headers are SCIM errors, and never lists of all users.

use serde_json::json;
use tests::okta::{encode, person};
use tests::raw;

use crate::bad_requests::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_filter_never_lists_all_users() {
    let scene = Scene::of("bad-filter").await;
    for filter in [
        "",
        " ",
        "userName",
        "userName eq",
        "userName eq \"good@bad.example",
        "userName eq good@bad.example",
        "userName like \"good\"",
        "userName eq \"a\" eq \"b\"",
        "userName eq 'good@bad.example'",
        "(userName eq \"a\"",
        "userName eq \"a\")",
        "eq \"a\"",
        "and",
        "not",
        "userName eq \"a\\x\"",
        "userName eq \"nul\\u0000\"",
        "unknown eq \"a\"",
        "password eq \"a\"",
        "userName gt true",
        "active gt true",
        "emails[type eq \"work\"",
        "userName\u{0} eq \"a\"",
    ] {
        let answer = scene.okta.filter(filter).await;
        assert_eq!(answer.status, 400, "{filter:?}: {}", answer.text);
        answer.is_error_of(400, "invalidFilter");
    }
    let deep = format!("{}userName eq \"a\"{}", "(".repeat(1_000), ")".repeat(1_000));
    scene.okta.filter(&deep).await.is_error_of(400, "invalidFilter");
    let long = vec!["userName eq \"a\""; 1_000].join(" or ");
    let answer = scene.okta.filter(&long).await;
    assert!(matches!(answer.status, 400 | 414 | 431), "{}", answer.status);
    // Valid filters are accepted (RFC 7644 §3.4.2.2).
    for filter in [
        "userName co \"good\"",
        "userName sw \"GOOD\"",
        "userName pr",
        "userName ne \"a\"",
        "not (userName eq \"a\")",
        "userName eq \"a\" or displayName eq \"Good Person\"",
        "userName pr and active eq true",
        "emails[type eq \"work\" and value co \"@\"]",
        "meta.lastModified gt \"2011-05-13T04:42:34Z\"",
    ] {
        assert_eq!(scene.okta.filter(filter).await.is(200).total(), 1, "{filter}");
    }
    // A malformed id and names with unusual characters match nobody.
    for filter in [
        "id eq \"not-a-uuid\"",
        "id eq \"\"",
        "userName eq \"\"",
        "userName eq \"%\"",
        "userName eq \"' or 1=1 --\"",
    ] {
        assert_eq!(scene.okta.filter(filter).await.is(200).total(), 0, "{filter}");
    }
    scene.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_queries_and_paths() {
    let scene = Scene::of("bad-query").await;
    for query in [
        "startIndex=abc",
        "count=abc",
        "count=1.5",
        "startIndex=",
        "startIndex=99999999999999999999999",
        "count=99999999999999999999999",
        "startIndex=9223372036854775807&count=9223372036854775807",
        "startIndex=-9223372036854775808",
        "count=1&count=2",
        "filter",
        "&&&",
        "=",
        "filter=%zz",
        "filter=%",
        "filter=%ff",
        "filter=%00",
        "%ff=%ff",
        "startIndex=%31",
        "attributes=nothing",
        "sortBy=userName&sortOrder=up",
    ] {
        let request =
            format!("{}\r\n", raw::head("GET", &format!("/scim/v2/Users?{query}"), &scene.tenant.key));
        let answer = raw::send(&scene.stack.ingests[0], request.as_bytes()).await;
        assert!(answer.status == 200 || answer.status == 400, "{query}: {} {}", answer.status, answer.text);
        if answer.status == 400 {
            answer.is_error(400);
        } else {
            assert!(!query.starts_with("filter="), "an invalid filter lists all users: {query}");
        }
    }
    for path in [
        "%",
        "%zz",
        "%00",
        "%ff",
        "..%2f..%2fetc%2fpasswd",
        "a%20b",
        "%C3%A4",
        "'%20or%201=1--",
        "*",
        "0192f7a0-0000-7000-8000-00000000000g",
        "{0192f7a0-0000-7000-8000-000000000000}",
    ] {
        for method in ["GET", "DELETE"] {
            let request =
                format!("{}\r\n", raw::head(method, &format!("/scim/v2/Users/{path}"), &scene.tenant.key));
            let answer = raw::send(&scene.stack.ingests[0], request.as_bytes()).await;
            assert!(
                answer.status == 404 || answer.status == 400,
                "{method} {path}: {} {}",
                answer.status,
                answer.text
            );
            let status = answer.status;
            answer.is_error(status);
        }
    }
    scene.okta.get(&format!("/Users/{}", "x".repeat(5_000))).await.is_error(404);
    scene.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_headers() {
    let scene = Scene::of("bad-headers").await;
    let get = async |headers: &[u8]| {
        let mut request =
            raw::head("GET", &format!("/scim/v2/Users/{}", scene.id), &scene.tenant.key).into_bytes();
        request.extend_from_slice(headers);
        request.extend_from_slice(b"\r\n");
        raw::send(&scene.stack.ingests[0], &request).await
    };
    for (headers, expected) in [
        (b"Accept: text/plain\r\n".as_slice(), vec![200, 406]),
        (b"Accept: \xff\xfe\r\n", vec![200, 400, 406]),
        (b"Accept-Charset: klingon\r\n", vec![200]),
        (b"If-None-Match: nonsense\r\n", vec![200, 400]),
        (b"If-None-Match: \xff\r\n", vec![200, 400]),
        (b"Authorization: Basic Zm9vOmJhcg==\r\n", vec![200, 400, 401]),
        (b"X-Forwarded-Proto: javascript\r\n", vec![200]),
        (b"X-Forwarded-Host: a b c\r\n", vec![200]),
        (b"X-Request-Id: \xff not a uuid\r\n", vec![200]),
        (b"Content-Length: 5\r\n\r\n{}{}{", vec![200]),
    ] {
        let answer = get(headers).await;
        let shown = String::from_utf8_lossy(headers);
        assert!(expected.contains(&answer.status), "{shown}: {} {}", answer.status, answer.text);
        if answer.status != 200 {
            let status = answer.status;
            answer.is_error(status);
        } else {
            assert!(
                !answer.text.contains("javascript") && !answer.text.contains("a b c"),
                "{shown}: {}",
                answer.text
            );
        }
    }
    scene.still_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_any_script_is_found() {
    let scene = Scene::of("good-names").await;
    for name in [
        "Ünïcode@names.example",
        "李雷@names.example",
        "o'brien+tag@names.example",
        "a\"quote\\slash@names.example",
        "🦀@names.example",
        "ἈΧΙΛΛΕΎΣ@names.example",
    ] {
        let id = scene.okta.create(&person(name, "Ünï", "李")).await.is(201).id();
        let literal = json!(name).to_string();
        let filter = format!("/Users?filter={}", encode(&format!("userName eq {literal}")));
        let found = scene.okta.get(&filter).await.is(200);
        assert_eq!((found.total(), &found.resources()[0]["id"]), (1, &json!(id)), "{name}");
        scene.okta.create(&person(&name.to_lowercase(), "A", "B")).await.is_error_of(409, "uniqueness");
        scene.okta.delete(&id).await.is(204);
    }
    scene.still_works().await;
}
