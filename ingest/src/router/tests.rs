//! The whole router while Postgres and RabbitMQ are unavailable: status and form of its errors.

use std::collections::HashMap;

use amqp::Link;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use database::Pool;
use platform::config::{Env, Service};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::*;
use crate::app::App;
use crate::config::Config;

/// A router without its servers: nothing listens on port 1.
fn alone() -> Router {
    let values = [("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("AMQP_URL", "amqp://127.0.0.1:1")];
    let values: HashMap<_, _> = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::read(Env::new(Service::Ingest, values)).unwrap();
    let health = Health::new(&["postgres", "rabbitmq"]);
    let pool = Pool::new(&config.database_url.0, 2).unwrap();
    let link = Link::start(&config.amqp_url.0, "test", 1, health.clone(), CancellationToken::new()).unwrap();
    router(App::new(config, pool, link), &health)
}

async fn ask(method: &str, path: &str, key: Option<&str>) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    alone().call(request.body(Body::from("{}")).unwrap()).await.unwrap()
}

/// Checks the form that all errors have, and returns the detail.
async fn detail(response: Response<Body>, at: &str) -> String {
    let status = response.status().as_str().to_owned();
    assert_eq!(response.headers()["content-type"], "application/scim+json;charset=utf-8", "{at}");
    assert!(response.headers().contains_key("x-request-id"), "{at}");
    let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), 10_000).await.unwrap()).unwrap();
    assert_eq!(body["status"], status, "{at}");
    assert_eq!(body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{at}");
    body["detail"].as_str().unwrap().to_owned()
}

const ENDPOINTS: &[(&str, &[&str])] = &[
    ("/scim/v2/Users", &["GET", "POST"]),
    ("/scim/v2/Users/", &["GET", "POST"]),
    ("/scim/v2/Users/0192aaaa-0000-7000-8000-000000000001", &["GET", "PUT", "PATCH", "DELETE"]),
    ("/scim/v2/Groups", &["GET", "POST"]),
    ("/scim/v2/Groups/1", &["GET", "PUT", "PATCH", "DELETE"]),
    ("/scim/v2/ServiceProviderConfig", &["GET"]),
    ("/scim/v2/ResourceTypes", &["GET"]),
    ("/scim/v2/ResourceTypes/User", &["GET"]),
    ("/scim/v2/Schemas", &["GET"]),
    ("/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", &["GET"]),
    ("/scim/v2/Users/.search", &["POST"]),
    ("/scim/v2/Groups/.search", &["POST"]),
    ("/scim/v2/.search", &["POST"]),
    ("/scim/v2", &["GET"]),
    ("/scim/v2/", &["GET"]),
    ("/scim/v2/Async/0192aaaa-0000-7000-8000-000000000001", &["GET"]),
    ("/scim/v2/Me", &["GET", "POST", "DELETE"]),
    ("/scim/v2/Bulk", &["POST"]),
    ("/events", &["POST"]),
];

#[tokio::test]
async fn missing_credentials_and_malformed_keys_are_unauthorized() {
    for (path, methods) in ENDPOINTS {
        for method in *methods {
            for key in [None, Some("not-a-key")] {
                if *path == "/scim/v2/ServiceProviderConfig" && key.is_none() {
                    continue;
                }
                let at = format!("{method} {path} {key:?}");
                let response = ask(method, path, key).await;
                assert_eq!(response.status(), 401, "{at}");
                assert!(response.headers().contains_key("www-authenticate"), "{at}");
                detail(response, &at).await;
            }
        }
    }
}

#[tokio::test]
async fn service_provider_config_is_public() {
    for path in ["/scim/v2/ServiceProviderConfig", "/scim/v2/ServiceProviderConfig/"] {
        let response = ask("GET", path, None).await;
        assert_eq!(response.status(), 200, "{path}");
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["patch"]["supported"], true);
        assert!(body["securityEvents"].is_object(), "{body}");
    }
    let response = ask("GET", "/scim/v2/ServiceProviderConfig?filter=id%20pr", None).await;
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn double_slashes_are_normalized() {
    for (path, status) in [
        ("/scim/v2//Users", 401),
        ("/scim//v2/Users", 401),
        ("//scim/v2/Users//0192aaaa-0000-7000-8000-000000000001", 401),
        ("/scim/v2//.search", 405),
        ("/scim/v2//ServiceProviderConfig", 200),
        ("//healthz", 200),
        ("//activity", 401),
        ("/scim/v2//Nothing", 404),
    ] {
        assert_eq!(ask("GET", path, None).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn key_that_cannot_be_checked_is_a_429() {
    let response = ask("GET", "/scim/v2/Users", Some("rck_abcdefghijklmnopqrstuvwxyz")).await;
    assert_eq!(response.status(), 429);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().is_ok());
    detail(response, "an unknown key").await;
}

#[tokio::test]
async fn wrong_method_is_rejected_before_authentication() {
    for (method, path, allowed) in [
        ("DELETE", "/scim/v2/Users", "GET,HEAD,POST"),
        ("POST", "/scim/v2/Users/1", "GET,HEAD,PUT,PATCH,DELETE"),
        ("DELETE", "/scim/v2/Users/.search", "POST"),
        ("GET", "/scim/v2/Groups/.search/", "POST"),
        ("POST", "/scim/v2/", "GET,HEAD"),
        ("GET", "/scim/v2/Bulk", "POST"),
        ("DELETE", "/scim/v2/Async/1", "GET,HEAD"),
        ("POST", "/scim/v2/Schemas", "GET,HEAD"),
        ("PUT", "/scim/v2/ServiceProviderConfig/", "GET,HEAD"),
        ("GET", "/events", "POST"),
        ("BREW", "/events", "POST"),
    ] {
        let at = format!("{method} {path}");
        let response = ask(method, path, None).await;
        assert_eq!(response.status(), 405, "{at}");
        assert_eq!(response.headers()["allow"], allowed, "{at}");
        detail(response, &at).await;
    }
}

#[tokio::test]
async fn unknown_path_is_a_scim_error() {
    for path in
        ["/", "/scim/v3", "/scim/v2/Async", "/scim/v2/Nothing", "/Users", "/scim/v2/Users/1/2", "/%ff"]
    {
        let response = ask("GET", path, None).await;
        assert_eq!(response.status(), 404, "{path}");
        assert!(detail(response, path).await.contains("/scim/v2"));
    }
}

#[tokio::test]
async fn no_response_is_stored_or_sniffed() {
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/scim/v2/ServiceProviderConfig"),
        ("GET", "/scim/v2/Users"),
        ("POST", "/events"),
        ("PUT", "/events"),
        ("GET", "/reports/learners"),
        ("GET", "/activity"),
        ("GET", "/unsubscribe/x"),
        ("POST", "/unsubscribe/x"),
        ("GET", "/nothing"),
    ] {
        let headers = ask(method, path, None).await.headers().clone();
        assert_eq!(headers["cache-control"], "no-store", "{method} {path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{method} {path}");
        let is_page = path.starts_with("/unsubscribe");
        assert_eq!(headers.contains_key("x-frame-options"), is_page, "{method} {path}");
    }
}

#[tokio::test]
async fn panic_is_a_scim_error_without_its_message() {
    let panics = || async { panic!("quotes ann@acme.example") as () };
    let mut router: Router =
        Router::new().route("/", get(panics)).layer(CatchPanicLayer::custom(panics::respond));
    let response = router.call(Request::new(Body::empty())).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    assert!(!String::from_utf8_lossy(&body).contains("ann"));
}
