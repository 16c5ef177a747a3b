//! Features outside of SCIM: roles, and linking accounts that existed before the integration.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::okta::person;
use tests::stack::Said;
use tests::{Stack, eventually, programs};

async fn add(stack: &Stack, tenant: &str, name: &str) -> String {
    let email = format!("{name}@{tenant}.example");
    let new = ["user", "add", tenant, "--email", &email, "--given-name", "Old", "--family-name", "Timer"];
    stack.rollcall_json(&new).await["id"].as_str().unwrap().to_owned()
}

fn linked(user_name: &str) -> Value {
    let mut user = person(user_name, "Pat", "Doe");
    user["externalId"] = json!(format!("00u-{user_name}"));
    user
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_set_by_the_operator_or_an_event_and_kept_by_scim_requests() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("roles").await;
    let okta = tenant.okta();
    let user = linked("ada@roles.example");
    let id = okta.create(&user).await.is(201).id();
    let role = async || stack.db().user(&id).await.unwrap()["role"].as_str().unwrap().to_owned();
    assert_eq!(role().await, "learner");

    stack.rollcall(&["user", "role", "roles", "ADA@roles.example", "creator"]).await.well();
    assert_eq!(role().await, "creator");
    let mut pushed = user.clone();
    pushed["title"] = json!("Boss");
    pushed["roles"] = json!([{ "value": "admin" }]);
    okta.put(&id, &pushed).await.is(200);
    okta.set_active(&id, false).await.is(200);
    okta.create(&user).await.is(201);
    assert_eq!(role().await, "creator", "a SCIM request changed the role");

    let role_changed = |role: &str| {
        json!({
            "specversion": "1.0", "type": "role.changed", "source": "/platform", "id": platform::id::new(),
            "data": { "user": { "id": id }, "role": role }
        })
    };
    let refused = tenant.content().tell(&role_changed("owner")).await;
    assert_eq!((refused.status, refused.detail().contains("data.role")), (400, true), "{}", refused.detail());
    tenant.content().tell(&role_changed("manager")).await.is(202);
    assert_eq!(role().await, "manager");
    // A redelivered event has no effect after the role has changed again.
    let creator = role_changed("creator");
    tenant.content().tell(&creator).await.is(202);
    stack.rollcall(&["user", "role", "roles", "ada@roles.example", "manager"]).await.well();
    tenant.content().tell(&creator).await.is(202);
    assert_eq!(role().await, "manager", "an event was applied twice");
    let mut nobody = role_changed("manager");
    nobody["data"]["user"]["id"] = json!(platform::id::new());
    let refused = tenant.content().tell(&nobody).await;
    assert_eq!(
        (refused.status, refused.detail().contains("data.user.id")),
        (404, true),
        "{}",
        refused.detail()
    );
    let wrong = stack.rollcall(&["user", "role", "roles", "nobody@roles.example", "admin"]).await;
    assert_eq!((wrong.code, wrong.err.contains("no such user")), (Some(1), true), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_linked_accounts_and_a_filter_also_finds_unlinked_ones() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("owned").await.okta();
    let old = add(&stack, "owned", "old").await;
    okta.create(&linked("new@owned.example")).await.is(201);
    let all = okta.get("/Users").await.is(200);
    assert_eq!((all.total(), &all.resources()[0]["userName"]), (1, &json!("new@owned.example")));
    assert_eq!(okta.find("old@owned.example").await.is(200).total(), 1);
    assert_eq!(okta.filter("emails.value eq \"old@owned.example\"").await.is(200).total(), 1);
    // Found, read, and put back unchanged, without an externalId: this links the account.
    let read = okta.get(&format!("/Users/{old}")).await.is(200);
    assert_eq!(read.body.get("externalId"), None);
    let put = okta.put(&old, &read.body).await.is(200);
    let without_meta = |mut body: Value| {
        body.as_object_mut().unwrap().remove("meta");
        body
    };
    assert_eq!(without_meta(put.body), without_meta(read.body.clone()), "nothing else has changed");
    assert_eq!(okta.get("/Users").await.is(200).total(), 2);
    assert_eq!(stack.rollcall_json(&["unlinked", "owned"]).await, json!([]));
    // Setting the externalId links an account too.
    let other = add(&stack, "owned", "other").await;
    okta.put(&other, &linked("other@owned.example")).await.is(200);
    assert_eq!(okta.get("/Users").await.is(200).total(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_accounts_are_linked_from_a_file_after_a_dry_run() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("linking").await.okta();
    for name in ["one", "two"] {
        add(&stack, "linking", name).await;
    }
    okta.create(&linked("three@linking.example")).await.is(201);
    let folder = std::env::temp_dir().join(format!("rollcall-link-{}", platform::id::new()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("links.csv");
    std::fs::write(
        &file,
        "userName,externalId\none@linking.example,00u1\nTWO@linking.example,00u2\nthree@linking.example,00u3\nnobody@linking.example,00u4\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let unlinked = async || {
        stack.rollcall(&["unlinked", "linking", "--json"]).await.well().out.matches("\"userName\"").count()
    };

    let dry = stack.rollcall(&["link", "linking", "--csv", path, "--dry-run"]).await;
    assert_eq!(dry.code, Some(1), "two lines do not match");
    assert!(dry.out.contains("2 accounts would be linked, 0 already linked"), "{}", dry.out);
    assert_eq!(unlinked().await, 2, "a dry run changes nothing");

    let done = stack.rollcall(&["link", "linking", "--csv", path]).await;
    assert!(done.out.contains("2 accounts linked") && done.out.contains("no such account"), "{}", done.out);
    assert!(
        done.out.contains("nobody@linking.example"),
        "accounts that were not linked are named: {}",
        done.out
    );
    assert_eq!(unlinked().await, 0);
    // Repeated, the accounts are linked already. Other headings; the tenant by option.
    std::fs::write(&file, "Name;E-Mail;USERNAME;External ID\r\nOne;;one@linking.example;00u1\r\nTwo;;two@linking.example;00u2\r\n")
        .unwrap();
    let again = stack.rollcall_json(&["link", "--tenant", "linking", "--csv", path]).await;
    assert_eq!(again, json!({ "dry_run": false, "linked": 0, "linked_already": 2, "not_linked": [] }));
    let found = okta.filter("externalId eq \"00u2\"").await.is(200);
    assert_eq!(found.resources()[0]["userName"], "two@linking.example");
    std::fs::remove_dir_all(&folder).unwrap();

    let missing = stack.rollcall(&["link", "linking", "--csv", "/nowhere.csv"]).await;
    assert_eq!((missing.code, missing.err.contains("--csv")), (Some(2), true), "{}", missing.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_can_treat_a_post_of_an_existing_user_as_an_update() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("duplicates").await.okta();
    let mut user = linked("ada@duplicates.example");
    let id = okta.create(&user).await.is(201).id();
    user["title"] = json!("Boss");
    okta.create(&user).await.is_error_of(409, "uniqueness");

    stack.rollcall(&["tenant", "set", "duplicates", "on_duplicate=update"]).await.well();
    let again = okta.create(&user).await.is(201);
    assert_eq!((again.id(), &again.body["title"]), (id.clone(), &json!("Boss")));
    assert_eq!(stack.db().count(&format!("select 1 from users where id = '{id}' and version = 2")).await, 1);
}

/// The CLI with a deadline of two seconds, optionally in a terminal.
fn link(stack: &Stack, path: &str, is_in_terminal: bool) -> Command {
    let rollcall = programs::path("rollcall");
    let mut command = if is_in_terminal {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{} link --csv {path}", rollcall.display()), "/dev/null"]);
        script
    } else {
        let mut plain = Command::new(rollcall);
        plain.args(["link", "--csv", path]);
        plain
    };
    command
        .env("DATABASE_URL", &stack.database_url)
        .env("AMQP_URL", &stack.amqp_url)
        .env("ROLLCALL_DEADLINE", "2");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_linked_with_a_progress_bar_and_a_late_answer_hides_nothing() {
    let stack = Stack::own().await;
    stack.tenant("only").await;
    let [one, two] = [add(&stack, "only", "one").await, add(&stack, "only", "two").await];
    let file = stack.folder().join("links.csv");
    let path = file.to_str().unwrap();
    let external_id = async |id: &str| stack.db().user(id).await.unwrap()["external_id"].clone();

    // The only tenant need not be named.
    std::fs::write(&file, "email,externalId\none@only.example,00u1\n").unwrap();
    let done = Said::by(link(&stack, path, true)).await.well();
    assert!(done.out.contains("[########################################] 1/1"), "{}", done.out);
    assert!(done.out.contains("1 accounts linked"), "{}", done.out);
    assert_eq!(external_id(&one).await, "00u1");

    std::fs::write(&file, "email,externalId\ntwo@only.example,00u2\nnobody@only.example,00u3\n").unwrap();
    stack.workers[0].freeze();
    let late = Said::by(link(&stack, path, false)).await;
    stack.workers[0].thaw();
    assert_eq!(late.code, Some(3), "{}", late.err);
    for said in ["0 accounts linked", "no worker answered", "nobody@only.example"] {
        assert!(late.out.contains(said), "{said}: {}", late.out);
    }
    eventually("what was queued is applied", Duration::from_secs(20), async || {
        (external_id(&two).await == "00u2").then_some(())
    })
    .await;
    let again = Said::by(link(&stack, path, false)).await;
    assert_eq!((again.code, again.out.contains("1 already linked")), (Some(1), true), "{}", again.out);
}
