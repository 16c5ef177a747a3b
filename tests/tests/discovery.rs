//! The discovery endpoints, and errors for unsupported methods and paths.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Okta, Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_service_provider_config_lists_the_supported_features() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("config").await.okta();
    let config = okta.get("/ServiceProviderConfig").await.is(200).body;
    assert_eq!(config["securityEvents"]["asyncRequest"], "request");
    for (feature, supported) in [
        ("patch", true),
        ("filter", true),
        ("etag", true),
        ("bulk", true),
        ("changePassword", false),
        ("sort", true),
    ] {
        assert_eq!(config[feature]["supported"], json!(supported), "{feature}");
    }
    assert!(config["filter"]["maxResults"].is_u64(), "{config}");
    let schemes: Vec<_> =
        config["authenticationSchemes"].as_array().unwrap().iter().map(|s| s["type"].clone()).collect();
    assert!(
        schemes.contains(&json!("httpbasic")) && schemes.contains(&json!("oauthbearertoken")),
        "{schemes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_depends_on_the_tenant_and_not_on_the_client() {
    let stack = Stack::shared().await;
    let (tenant, other) = (stack.tenant("strict").await, stack.tenant("lenient").await);
    let config_of = async |okta: &Okta, user_agent: &str| -> Value {
        let request = okta.request("GET", "/ServiceProviderConfig").header("User-Agent", user_agent);
        let mut config = okta.send(request).await.is(200).body;
        config["meta"].take();
        config
    };
    let okta = tenant.okta();
    let full = config_of(&okta, "Okta SCIM Client 1.0.0").await;
    assert_eq!(full["securityEvents"]["asyncRequest"], "request");
    for user_agent in ["python-httpx/0.28.1", "scim2-client", "curl/8.0", ""] {
        assert_eq!(config_of(&okta, user_agent).await, full, "{user_agent}");
    }
    tenant.set(&stack, &["discovery=core"]).await;
    let core = eventually("the setting is in force", Duration::from_secs(5), async || {
        Some(config_of(&okta, "").await).filter(|config| *config != full)
    })
    .await;
    let mut expected = full.clone();
    expected.as_object_mut().unwrap().remove("securityEvents");
    assert_eq!(core, expected, "nothing else is left out");
    assert_eq!(config_of(&other.okta(), "python-httpx/0.28.1").await, full, "another tenant is unaffected");
    // Features that are left out still work.
    let request = okta.request("POST", "/Users").header("Prefer", "respond-async");
    let person = tests::okta::person("ada@strict.example", "Ada", "Lovelace");
    okta.send(request.body(person.to_string())).await.is(202);
    tenant.set(&stack, &["discovery=full"]).await;
    eventually("it is listed again", Duration::from_secs(5), async || {
        (config_of(&okta, "").await == full).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_and_resource_types_can_be_read_one_by_one() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("schemas").await.okta();
    for list in ["/ResourceTypes", "/Schemas"] {
        let all = okta.get(list).await.is(200);
        assert_eq!(all.total(), all.resources().len() as u64);
        assert!(all.total() > 0);
        for resource in all.resources() {
            let one = okta.get(&format!("{list}/{}", resource["id"].as_str().unwrap())).await.is(200);
            assert_eq!(&one.body, resource);
        }
        okta.get(&format!("{list}/urn:unknown")).await.is_error(404);
    }
    let user = okta.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User").await.is(200).body;
    let attribute = |name: &str| {
        user["attributes"].as_array().unwrap().iter().find(|a| a["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(attribute("userName")["uniqueness"], "server");
    assert_eq!(attribute("userName")["caseExact"], json!(false));
    assert_eq!(attribute("userName")["required"], json!(true));
    assert_eq!(attribute("emails")["multiValued"], json!(true));
    assert_eq!(attribute("active")["required"], json!(false), "it need not be sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_rejects_filters_and_all_methods_except_get() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("discovery").await.okta();
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            // The body is ignored.
            let answer = okta.send(okta.request(method, path).body("{ no json")).await.is_error(405);
            assert!(answer.header("allow").contains("GET"), "{method} {path}: {:?}", answer.header("allow"));
        }
        okta.get(&format!("{path}?filter=id%20pr")).await.is_error(403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_methods_and_paths_are_scim_errors() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("methods").await.okta();
    for (method, path, status) in [
        ("PUT", "/Users", 405),
        ("DELETE", "/Users", 405),
        ("PATCH", "/Users", 405),
        ("POST", "/Users/0192f7a0-0000-7000-8000-000000000000", 405),
        ("GET", "/Nothing", 404),
        ("GET", "/Users/a/b", 404),
        ("GET", "/Me", 501),
        ("POST", "/Me", 501),
        ("POST", "/Groups/0192f7a0-0000-7000-8000-000000000000", 405),
        ("DELETE", "/Groups", 405),
    ] {
        let answer = okta.with_body(method, path, &json!({})).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        answer.is_error(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_needs_no_credentials() {
    let stack = Stack::shared().await;
    let nobody = Okta::with(&stack.origin(), None);
    for path in ["healthz", "readyz"] {
        nobody.once(nobody.request("GET", &format!("/../../{path}"))).await.is(200);
    }
}
