//! Tenants are isolated from each other.

use std::time::Duration;

use serde_json::json;
use tests::okta::person;
use tests::{Okta, Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_id_is_not_found_and_its_name_is_no_conflict() {
    let stack = Stack::shared().await;
    let (ours, theirs) = (stack.tenant("walls-a").await.okta(), stack.tenant("walls-b").await.okta());
    let user = person("ada@walls.example", "Ada", "Lovelace");
    let created = theirs.create(&user).await.is(201);
    let id = created.id();

    ours.user(&id).await.is_error(404);
    ours.put(&id, &user).await.is_error(404);
    ours.set_active(&id, false).await.is_error(404);
    ours.delete(&id).await.is_error(404);
    for filter in [
        format!("id eq \"{id}\""),
        "userName eq \"ada@walls.example\"".into(),
        "externalId eq \"00u-ada@walls.example\"".into(),
    ] {
        assert_eq!(ours.filter(&filter).await.is(200).total(), 0, "{filter}");
    }
    assert_eq!(ours.get("/Users").await.is(200).total(), 0);

    // A lock on the other tenant's row has no effect here.
    let lock =
        format!("do $$ begin perform 1 from users where id = '{id}' for update; perform pg_sleep(8); end $$");
    let locked = format!(
        "select 1 from pg_stat_activity where wait_event = 'PgSleep' and query like '%{id}%' and pid <> pg_backend_pid()"
    );
    let db = stack.db();
    let ((), is_still_locked) = tokio::join!(db.execute(&lock), async {
        eventually("its row is locked", Duration::from_secs(5), async || {
            (db.count(&locked).await == 1).then_some(())
        })
        .await;
        ours.set_active(&id, false).await.is_error(404);
        db.count(&locked).await == 1
    });
    assert!(is_still_locked, "one tenant waits for another's row");

    let own = ours.create(&user).await.is(201).id();
    assert_ne!(own, id);
    assert_eq!(theirs.user(&id).await.is(200).body, created.body, "untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_credentials_get_the_same_answer_everywhere() {
    let stack = Stack::shared().await;
    let (acme, other) = (stack.tenant("doors-a").await, stack.tenant("doors-b").await);
    let id = acme.okta().create(&person("ada@doors.example", "Ada", "Lovelace")).await.is(201).id();
    let (origin, key) = (stack.origin(), &acme.key.api_key);
    let strangers = [
        Okta::with(&origin, None),
        Okta::with(&origin, Some("Basic".to_owned())),
        Okta::with(&origin, Some("Basic !!!".to_owned())),
        Okta::with(&origin, Some("Negotiate abc".to_owned())),
        Okta::bearer(&origin, ""),
        Okta::bearer(&origin, "wrong"),
        Okta::bearer(&origin, &format!("{key}x")),
        Okta::bearer(&origin, &key[..key.len() - 1]),
        Okta::basic(&origin, &acme.key.username, "wrong"),
        Okta::basic(&origin, &acme.key.username, &other.key.api_key),
        Okta::basic(&origin, &other.key.username, key),
        Okta::basic(&origin, "", key),
        Okta::basic(&origin, "nobody", key),
    ];
    let user = person("eve@doors.example", "Eve", "Sdropper");
    for (n, stranger) in strangers.iter().enumerate() {
        for (method, path) in [
            ("GET", "/Users".to_owned()),
            ("POST", "/Users".to_owned()),
            ("GET", format!("/Users/{id}")),
            ("PUT", format!("/Users/{id}")),
            ("PATCH", format!("/Users/{id}")),
            ("DELETE", format!("/Users/{id}")),
            ("GET", "/Groups".to_owned()),
            ("GET", "/Users/0192f7a0-0000-7000-8000-000000000000".to_owned()),
        ] {
            let answer = stranger.with_body(method, &path, &user).await;
            assert_eq!(answer.status, 401, "stranger {n}, {method} {path}: {}", answer.text);
            let answer = answer.is_error(401);
            assert_eq!(answer.body["status"], json!("401"));
            assert!(!answer.header("www-authenticate").is_empty(), "RFC 9110 §11.6.1");
        }
    }
    assert_eq!(acme.okta().get("/Users").await.is(200).total(), 1);
}
