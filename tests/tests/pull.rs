//! The pull from Okta's API: attributes that SCIM does not carry, scheduled and by hand, despite faults.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use amqp::{Link, topology};
use database::Pool;
use ingest::pull::Pulls;
use ingest::pull::schedule::Times;
use platform::clock::Clock;
use platform::health::Health;
use serde_json::{Value, json};
use tests::load::{push, somebody};
use tests::okta::person;
use tests::okta_api::{Fault, OktaApi, TOKEN, user};
use tests::servers::Servers;
use tests::stack::{Options, SECRET_KEY};
use tests::{Stack, check, eventually};
use time::macros::{format_description, time};
use tokio_util::sync::CancellationToken;

const PEOPLE: usize = 5_000;

/// The successful requests, by the position of their page.
fn pages(api: &OktaApi) -> Vec<usize> {
    api.asked().iter().filter(|asked| asked.status == 200).map(|asked| asked.after).collect()
}

async fn supplemented(stack: &Stack, people: usize) {
    let (db, people) = (stack.db(), i64::try_from(people).unwrap());
    eventually("what was pulled is applied", Duration::from_secs(120), async || {
        (db.count("select 1 from users where region is not null").await == people).then_some(())
    })
    .await;
    check::wait_until_idle(stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_of_5000_users_obeys_rate_limits_and_survives_a_429_a_broken_page_and_a_slow_one() {
    let stack = Stack::start(Options { ingests: 2, workers: 2, ..Options::default() }).await;
    let okta = stack.tenant("large").await.okta();
    push(&okta, "large", PEOPLE, 32).await;
    let witness = stack.broker().await.witness().await;
    let api = OktaApi::start((0..PEOPLE).map(|n| user("large", n)).collect()).await;
    api.set(&stack, "large", &[]).await;
    api.limit(10, 5);
    api.break_page(400, &[Fault::BreaksOff]);
    api.break_page(800, &[Fault::Status(429)]);
    api.break_page(1_200, &[Fault::Status(503), Fault::BreaksOff]);
    // Longer than the lease, which must be renewed during that time.
    api.break_page(1_600, &[Fault::Slow(Duration::from_secs(20))]);

    let run = stack.rollcall_json(&["pull", "run", "large"]).await;
    assert_eq!(
        (&run["state"], &run["people"], &run["changes"]),
        (&json!("done"), &json!(PEOPLE), &json!(PEOPLE))
    );
    assert_eq!((&run["strangers"], &run["unreadable"], &run["gone"]), (&json!(0), &json!(0), &json!(0)));
    let asked = api.asked();
    assert!(asked.iter().all(|asked| !asked.too_early), "it sent a request although the limit was used up");
    let expected: HashSet<usize> = (0..PEOPLE).step_by(200).collect();
    let pages = pages(&api);
    assert_eq!(pages.iter().copied().collect::<HashSet<_>>(), expected);
    // Two pages broke off and were requested again, as were the two that were rejected.
    assert_eq!((pages.len(), asked.len()), (expected.len() + 2, expected.len() + 4));

    supplemented(&stack, PEOPLE).await;
    let row = stack.db().one("select * from users where user_name = 'person-00007@large.example'").await;
    assert_eq!((&row["hire_date"], &row["region"]), (&json!("2024-08-08"), &json!("APAC")));
    assert_eq!(row["custom_fields"], json!({ "Shirt": "M", "Skills": ["ladder", "rope"] }));
    let row = stack.db().one("select * from users where user_name = 'person-00006@large.example'").await;
    assert_eq!((&row["hire_date"], &row["region"]), (&Value::Null, &json!("EMEA")), "no hire date at Okta");
    let mut times: HashMap<String, usize> = HashMap::new();
    for event in witness.events(&stack.broker().await).await {
        assert_eq!(event["type"], "user.updated");
        *times.entry(event["data"]["user"]["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(times.len() == PEOPLE && times.values().all(|count| *count == 1), "one event each");

    // A second run changes nothing.
    api.limit(u32::MAX, 5);
    let again = stack.rollcall_json(&["pull", "run", "large"]).await;
    assert_eq!((&again["state"], &again["changes"]), (&json!("done"), &json!(0)));
    check::wait_until_idle(&stack).await;
    assert_eq!(witness.events(&stack.broker().await).await, [] as [Value; 0]);
    for service in stack.services() {
        let log = service.log();
        assert!(!log.contains(TOKEN) && !log.contains("@large.example"), "in the log of {}", service.name());
        assert!(!log.contains("must not appear"), "Okta's answer is in the log of {}", service.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ingests_run_a_scheduled_pull_once() {
    let servers = Servers::shared().await;
    let due = Clock::System.now() + time::Duration::seconds(20);
    let at = due.format(format_description!("[hour]:[minute]:[second]")).unwrap();
    let environment = vec![("ROLLCALL_PULL_AT", at)];
    let options = Options { ingests: 2, environment, servers: Some(servers), ..Options::default() };
    let stack = Stack::start(options).await;
    let okta = stack.tenant("clock").await.okta();
    okta.create(&somebody("clock", 0)).await.is(201);
    let api = OktaApi::start((0..450).map(|n| user("clock", n)).collect()).await;
    api.set(&stack, "clock", &[]).await;
    assert!(Clock::System.now() < due, "starting took too long");
    assert_eq!(api.asked().len(), 0, "before the scheduled time");
    supplemented(&stack, 1).await;
    let done = "select * from pull_runs where state = 'done'";
    eventually("the run is done", Duration::from_secs(30), async || {
        (stack.db().count(done).await == 1).then_some(())
    })
    .await;
    // Both ingests have checked the schedule several times since.
    let still = tests::holds_for(Duration::from_secs(3), async || pages(&api) == [0, 200, 400]).await;
    assert!(still, "pulled {:?}", pages(&api));
    assert_eq!(stack.db().count("select 1 from pull_runs").await, 1);
    assert_eq!(stack.db().one(done).await["strangers"], 449);
}

/// The pulls of two ingests, run in this process, so that their clock can be set; everything else is real.
#[tokio::test(flavor = "multi_thread")]
async fn two_ingests_run_the_pull_at_six_once() {
    // Without the secret key the stack's own ingest, which uses the system clock, runs no pulls.
    let environment = vec![("ROLLCALL_SECRET_KEY", String::new())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    stack.tenant("six").await.okta().create(&somebody("six", 0)).await.is(201);
    let api = OktaApi::start((0..450).map(|n| user("six", n)).collect()).await;
    api.set(&stack, "six", &[]).await;
    let six = (Clock::System.now() + time::Duration::DAY).replace_time(time!(06:00));
    let clock = Clock::manual(six - time::Duration::SECOND);
    let text = scim::timestamp(clock.now());
    stack.db().execute(&format!("update pulls set set_at = '{text}'")).await;
    // Runs of a tenant that has no pull any more.
    let left = stack.tenant("left").await.id;
    for (slot, age) in [("kept", "20 days"), ("old", "40 days")] {
        let insert = format!(
            "insert into pull_runs (id, tenant_id, slot, state, due_at) \
             values (gen_random_uuid(), '{left}', '{slot}', 'done', now() - interval '{age}')"
        );
        stack.db().execute(&insert).await;
    }
    let stop = CancellationToken::new();
    let ingests = [1, 2].map(|_| {
        let pool = Pool::new(&stack.database_url, 4).unwrap();
        let health = Health::new(&["rabbitmq"]);
        let link = Link::start(&stack.amqp_url, "ingest", 100_000, health, CancellationToken::new()).unwrap();
        let key = SECRET_KEY.parse().unwrap();
        tokio::spawn(Pulls::new(pool, link, key, Times::default(), clock.clone()).run(stop.clone()))
    });
    let quiet = tests::holds_for(Duration::from_secs(3), async || api.asked().is_empty()).await;
    assert!(quiet, "a second before the scheduled time: {:?}", api.asked());
    clock.advance(time::Duration::SECOND);
    let done = "select slot from pull_runs where state = 'done' and slot not in ('kept', 'old')";
    let slot =
        eventually("the pull is done", Duration::from_secs(30), async || stack.db().rows(done).await.pop())
            .await;
    assert_eq!(slot["slot"], scim::timestamp(six));
    supplemented(&stack, 1).await;
    // Both have checked the schedule several times since, and hours have passed.
    clock.advance(time::Duration::hours(8));
    let still = tests::holds_for(Duration::from_secs(3), async || pages(&api) == [0, 200, 400]).await;
    assert!(still, "pulled {:?}", pages(&api));
    let slots = stack.db().rows("select slot from pull_runs order by slot desc").await;
    assert_eq!(slots, [json!({ "slot": "kept" }), slot], "runs are kept for 30 days");
    stop.cancel();
    for ingest in ingests {
        ingest.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_pull_go_through_the_bulk_queue() {
    let stack = Stack::own().await;
    let okta = stack.tenant("bulk").await.okta();
    for n in 0..3 {
        okta.create(&somebody("bulk", n)).await.is(201);
    }
    let api = OktaApi::start((0..2).map(|n| user("bulk", n)).collect()).await;
    api.set(&stack, "bulk", &["--archive-missing", "--limit-percent", "50"]).await;
    stack.workers[0].terminate().await;
    stack.rollcall(&["pull", "run", "bulk", "--no-wait"]).await.well();
    let done = "select 1 from pull_runs where state = 'done'";
    eventually("the run is done", Duration::from_secs(20), async || {
        (stack.db().count(done).await == 1).then_some(())
    })
    .await;
    let broker = stack.broker().await;
    let queued = (broker.ready(topology::BULK).await, broker.ready(topology::COMMANDS).await);
    assert_eq!(
        queued,
        (3, 0),
        "two supplements and one archival, and none in the queue of interactive commands"
    );
    stack.workers[0].start();
    supplemented(&stack, 2).await;
    assert_eq!(stack.db().count("select 1 from users where archived_at is not null").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ingest_continues_a_pull_after_a_crash() {
    let stack = Stack::start(Options { ingests: 2, ..Options::default() }).await;
    let okta = stack.tenant("crash").await.okta();
    for n in [0, 250, 450, 799] {
        okta.create(&somebody("crash", n)).await.is(201);
    }
    let api = OktaApi::start((0..800).map(|n| user("crash", n)).collect()).await;
    api.set(&stack, "crash", &[]).await;
    api.break_page(400, &[Fault::Slow(Duration::from_secs(60))]);
    stack.rollcall(&["pull", "run", "crash", "--no-wait"]).await.well();
    eventually("the third page is requested", Duration::from_secs(20), async || {
        pages(&api).contains(&400).then_some(())
    })
    .await;
    let holds = |service: &&tests::process::Service| service.log().contains("page read");
    let holders: Vec<_> = stack.ingests.iter().filter(holds).collect();
    assert_eq!(holders.len(), 1, "one ingest has the run");
    holders[0].kill();
    supplemented(&stack, 4).await;
    eventually("the run is done", Duration::from_secs(60), async || {
        let status = stack.rollcall_json(&["pull", "status", "crash"]).await;
        (status[0]["last_run"]["state"] == "done").then_some(status)
    })
    .await;
    assert_eq!(pages(&api), [0, 200, 400, 400, 600], "what was read before the crash is not read again");
    let run = stack.db().one("select * from pull_runs").await;
    assert_eq!((&run["people"], &run["strangers"], &run["changes"]), (&json!(800), &json!(796), &json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_changes_only_its_own_attributes_and_links_unlinked_users() {
    const OWNED_BY_THE_PULL: [&str; 5] =
        ["hire_date", "region", "custom_fields", "pull_ticket", "external_id"];
    const COUNTS: [&str; 4] = ["version", "modified_at", "search_version", "search"];
    let stack = Stack::shared().await;
    let okta = stack.tenant("border").await.okta();
    let linked = okta.create(&somebody("border", 0)).await.is(201).id();
    let mut other = person("person-00001@border.example", "Eve", "Else");
    other["externalId"] = json!("00u-somebody-else");
    let foreign = okta.create(&other).await.is(201).id();
    let arguments = ["--email", "person-00002@border.example", "--given-name", "Ann", "--family-name", "Old"];
    let manual =
        stack.rollcall_json(&[&["user", "add", "border"], &arguments[..]].concat()).await["id"].clone();
    let manual = manual.as_str().unwrap();
    let all = async || {
        let mut rows = Vec::new();
        for id in [&linked, &foreign, manual] {
            rows.push(stack.db().user(id).await.unwrap());
        }
        rows
    };
    let before = all().await;
    // Everything else at Okta differs, and none of it is adopted.
    let changed = |n: usize| {
        let mut user = user("border", n);
        for name in ["firstName", "lastName", "department", "title", "costCenter"] {
            user["profile"][name] = json!("Changed");
        }
        user
    };
    let api = OktaApi::start((0..3).map(changed).collect()).await;
    api.set(&stack, "border", &[]).await;
    let run = stack.rollcall_json(&["pull", "run", "border"]).await;
    assert_eq!((&run["people"], &run["changes"], &run["strangers"]), (&json!(3), &json!(2), &json!(1)));
    eventually("both are updated", Duration::from_secs(30), async || {
        let rows = all().await;
        (rows[0]["hire_date"] == "2024-01-01" && rows[2]["hire_date"] == "2024-03-03").then_some(())
    })
    .await;
    let mut after = all().await;
    assert_eq!(after[1], before[1], "a user linked to another Okta user is unchanged");
    assert_eq!(after[2]["external_id"], "00u-person-00002@border.example");
    assert_eq!(after[2]["resource"]["externalId"], "00u-person-00002@border.example");
    after[2]["resource"].as_object_mut().unwrap().remove("externalId");
    for (mut after, mut before) in after.into_iter().zip(before) {
        for name in OWNED_BY_THE_PULL.iter().chain(&COUNTS) {
            after.as_object_mut().unwrap().remove(*name);
            before.as_object_mut().unwrap().remove(*name);
        }
        assert_eq!(after, before, "these attributes belong to SCIM");
    }
    // SCIM does not change the pull's attributes.
    okta.update(&linked, &json!({ "title": "Diver" })).await.is(200);
    let row = stack.db().user(&linked).await.unwrap();
    assert_eq!((&row["job_title"], &row["hire_date"]), (&json!("Diver"), &json!("2024-01-01")));
    let shown = stack.rollcall_json(&["user", "show", "border", &linked]).await;
    assert_eq!((&shown["hire_date"], &shown["region"]), (&json!("2024-01-01"), &json!("EMEA")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_stored_encrypted_and_errors_are_clear() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("vault").await;
    let api = OktaApi::start(vec![user("vault", 0)]).await;
    for (arguments, code, word) in [
        (vec!["pull", "run", "vault"], 1, "no pull"),
        (vec!["pull", "status", "vault"], 1, "no pull"),
        (vec!["pull", "confirm", "vault"], 1, "no pull"),
        (vec!["pull", "unset", "vault"], 1, "no pull"),
        (
            vec!["pull", "set", "vault", "--okta-url", "http://acme.okta.com", "--group", "g", "--map", "x"],
            2,
            "https://",
        ),
        (
            vec![
                "pull",
                "set",
                "vault",
                "--okta-url",
                "https://acme.okta.com",
                "--group",
                "../g",
                "--map",
                "x",
            ],
            2,
            "id",
        ),
        (
            vec![
                "pull",
                "set",
                "vault",
                "--okta-url",
                "https://acme.okta.com",
                "--group",
                "g",
                "--map",
                "/no",
            ],
            2,
            "cannot be read",
        ),
        (vec!["pull", "set", "vault", "--okta-url", "https://me:hush@acme.okta.com"], 2, "--okta-url"),
        (vec!["pull", "set", "vault", "--group", "00g1"], 2, "--okta-url is required"),
    ] {
        let said = stack.rollcall(&arguments).await;
        assert!(!said.err.contains("hush"), "{}", said.err);
        assert!(
            said.code == Some(code) && said.err.contains(word),
            "{arguments:?}: {:?} {}",
            said.code,
            said.err
        );
    }
    api.set(&stack, "vault", &["--limit-percent", "7"]).await;
    let stored = stack.db().one(&format!("select * from pulls where tenant_id = '{}'", tenant.id)).await;
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!stored.to_string().contains(&hex) && !stored.to_string().contains(TOKEN));
    let status = stack.rollcall_json(&["pull", "status", "vault"]).await;
    assert_eq!((&status[0]["limit_percent"], &status[0]["last_run"]), (&json!(7), &Value::Null));
    assert!(!status.to_string().contains(TOKEN));

    // Options that are not given keep their values, and so does the token.
    stack.rollcall(&["pull", "set", "vault", "--archive-missing"]).await.well();
    let map = stack.folder().join("twice.json");
    std::fs::write(&map, r#"{"region":"a","region":"b"}"#).unwrap();
    let said = stack.rollcall(&["pull", "set", "vault", "--map", map.to_str().unwrap()]).await;
    assert!(said.code == Some(2) && said.err.contains("region twice"), "{:?}: {}", said.code, said.err);
    let kept = stack.rollcall_json(&["pull", "status", "vault"]).await;
    assert_eq!((&kept[0]["limit_percent"], &kept[0]["archive_missing"]), (&json!(7), &json!(true)));
    assert_eq!((&kept[0]["map"], &kept[0]["group"]), (&status[0]["map"], &status[0]["group"]));
    let run = stack.rollcall(&["pull", "run", "vault", "--json"]).await.well();
    assert!(run.err.contains("pages read") || run.err.is_empty(), "{}", run.err);

    // The token is bound to the Okta URL.
    let elsewhere = OktaApi::start(vec![user("vault", 0)]).await;
    let moved =
        format!("update pulls set okta_url = '{}' where tenant_id = '{}'", elsewhere.url(), tenant.id);
    stack.db().execute(&moved).await;
    let said = stack.rollcall(&["pull", "run", "vault"]).await;
    assert!(said.code == Some(1) && said.err.contains("ROLLCALL_SECRET_KEY"), "{}", said.err);
    assert_eq!(elsewhere.asked().len(), 0);
    stack.rollcall(&["pull", "unset", "vault"]).await.well();
    assert_eq!(stack.db().count(&format!("select 1 from pulls where tenant_id = '{}'", tenant.id)).await, 0);
}
