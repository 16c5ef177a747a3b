//! The headers of all answers, what the pages without a key tell, and the base URL of a server that others can reach.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::person;
use tests::process::{Service, free_port};
use tests::stack::{Options, Said};
use tests::{Stack, eventually, programs};

/// The `Authorization` of an answer's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Nobody,
    WrongKey,
    Tenant,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_stored_or_sniffed() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("headers").await;
    let id = tenant.okta().create(&person("ann@headers.example", "Ann", "Lee")).await.is(201).id();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let user = format!("/scim/v2/Users/{id}");
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/readyz"),
        ("GET", "/"),
        ("GET", "/scim/v2"),
        ("GET", "/scim/v2/Users"),
        ("POST", "/scim/v2/Users"),
        ("GET", &user),
        ("PATCH", &user),
        ("BREW", &user),
        ("GET", "/scim/v2/Groups/1"),
        ("POST", "/scim/v2/.search"),
        ("POST", "/scim/v2/Bulk"),
        ("GET", "/scim/v2/Async/1"),
        ("GET", "/scim/v2/Me"),
        ("GET", "/scim/v2/Schemas"),
        ("GET", "/scim/v2/ServiceProviderConfig"),
        ("GET", "/scim/v2/Nothing"),
        ("POST", "/events"),
        ("GET", "/reports/learners"),
        ("GET", "/reports/nothing"),
        ("GET", "/activity?format=csv"),
        ("GET", "/unsubscribe/x"),
        ("POST", "/unsubscribe/x"),
    ] {
        for by in [By::Nobody, By::WrongKey, By::Tenant] {
            let key = match by {
                By::Nobody => None,
                By::WrongKey => Some("nonsense"),
                By::Tenant => Some(tenant.key.api_key.as_str()),
            };
            let request =
                http.request(method.parse().unwrap(), format!("{}{path}", stack.origin())).body("{}");
            let request = key.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            let answer = request.send().await.unwrap();
            let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
            let at = format!("{method} {path} by {by:?}: {}", answer.status());
            assert_eq!(header("cache-control"), Some("no-store"), "{at}");
            assert_eq!(header("x-content-type-options"), Some("nosniff"), "{at}");
        }
    }
    for service in [&stack.workers[0], &stack.notifier] {
        for path in ["/healthz", "/readyz", "/nothing"] {
            let url = format!("http://127.0.0.1:{}{path}", service.port());
            let answer = http.get(url).send().await.unwrap();
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unsubscribe_page_cannot_be_framed_and_loads_nothing() {
    let stack = Stack::shared().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for method in [reqwest::Method::GET, reqwest::Method::POST] {
        let url = format!("{}/unsubscribe/x", stack.origin());
        let page = http.request(method, url).send().await.unwrap();
        assert_eq!(page.status().as_u16(), 404);
        assert_eq!(page.headers()["x-frame-options"], "DENY");
        assert_eq!(page.headers()["referrer-policy"], "no-referrer");
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        // The page's styles are attributes, and it has neither scripts nor links.
        assert!(policy.contains("style-src 'unsafe-inline'"), "{policy}");
        let text = page.text().await.unwrap();
        assert!(text.contains("style=") && !text.contains("<script") && !text.contains("<link"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_states_and_not_the_words_of_drivers() {
    // Nothing listens on port 1.
    let (port, log) = (free_port(), Stack::shared().await.folder().join("log"));
    let environment = [
        ("DATABASE_URL", "postgres://rollcall:secret@127.0.0.1:1/nothing".to_owned()),
        ("AMQP_URL", "amqp://rollcall:secret@127.0.0.1:1/%2f".to_owned()),
        ("ROLLCALL_PORT", port.to_string()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let service = Service::new("ingest-alone", programs::path("ingest"), environment, port, &log);
    service.start();
    let body = eventually("it tells its state", Duration::from_secs(20), async || {
        let (status, body) = service.readiness().await?;
        (status == 503
            && body["dependencies"]["postgres"] == "away"
            && body["dependencies"]["rabbitmq"] == "away")
            .then_some(body)
    })
    .await;
    let known = ["ok", "away", "not reached yet", "not migrated to this version yet"];
    let states = body["dependencies"].as_object().unwrap();
    assert!(states.values().all(|state| known.contains(&state.as_str().unwrap())), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
}

fn ingest(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(programs::path("ingest"));
    command
        .env_clear()
        .env("DATABASE_URL", "postgres://127.0.0.1:1/x")
        .env("AMQP_URL", "amqp://127.0.0.1:1")
        .envs(environment.iter().copied());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_others_can_reach_does_not_start_without_its_public_url() {
    tokio::task::spawn_blocking(programs::folder).await.unwrap();
    for listen in ["0.0.0.0", "::", "192.0.2.1"] {
        let said =
            Said::by(ingest(&[("ROLLCALL_ALLOW_PLAINTEXT", "http"), ("ROLLCALL_LISTEN", listen)])).await;
        assert_eq!(said.code, Some(2), "{}", said.err);
        for word in ["ROLLCALL_PUBLIC_URL", "ROLLCALL_LISTEN", "https://scim.example.com"] {
            assert!(said.err.contains(word), "{word}: {}", said.err);
        }
    }
    // With it the address is tried: 192.0.2.1 is nobody's (RFC 5737).
    let public = [
        ("ROLLCALL_ALLOW_PLAINTEXT", "http"),
        ("ROLLCALL_LISTEN", "192.0.2.1"),
        ("ROLLCALL_PUBLIC_URL", "https://scim.example"),
    ];
    let said = Said::by(ingest(&public)).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("cannot listen on 192.0.2.1"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_public_url_no_client_chooses_the_urls_in_answers() {
    let environment = vec![
        ("ROLLCALL_ALLOW_PLAINTEXT", "http".to_owned()),
        ("ROLLCALL_LISTEN", "0.0.0.0".to_owned()),
        ("ROLLCALL_PUBLIC_URL", "https://scim.example".to_owned()),
    ];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let okta = stack.tenant("public").await.okta();
    let request = okta
        .request("POST", "/Users")
        .header("Host", "evil.example")
        .header("X-Forwarded-Host", "evil.example")
        .header("X-Forwarded-Proto", "http")
        .body(person("ann@public.example", "Ann", "Lee").to_string());
    let created = okta.once(request).await.is(201);
    let location = format!("https://scim.example/scim/v2/Users/{}", created.id());
    assert_eq!(created.header("location"), location);
    assert_eq!(created.body["meta"]["location"], json!(location));
    let listed: Value =
        okta.once(okta.request("GET", "/Users").header("Host", "evil.example")).await.is(200).body;
    assert!(!listed.to_string().contains("evil.example"), "{listed}");
}
