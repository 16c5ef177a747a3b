//! API keys: use, rotation, scopes, expiry and revocation.

use std::time::{Duration, Instant};

use tests::tenant::Key;
use tests::{Okta, Stack, eventually};

async fn status(okta: &Okta) -> u16 {
    okta.get("/Users?count=0").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_with_basic_and_bearer() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("opens").await;
    let (origin, key) = (stack.origin(), &tenant.key.api_key);
    assert_eq!(tenant.key.username, "opens");
    assert_eq!(status(&Okta::basic(&origin, "opens", key)).await, 200);
    assert_eq!(status(&Okta::basic(&origin, "OPENS", key)).await, 200, "a subdomain is case-insensitive");
    assert_eq!(status(&Okta::bearer(&origin, key)).await, 200);
    assert_eq!(
        status(&Okta::with(&origin, Some(format!("bearer {key}")))).await,
        200,
        "a scheme is case-insensitive (RFC 9110 §11.1)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_work_at_once_and_a_revoked_one_is_rejected_everywhere_within_two_seconds() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("rotation").await;
    let new = Key::add(&stack, "rotation", "scim").await;
    let at = |key: &Key| [0, 1].map(|n| Okta::basic(&stack.origin_of(n), &key.username, &key.api_key));
    let (old_clients, new_clients) = (at(&tenant.key), at(&new));
    for client in old_clients.iter().chain(&new_clients) {
        // Twice, so that the key is cached.
        assert_eq!((status(client).await, status(client).await), (200, 200));
    }

    stack.rollcall(&["key", "revoke", "rotation", tenant.key.prefix()]).await.well();
    let revoked = Instant::now();
    for client in &old_clients {
        eventually("the old key is rejected", Duration::from_secs(5), async || {
            (status(client).await == 401).then_some(())
        })
        .await;
    }
    assert!(revoked.elapsed() < Duration::from_secs(2), "{:?}", revoked.elapsed());
    for client in &old_clients {
        client.get("/Users").await.is_error(401);
    }
    for client in &new_clients {
        assert_eq!(status(client).await, 200);
    }
    let listed = stack.rollcall_json(&["key", "list", "rotation"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let text = listed.to_string();
    for key in [&tenant.key, &new] {
        assert!(
            text.contains(key.prefix()) && !text.contains(&key.api_key),
            "the prefix is shown, the key is not: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_limited_to_its_scopes() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("scopes").await;
    let (scim, events) =
        (Key::add(&stack, "scopes", "scim").await, Key::add(&stack, "scopes", "events").await);
    let origin = stack.origin();
    Okta::bearer(&origin, &events.api_key).get("/Users").await.is_error(403);
    assert_eq!(status(&Okta::bearer(&origin, &scim.api_key)).await, 200);

    let id = tenant.okta().create(&tests::okta::person("s@scopes.example", "Sco", "Pe")).await.is(201).id();
    let teller = |key: &Key| tests::content::ContentService::new(&origin, "scopes", &key.api_key);
    let event = tenant.content().assigned(&id, "Scope");
    teller(&scim).tell(&event).await.is(403);
    teller(&events).tell(&event).await.is(202);

    let wrong = stack.rollcall(&["key", "add", "scopes", "--scope", "scim,everything", "--json"]).await;
    assert_ne!(wrong.code, Some(0));
    assert!(wrong.err.contains("everything"), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_rejected() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("expiry").await;
    let key = Key::add(&stack, "expiry", "scim").await;
    let [first, second] = [0, 1].map(|n| Okta::bearer(&stack.origin_of(n), &key.api_key));
    assert_eq!(status(&first).await, 200);
    let expire = format!(
        "update api_keys set expires_at = now() - interval '1 minute' where prefix = '{}'",
        key.prefix()
    );
    stack.db().execute(&expire).await;
    // The first ingest has the key cached, the second has not.
    second.get("/Users").await.is_error(401);
    eventually("the cached key is rejected", Duration::from_secs(5), async || {
        (status(&first).await == 401).then_some(())
    })
    .await;
    assert_eq!(status(&tenant.okta()).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_stored_only_as_hashes() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("clear").await;
    assert_eq!(status(&tenant.okta()).await, 200);
    let row =
        stack.db().one(&format!("select * from api_keys where prefix = '{}'", tenant.key.prefix())).await;
    assert!(!row.to_string().contains(&tenant.key.api_key), "{row}");
    assert_eq!(row["sha256"].as_str().unwrap().len(), 64);
    let used = || stack.db();
    eventually("its use is recorded", Duration::from_secs(20), async || {
        let query = format!("select 1 from key_uses where key_id = '{}'", row["id"].as_str().unwrap());
        (used().count(&query).await == 1).then_some(())
    })
    .await;
}
