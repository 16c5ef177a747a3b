//! Reconciliation: users who are active here but missing in Okta are reported; they are archived only if the tenant
//! wants it, and within a limit.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tests::load::{push, somebody};
use tests::okta_api::{OktaApi, user};
use tests::{Okta, Stack, eventually};

/// A tenant with ten users from SCIM and a manual one, and an Okta that has the ten.
async fn company(stack: &Stack, name: &str) -> (Okta, OktaApi, Vec<String>) {
    let okta = stack.tenant(name).await.okta();
    let mut pushed = push(&okta, name, 10, 4).await;
    pushed.sort_by(|a, b| a.user_name.cmp(&b.user_name));
    let email = format!("by-hand@{name}.example");
    let arguments = ["user", "add", name, "--email", &email, "--given-name", "By", "--family-name", "Hand"];
    stack.rollcall_json(&arguments).await;
    let api = OktaApi::start((0..10).map(|n| user(name, n)).collect()).await;
    (okta, api, pushed.iter().map(|person| person.answer.id()).collect())
}

fn missing(run: &Value) -> BTreeSet<String> {
    run["gone_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// The last run, once it has ended.
async fn last_run(stack: &Stack, tenant: &str) -> Value {
    stack.rollcall_json(&["pull", "status", tenant]).await[0]["last_run"].clone()
}

async fn inactive(okta: &Okta, ids: &[String]) {
    eventually("they are archived", Duration::from_secs(30), async || {
        for id in ids {
            if okta.user(id).await.is(200).body["active"] != false {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_missing_at_okta_are_reported_and_not_archived_by_default() {
    let stack = Stack::shared().await;
    let (okta, api, ids) = company(&stack, "report").await;
    api.set(&stack, "report", &[]).await;
    api.change(|users| {
        // One is no longer in the group, one is deprovisioned, and one is suspended. A suspended user is not missing.
        users[1]["status"] = json!("DEPROVISIONED");
        users[2]["status"] = json!("SUSPENDED");
        users.remove(0);
    });
    // A user who is archived here already is not reported.
    okta.set_active(&ids[9], false).await.is(200);
    api.change(|users| drop(users.pop()));
    let run = stack.rollcall_json(&["pull", "run", "report"]).await;
    assert_eq!((&run["state"], &run["gone"], &run["archived"]), (&json!("done"), &json!(2), &json!(0)));
    assert_eq!(run["roster"], json!(10), "nine users from SCIM and the manual one");
    assert_eq!(missing(&run), [ids[0].clone(), ids[1].clone()].into());
    assert_eq!(last_run(&stack, "report").await, run);
    for id in &ids[..9] {
        assert_eq!(okta.user(id).await.is(200).body["active"], true);
    }
    let table = stack.rollcall(&["pull", "status", "report"]).await.well();
    assert!(table.out.contains("report") && table.out.contains("done"), "{}", table.out);
    for n in [0, 1] {
        let name = format!("person-{n:05}@report.example");
        assert!(table.out.contains(&ids[n]) && table.out.contains(&name), "{n} is missing: {}", table.out);
    }
    let said = stack.rollcall(&["pull", "confirm", "report"]).await;
    assert!(said.code == Some(1) && said.err.contains("does not await confirmation"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_missing_at_okta_are_archived_if_the_tenant_wants_it_and_restored_by_scim() {
    let stack = Stack::shared().await;
    let (okta, api, ids) = company(&stack, "opted").await;
    api.set(&stack, "opted", &["--archive-missing"]).await;
    api.change(|users| drop(users.drain(..2)));
    let run = stack.rollcall_json(&["pull", "run", "opted"]).await;
    assert_eq!((&run["state"], &run["gone"], &run["archived"]), (&json!("done"), &json!(2), &json!(2)));
    inactive(&okta, &ids[..2]).await;
    for id in &ids[2..] {
        assert_eq!(okta.user(id).await.is(200).body["active"], true);
    }
    let by_hand = stack.rollcall_json(&["user", "show", "opted", "by-hand@opted.example"]).await;
    assert_eq!(by_hand["active"], true, "a manual user does not count as missing");
    // The same account is restored, and the next pull, which sees it again, leaves it unchanged.
    okta.set_active(&ids[0], true).await.is(200);
    api.change(|users| users.push(user("opted", 0)));
    let run = stack.rollcall_json(&["pull", "run", "opted"]).await;
    assert_eq!((&run["state"], &run["gone"]), (&json!("done"), &json!(0)));
    assert_eq!(okta.user(&ids[0]).await.is(200).body["active"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_limit_a_pull_waits_for_confirmation() {
    let stack = Stack::shared().await;
    let (okta, api, ids) = company(&stack, "limit").await;
    api.set(&stack, "limit", &["--archive-missing"]).await;
    api.change(|users| drop(users.drain(..3)));
    let said = stack.rollcall(&["pull", "run", "limit", "--json"]).await;
    assert!(said.code == Some(1) && said.err.contains("3 of 11"), "{:?}: {}", said.code, said.err);
    assert!(said.err.contains("rollcall pull confirm limit") && said.err.contains("20 %"), "{}", said.err);
    let run = last_run(&stack, "limit").await;
    let another = stack.rollcall(&["pull", "confirm", "limit", &ids[0]]).await;
    assert!(another.code == Some(1) && another.err.contains("the last pull"), "{}", another.err);
    assert_eq!((&run["state"], &run["gone"], &run["archived"]), (&json!("asks"), &json!(3), &json!(0)));
    for id in &ids {
        assert_eq!(
            okta.user(id).await.is(200).body["active"],
            true,
            "nobody is archived before the confirmation"
        );
    }
    // One of them changes before the confirmation: that user is not archived.
    okta.update(&ids[2], &json!({ "title": "Still here" })).await.is(200);
    let run = stack.rollcall_json(&["pull", "confirm", "limit", run["id"].as_str().unwrap()]).await;
    assert_eq!(
        (&run["state"], &run["archiving"], &run["confirmed"]),
        (&json!("done"), &json!(3), &json!(true))
    );
    assert_eq!((&run["archived"], &run["kept"]), (&json!(2), &json!(1)), "the outcomes, not what was queued");
    inactive(&okta, &ids[..2]).await;
    let verdicts = "select 1 from commands where actor = 'pull' and status = 412";
    eventually("the third is rejected", Duration::from_secs(30), async || {
        (stack.db().count(verdicts).await == 1).then_some(())
    })
    .await;
    assert_eq!(okta.user(&ids[2]).await.is(200).body["active"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_fails_archives_nobody() {
    let stack = Stack::shared().await;
    let (okta, api, ids) = company(&stack, "refused-pull").await;
    api.set(&stack, "refused-pull", &["--archive-missing", "--limit-percent", "100"]).await;
    api.break_page(0, &[tests::okta_api::Fault::Status(403)]);
    let said = stack.rollcall(&["pull", "run", "refused-pull"]).await;
    assert!(said.code == Some(1) && said.err.contains("rejects the token"), "{}", said.err);
    assert!(!said.err.contains("must not appear"), "{}", said.err);
    assert_eq!(last_run(&stack, "refused-pull").await["gone"], Value::Null);
    assert_eq!(okta.user(&ids[0]).await.is(200).body["active"], true);
    okta.create(&somebody("refused-pull", 77)).await.is(201);
}
