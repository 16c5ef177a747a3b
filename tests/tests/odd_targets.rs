//! Unusual paths and queries: extra slashes, and literal plus signs. And what is readable without a key.

use tests::okta::{group, person};
use tests::{Okta, Stack};

#[tokio::test(flavor = "multi_thread")]
async fn extra_slashes_are_ignored() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("slashes").await.okta();
    let location = |id: &str| format!("{}/scim/v2/Users/{id}", stack.origin());
    let user = person("s@slashes.example", "Sla", "Shes");
    let created = okta.with_body("POST", "//Users", &user).await.is(201);
    let id = created.id();
    assert_eq!(created.header("location"), location(&id));
    assert_eq!(created.body["meta"]["location"], location(&id));
    for path in [format!("//Users/{id}"), format!("/Users//{id}"), format!("/Users///{id}/")] {
        assert_eq!(okta.get(&path).await.is(200).body["meta"]["location"], location(&id), "{path}");
    }
    assert_eq!(okta.get("//Users?filter=userName+eq+%22s@slashes.example%22").await.is(200).total(), 1);
    assert_eq!(okta.get("/../..//scim//v2/Users").await.is(200).total(), 1);
    okta.with_body("PUT", &format!("//Users//{id}"), &user).await.is(200);
    let group = okta.with_body("POST", "//Groups/", &group("Slashes", &[&id])).await.is(201).id();
    assert_eq!(okta.send(okta.request("DELETE", &format!("//Groups/{group}"))).await.status, 204);
    okta.get("//Nothing").await.is_error(404);
    let log = stack.ingests[0].log();
    assert!(!log.contains("//Users"), "the log should have the route's pattern");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plus_is_literal_if_blanks_are_encoded_otherwise() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("plus").await.okta();
    let id = okta.create(&person("a+b@plus.example", "A", "B")).await.is(201).id();
    okta.create(&person("ab@plus.example", "A", "B")).await.is(201);
    for filter in [
        "userName%20eq%20%22a+b@plus.example%22",
        "userName%20eq%20%22a%2Bb@plus.example%22",
        "userName+eq+%22a%2Bb@plus.example%22",
        "emails.value%20eq%20%22a+b@plus.example%22&sortBy=userName",
    ] {
        let found = okta.get(&format!("/Users?filter={filter}")).await.is(200);
        assert_eq!((found.total(), found.resources()[0]["id"].as_str()), (1, Some(id.as_str())), "{filter}");
    }
    assert_eq!(okta.get("/Users?filter=userName+pr+and+active+eq+true").await.is(200).total(), 2);
    assert_eq!(okta.get("/Users?filter=userName+eq+%22a+b@plus.example%22").await.is(200).total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_provider_config_needs_no_key_but_rejects_a_wrong_one() {
    let stack = Stack::shared().await;
    let origin = stack.origin();
    let config = "/ServiceProviderConfig";
    let nobodys = Okta::with(&origin, None).get(config).await.is(200).body;
    let okta = stack.tenant("open-config").await.okta();
    assert_eq!(nobodys, okta.get(config).await.is(200).body);
    assert_eq!(nobodys["meta"]["location"], format!("{origin}/scim/v2/ServiceProviderConfig"));
    Okta::bearer(&origin, "not-a-key").get(config).await.is_error(401);
    for path in ["/Schemas", "/ResourceTypes", "/Users", "/Groups", "/Me"] {
        Okta::with(&origin, None).get(path).await.is_error(401);
    }
}
