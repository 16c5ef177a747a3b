//! What a pull does not do: give the token away, archive by an answer that is none or by settings that hold no more, run for ever.

use std::time::Duration;

use serde_json::json;
use tests::load::push;
use tests::okta_api::{Fault, OktaApi, user};
use tests::{Stack, eventually};

/// A tenant with so many people here and at Okta, whose gone are archived whatever their number.
async fn company(stack: &Stack, name: &str, people: usize) -> OktaApi {
    let okta = stack.tenant(name).await.okta();
    push(&okta, name, people, 4).await;
    let api = OktaApi::start((0..people).map(|n| user(name, n)).collect()).await;
    api.set(stack, name, &["--archive-missing", "--limit-percent", "100"]).await;
    api
}

/// How many of a tenant are archived, and how many are to be.
async fn archived(stack: &Stack, tenant: &str) -> (i64, i64) {
    let of = format!("tenant_id = (select id from tenants where name = '{tenant}')");
    let archived = format!("select 1 from users where archived_at is not null and {of}");
    let archiving = format!("select 1 from pull_runs where archiving > 0 and {of}");
    (stack.db().count(&archived).await, stack.db().count(&archiving).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_no_other_place_than_oktas_group_whatever_okta_says() {
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
async fn pages_in_a_circle_and_links_that_cannot_be_read_end_a_pull_that_archives_nobody() {
    let stack = Stack::shared().await;
    let api = company(&stack, "circle", 3).await;
    // Of these only the first two are on the page that is followed.
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
async fn an_empty_group_asks_whatever_the_limit_and_is_not_confirmed_under_other_settings() {
    let stack = Stack::shared().await;
    let api = company(&stack, "empty", 3).await;
    api.change(Vec::clear);
    let said = stack.rollcall(&["pull", "run", "empty"]).await;
    assert!(said.code == Some(1) && said.err.contains("the group is empty"), "{}", said.err);
    stack.rollcall(&["pull", "set", "empty", "--group", "00g2"]).await.well();
    let said = stack.rollcall(&["pull", "confirm", "empty"]).await;
    assert!(said.code == Some(1) && said.err.contains("configured anew"), "{}", said.err);
    assert_eq!(archived(&stack, "empty").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_unset_or_configured_anew_goes_no_further() {
    let stack = Stack::shared().await;
    for (tenant, command, word) in [
        ("unset", vec!["pull", "unset", "unset"], "unset"),
        ("anew", vec!["pull", "set", "anew", "--limit-percent", "5"], "anew"),
    ] {
        let api = company(&stack, tenant, 3).await;
        api.change(|users| drop(users.drain(..2)));
        api.break_page(0, &[Fault::Slow(Duration::from_secs(3))]);
        stack.rollcall(&["pull", "run", tenant, "--no-wait"]).await.well();
        eventually("the page is asked for", Duration::from_secs(20), async || {
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
async fn a_link_that_has_expired_is_begun_anew_with_the_first_page() {
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
async fn who_cannot_be_told_from_others_is_not_taken_for_gone_unasked() {
    let stack = Stack::shared().await;
    let api = company(&stack, "doubtful", 6).await;
    let map = stack.folder().join("doubtful-number.json");
    std::fs::write(&map, r#"{"external_id":"number","region":"region"}"#).unwrap();
    stack.rollcall(&["pull", "set", "doubtful", "--map", map.to_str().unwrap()]).await.well();
    api.change(|users| {
        for user in users.iter_mut() {
            user["profile"]["number"] = user["id"].clone();
        }
        // Another has the number of the first by mistake, and both have names of their own at Okta.
        users[1]["profile"]["number"] = users[0]["id"].clone();
        users[1]["profile"]["login"] = json!("somebody@doubtful.example");
    });
    let said = stack.rollcall(&["pull", "run", "doubtful"]).await;
    assert!(said.code == Some(1) && said.err.contains("1 of the group"), "{}", said.err);
    let run = &stack.rollcall_json(&["pull", "status", "doubtful"]).await[0]["last_run"];
    assert_eq!((&run["people"], &run["gone"], &run["unreadable"]), (&json!(6), &json!(1), &json!(1)));
    assert_eq!(archived(&stack, "doubtful").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_by_hand_beside_another_says_so_and_comes_after_it() {
    let stack = Stack::shared().await;
    let api = company(&stack, "beside", 2).await;
    api.break_page(0, &[Fault::Slow(Duration::from_secs(3))]);
    stack.rollcall(&["pull", "run", "beside", "--no-wait"]).await.well();
    eventually("the page is asked for", Duration::from_secs(20), async || {
        (!api.asked().is_empty()).then_some(())
    })
    .await;
    let said = stack.rollcall(&["pull", "run", "beside"]).await.well();
    assert!(said.err.contains("another pull of beside is going on"), "{}", said.err);
    assert_eq!(api.asked().len(), 2, "one after the other");
}

/// What a page of this tenant's pull runs into when it is written down.
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
async fn a_pull_whose_statement_an_administrator_ends_goes_on_and_one_that_fails_again_says_why() {
    let stack = Stack::shared().await;
    let _api = company(&stack, "obstructed", 3).await;
    obstruct(&stack, "obstructed", "perform pg_sleep(60)").await;
    stack.rollcall(&["pull", "run", "obstructed", "--no-wait"]).await.well();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    eventually("its statement is ended", Duration::from_secs(20), async || stack.db().rows(end).await.pop())
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
async fn while_okta_is_away_the_pull_says_so() {
    let stack = Stack::shared().await;
    let api = company(&stack, "waits", 3).await;
    api.break_page(0, &vec![Fault::Status(503); 3]);
    stack.rollcall(&["pull", "run", "waits", "--no-wait"]).await.well();
    eventually("the status tells what it waits for", Duration::from_secs(20), async || {
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
