//! Safety of a pull: it does not leak the token, archive users because of faulty answers or outdated settings, or run
//! forever.

use std::time::Duration;

use serde_json::json;
use tests::load::push;
use tests::okta_api::{Fault, OktaApi, user};
use tests::stack::Options;
use tests::{Stack, eventually};

/// A tenant with the same users here and at Okta, that archives missing users without a limit.
async fn company(stack: &Stack, name: &str, people: usize) -> OktaApi {
    let okta = stack.tenant(name).await.okta();
    push(&okta, name, people, 4).await;
    let api = OktaApi::start((0..people).map(|n| user(name, n)).collect()).await;
    api.set(stack, name, &["--archive-missing", "--limit-percent", "100"]).await;
    api
}

/// How many users of a tenant are archived, and how many runs want to archive some.
async fn archived(stack: &Stack, tenant: &str) -> (i64, i64) {
    let of = format!("tenant_id = (select id from tenants where name = '{tenant}')");
    let archived = format!("select 1 from users where archived_at is not null and {of}");
    let archiving = format!("select 1 from pull_runs where archiving > 0 and {of}");
    (stack.db().count(&archived).await, stack.db().count(&archiving).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_sent_only_to_the_configured_group() {
    let stack = Stack::shared().await;
    let api = company(&stack, "astray", 3).await;
    let foreign = OktaApi::start((0..3).map(|n| user("astray", n)).collect()).await;
    let next = format!("<{}>; rel=\"next\"", foreign.page(0));
    for (fault, word) in [(Fault::Link(next), "not in the group"), (Fault::Redirect(foreign.page(0)), "302")]
    {
        api.break_page(0, &[fault]);
        let said = stack.rollcall(&["pull", "run", "astray"]).await;
        assert!(said.code == Some(1) && said.err.contains(word), "{:?}: {}", said.code, said.err);
    }
    assert_eq!(foreign.asked().len(), 0);
    assert_eq!(archived(&stack, "astray").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn circular_pages_and_malformed_links_fail_the_pull_and_archive_nobody() {
    let stack = Stack::shared().await;
    let api = company(&stack, "circle", 3).await;
    // The page that is followed has only the first two.
    api.change(|users| drop(users.pop()));
    let link = |page: String| Fault::Link(format!("<{page}>; rel=\"next\""));
    let circle = vec![link(api.page(0)), link(api.page(0))];
    let unreadable = vec![Fault::Link("<; rel=next".to_owned())];
    for (faults, word) in [(circle, "circle"), (unreadable, "Link header")] {
        api.break_page(0, &faults);
        let said = stack.rollcall(&["pull", "run", "circle"]).await;
        assert!(said.code == Some(1) && said.err.contains(word), "{:?}: {}", said.code, said.err);
    }
    assert_eq!(archived(&stack, "circle").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_group_needs_confirmation_and_new_settings_invalidate_it() {
    let stack = Stack::shared().await;
    let api = company(&stack, "empty", 3).await;
    api.change(Vec::clear);
    let said = stack.rollcall(&["pull", "run", "empty"]).await;
    assert!(said.code == Some(1) && said.err.contains("the group is empty"), "{}", said.err);
    stack.rollcall(&["pull", "set", "empty", "--group", "00g2"]).await.well();
    let said = stack.rollcall(&["pull", "confirm", "empty"]).await;
    assert!(said.code == Some(1) && said.err.contains("reconfigured"), "{}", said.err);
    assert_eq!(archived(&stack, "empty").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_ends_when_it_is_unset_or_reconfigured() {
    let stack = Stack::shared().await;
    for (tenant, command, word) in [
        ("unset", vec!["pull", "unset", "unset"], "removed"),
        ("anew", vec!["pull", "set", "anew", "--limit-percent", "5"], "reconfigured"),
    ] {
        let api = company(&stack, tenant, 3).await;
        api.change(|users| drop(users.drain(..2)));
        api.break_page(0, &[Fault::Slow(Duration::from_secs(3))]);
        stack.rollcall(&["pull", "run", tenant, "--no-wait"]).await.well();
        eventually("the page is requested", Duration::from_secs(20), async || {
            (!api.asked().is_empty()).then_some(())
        })
        .await;
        stack.rollcall(&command).await.well();
        let failed = format!(
            "select r.* from pull_runs r join tenants t on t.id = r.tenant_id where t.name = '{tenant}' and state = 'failed'"
        );
        let run = eventually("the run has ended", Duration::from_secs(20), async || {
            stack.db().rows(&failed).await.pop()
        })
        .await;
        assert!(run["reason"].as_str().unwrap().contains(word), "{run}");
        assert_eq!((&run["changes"], &run["archiving"]), (&json!(0), &json!(0)));
        assert_eq!(archived(&stack, tenant).await, (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_expired_link_the_pull_restarts_with_the_first_page() {
    let stack = Stack::shared().await;
    let okta = stack.tenant("expired").await.okta();
    push(&okta, "expired", 2, 2).await;
    let api = OktaApi::start((0..450).map(|n| user("expired", n)).collect()).await;
    api.set(&stack, "expired", &[]).await;
    api.break_page(200, &[Fault::Status(400)]);
    let run = stack.rollcall_json(&["pull", "run", "expired"]).await;
    assert_eq!((&run["state"], &run["people"], &run["pages"]), (&json!("done"), &json!(450), &json!(3)));
    let asked: Vec<_> = api.asked().iter().map(|asked| asked.after).collect();
    assert_eq!(asked, [0, 200, 0, 200, 400]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_users_are_not_archived_without_confirmation() {
    let stack = Stack::shared().await;
    let api = company(&stack, "doubtful", 6).await;
    let map = stack.folder().join("doubtful-number.json");
    std::fs::write(&map, r#"{"external_id":"number","region":"region"}"#).unwrap();
    stack.rollcall(&["pull", "set", "doubtful", "--map", map.to_str().unwrap()]).await.well();
    api.change(|users| {
        for user in users.iter_mut() {
            user["profile"]["number"] = user["id"].clone();
        }
        // By mistake another user has the number of the first, and both have different names at Okta.
        users[1]["profile"]["number"] = users[0]["id"].clone();
        users[1]["profile"]["login"] = json!("somebody@doubtful.example");
    });
    let said = stack.rollcall(&["pull", "run", "doubtful"]).await;
    assert!(said.code == Some(1) && said.err.contains("1 users in the group"), "{}", said.err);
    let run = &stack.rollcall_json(&["pull", "status", "doubtful"]).await[0]["last_run"];
    assert_eq!((&run["people"], &run["gone"], &run["unreadable"]), (&json!(6), &json!(1), &json!(1)));
    assert_eq!(archived(&stack, "doubtful").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_pull_reports_a_running_one_and_waits_for_it() {
    let stack = Stack::shared().await;
    let api = company(&stack, "beside", 2).await;
    api.break_page(0, &[Fault::Slow(Duration::from_secs(3))]);
    stack.rollcall(&["pull", "run", "beside", "--no-wait"]).await.well();
    eventually("the page is requested", Duration::from_secs(20), async || {
        (!api.asked().is_empty()).then_some(())
    })
    .await;
    let said = stack.rollcall(&["pull", "run", "beside"]).await.well();
    assert!(said.err.contains("another pull of beside is running"), "{}", said.err);
    assert_eq!(api.asked().len(), 2, "one after the other");
}

/// Installs a trigger that runs this statement when a page of the tenant's pull is recorded.
async fn obstruct(stack: &Stack, tenant: &str, what: &str) {
    let of = stack.db().one(&format!("select id from tenants where name = '{tenant}'")).await["id"].clone();
    for statement in [
        format!(
            "create function obstruct() returns trigger language plpgsql as 'begin {what}; return new; end'"
        ),
        format!(
            "create trigger obstruct before update on pull_runs for each row \
             when (new.pages > old.pages and new.tenant_id = '{}') execute function obstruct()",
            of.as_str().unwrap()
        ),
    ] {
        stack.db().execute(&statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_retries_a_terminated_statement_and_reports_a_repeated_failure() {
    let stack = Stack::shared().await;
    let _api = company(&stack, "obstructed", 3).await;
    obstruct(&stack, "obstructed", "perform pg_sleep(60)").await;
    stack.rollcall(&["pull", "run", "obstructed", "--no-wait"]).await.well();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    eventually("its statement is terminated", Duration::from_secs(20), async || {
        stack.db().rows(end).await.pop()
    })
    .await;
    stack.db().execute("drop function obstruct() cascade").await;
    eventually("the run is done", Duration::from_secs(30), async || {
        let status = stack.rollcall_json(&["pull", "status", "obstructed"]).await;
        let run = &status[0]["last_run"];
        assert_ne!(run["state"], "failed", "{run}");
        (run["state"] == "done" && run["people"] == 3).then_some(())
    })
    .await;

    obstruct(&stack, "obstructed", "raise exception ''no room''").await;
    let said = stack.rollcall(&["pull", "run", "obstructed"]).await;
    stack.db().execute("drop function obstruct() cascade").await;
    assert!(said.code == Some(1) && said.err.contains("no room"), "{:?}: {}", said.code, said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_reports_that_okta_is_unavailable() {
    let stack = Stack::shared().await;
    let api = company(&stack, "waits", 3).await;
    api.break_page(0, &vec![Fault::Status(503); 3]);
    stack.rollcall(&["pull", "run", "waits", "--no-wait"]).await.well();
    eventually("the status shows what it waits for", Duration::from_secs(20), async || {
        let said = stack.rollcall(&["pull", "status", "waits"]).await.well();
        (said.out.contains("the pull of waits waits: ") && said.out.contains("503")).then_some(())
    })
    .await;
    eventually("the run is done", Duration::from_secs(60), async || {
        let status = stack.rollcall_json(&["pull", "status", "waits"]).await;
        (status[0]["last_run"]["state"] == "done" && status[0]["last_run"]["reason"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_ends_at_its_limits_and_archives_nobody() {
    let stack = Stack::shared().await;
    let api = company(&stack, "endless", 3).await;
    api.change(|users| {
        users.clear();
        users.extend((10..460).map(|n| user("endless", n)));
    });
    let most = |count: usize| json!((0..count).map(|n| user("endless", n)).collect::<Vec<_>>()).to_string();
    let small = format!("[{}0]", "0,".repeat(1 << 20));
    let large = json!([{ "id": "00u1", "profile": { "note": "x".repeat(300 << 10) } }]).to_string();
    for (setting, body, word) in [
        ("pull_pages_max=2", None, "limit pull_pages_max = 2 reached"),
        ("pull_users_max=400", None, "limit pull_users_max = 400 reached"),
        ("pull_users_max=1000", Some(most(201)), "more than the 200 users"),
        ("pull_users_max=1000", Some(small), "more than the 200 users"),
        ("pull_users_max=1000", Some(large), "larger than 256 KiB"),
        ("pull_users_max=1000", Some(format!("[{}]", " ".repeat(9 << 20))), "larger than 8 MiB"),
    ] {
        stack.rollcall(&["tenant", "set", "endless", setting]).await.well();
        if let Some(body) = body {
            api.break_page(0, &[Fault::Body(body)]);
        }
        let said = stack.rollcall(&["pull", "run", "endless"]).await;
        assert!(said.code == Some(1) && said.err.contains(word), "{:?}: {}", said.code, said.err);
        // The next case fails for its own reason.
        stack.rollcall(&["tenant", "set", "endless", "pull_pages_max=20000"]).await.well();
    }
    assert_eq!(archived(&stack, "endless").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn resting_and_slow_pulls_do_not_keep_another_from_beginning() {
    let stack = Stack::start(Options::default()).await;
    let mut resting = Vec::new();
    for n in 0..10 {
        let name = format!("resting-{n}");
        stack.tenant(&name).await;
        let api = OktaApi::start((0..3).map(|n| user("resting", n)).collect()).await;
        // Every request is refused, until a window of a quarter of an hour ends.
        api.limit(0, 900);
        api.set(&stack, &name, &[]).await;
        stack.rollcall(&["pull", "run", &name, "--no-wait"]).await.well();
        resting.push(api);
    }
    eventually("all of them rest", Duration::from_secs(60), async || {
        resting.iter().all(|api| !api.asked().is_empty()).then_some(())
    })
    .await;
    let _api = company(&stack, "quick", 3).await;
    let run = stack.rollcall_json(&["pull", "run", "quick"]).await;
    assert_eq!((&run["state"], &run["people"]), (&json!("done"), &json!(3)));
}
