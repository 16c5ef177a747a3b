//! The activity log: who requested which change when, the outcome, and the reason for a rejection.

use serde_json::json;
use tests::Stack;
use tests::okta::person;
use tests::rows::rows;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_shows_actor_change_outcome_and_reason() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-log").await;
    let okta = tenant.okta();
    let user = person("ada@log.example", "Ada", "A");
    let id = okta.create(&user).await.is(201).id();
    okta.create(&user).await.is(409);
    okta.set_active(&id, false).await.is(200);

    let log = rows(&stack, &tenant.key, "/activity").await;
    let outcomes: Vec<(&str, &str)> =
        log.iter().map(|row| (row["change"].as_str().unwrap(), row["outcome"].as_str().unwrap())).collect();
    assert_eq!(
        outcomes,
        [("user.create", "created"), ("user.create", "rejected"), ("user.patch", "updated")]
    );
    assert_eq!(log[2]["attributes"], "active", "the log names the attribute, not its value");
    assert!(log[1]["reason"].as_str().is_some_and(|reason| reason.contains("userName")), "{log:?}");
    assert!(log.iter().all(|row| row["actor"] == format!("key {}", tenant.key.prefix())), "{log:?}");
    assert!(!json!(log).to_string().contains("ada@log.example"), "the log contains personal data");

    let about = rows(&stack, &tenant.key, "/activity?user=ADA@log.example").await;
    assert_eq!(about, log, "includes rejected changes, and nobody else's");
    let later = rows(&stack, &tenant.key, "/activity?since=2099-01-01T00:00:00Z").await;
    assert!(later.is_empty());
    let said = stack.rollcall(&["activity", "reports-log", "--user", &id]).await.well();
    assert!(said.out.contains("user.patch") && said.out.contains("updated"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_goes_back_to_the_given_time() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-since").await;
    let id = tenant.okta().create(&person("ada@since.example", "Ada", "A")).await.is(201).id();
    stack.rollcall(&["user", "role", "reports-since", &id, "creator"]).await.well();
    // Makes the create ten days old: a command's time is in its id.
    let made =
        domain::ticket::Ticket::least_at(platform::clock::Clock::System.now() - time::Duration::days(10)).0;
    stack
        .db()
        .execute(&format!(
            "update commands set id = '{made}' where resource_id = '{id}' and change = 'user.create'"
        ))
        .await;
    for (since, changes) in [
        ("", 1),
        ("?since=30d", 2),
        ("?since=12h", 1),
        ("?since=2020-01-01", 2),
        ("?since=2020-01-01T00:00:00+01:00", 2),
        ("?since=2020-01-01T00:00:00%2B01:00", 2),
    ] {
        let found = rows(&stack, &tenant.key, &format!("/activity{since}")).await;
        assert_eq!(found.len(), changes, "{since}: {found:?}");
    }
    let log = rows(&stack, &tenant.key, "/activity?since=30d").await;
    assert_eq!((&log[1]["actor"], &log[1]["change"]), (&json!("operator"), &json!("user.role")));
    assert_eq!(log[1]["attributes"], "role=creator");

    let said = stack
        .rollcall_json(&["activity", "reports-since", "--since", "30d", "--user", "ADA@since.example"])
        .await;
    assert_eq!(said, json!(log));
    let recent = stack.rollcall_json(&["activity", "reports-since", "--since", "2d"]).await;
    assert_eq!(recent.as_array().map(Vec::len), Some(1));
    let wrong = stack.rollcall(&["activity", "reports-since", "--since", "yesterday"]).await;
    assert_eq!((wrong.code, wrong.err.contains("--since")), (Some(2), true), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_name_includes_earlier_names_and_nobody_else() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-gone").await;
    let okta = tenant.okta();
    okta.create(&person("bob@gone.example", "Bob", "B")).await.is(201);
    let eve = okta.create(&person("eve@gone.example", "Eve", "E")).await.is(201).id();
    let path = "urn:ietf:params:scim:schemas:core:2.0:User:userName";
    let renamed = json!([{ "op": "replace", "path": path, "value": "Eva@gone.example" }]);
    okta.patch(&eve, renamed).await.is(200);
    okta.put(&eve, &person("evita@gone.example", "Eve", "E")).await.is(200);
    for name in ["eve", "eva", "evita"] {
        let about = rows(&stack, &tenant.key, &format!("/activity?user={name}@gone.example")).await;
        assert_eq!(about.len(), 3, "{name}: {about:?}");
    }
    // The names of a deleted user are forgotten, the id is not.
    okta.delete(&eve).await.is(204);
    for name in ["eve", "eva", "evita", "zoe"] {
        let user = format!("{name}@gone.example");
        let nobody = stack.rollcall(&["activity", "reports-gone", "--user", &user]).await;
        assert_eq!((nobody.code, nobody.err.contains("no such user")), (Some(1), true), "{}", nobody.err);
    }
    let about = rows(&stack, &tenant.key, &format!("/activity?user={eve}")).await;
    let changes: Vec<_> = about.iter().map(|row| row["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["user.create", "user.patch", "user.replace", "user.delete"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_only_attributes_that_a_schema_knows() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-keys").await;
    let okta = tenant.okta();
    let id = okta.create(&person("ada@keys.example", "Ada", "A")).await.is(201).id();
    let keys = json!({
        "emails[value eq \"zorro@keys.example\"].value": "x", "\u{1b}[2Jzorro": 1, "zorro[": 2, "TITLE": "x",
    });
    okta.patch(&id, json!([{ "op": "replace", "value": keys }])).await;
    okta.patch(&id, json!([{ "op": "remove", "path": "zorro.name" }])).await;
    let log = rows(&stack, &tenant.key, "/activity").await;
    assert_eq!(log[1]["attributes"], "emails.value title", "{log:?}");
    assert_eq!(log[2]["attributes"], "unknown(1)", "{log:?}");
    assert!(!json!(log).to_string().contains("zorro@"), "{log:?}");
    // What an earlier version stored is not shown.
    stack.db().execute(&format!(
        "update commands set attributes = '{{title,\"emails[value eq \\\"zorro@keys.example\\\"]\"}}' where resource_id = '{id}'"
    )).await;
    let log = rows(&stack, &tenant.key, "/activity").await;
    assert_eq!(log[1]["attributes"], "title unknown", "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_is_not_a_key_is_shown_by_its_name() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("reports-actors").await;
    let id = tenant.okta().create(&person("ada@actors.example", "Ada", "A")).await.is(201).id();
    for actor in ["pull", "platform", "operator"] {
        stack
            .db()
            .execute(&format!("update commands set actor = '{actor}' where resource_id = '{id}'"))
            .await;
        let log = rows(&stack, &tenant.key, "/activity").await;
        assert_eq!(log[0]["actor"], actor);
    }
}
