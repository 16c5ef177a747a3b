//! Workers are started, stopped, killed and paused under load; several start concurrently on an empty database.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::load::push_for;
use tests::okta::Okta;
use tests::process::Service;
use tests::stack::Options;
use tests::{Stack, check, eventually, holds_for};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longer than the broker's heartbeat timeout and than a client waits.
const PAUSE: Duration = Duration::from_secs(24);
/// The duration of the load.
const LOAD: Duration = Duration::from_secs(34);

async fn row(stack: &Stack, worker: &Service) -> Value {
    let query = format!("select * from workers where pid = {}", worker.pid());
    eventually("it has decided a command", Duration::from_secs(20), async || {
        let row = stack.db().rows(&query).await.pop()?;
        row["queues"][0]["first_decided_at"].is_string().then_some(row)
    })
    .await
}

fn time(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

/// The worker's entry in `rollcall top`.
async fn shown(stack: &Stack, worker: &Service) -> Option<Value> {
    let top = stack.rollcall_json(&["top"]).await;
    let pid = json!(worker.pid());
    top["workers"].as_array().unwrap().iter().find(|shown| shown["pid"] == pid).cloned()
}

/// Changes one user repeatedly: each answer shows the change, and so does an immediate GET.
async fn changes_in_order(okta: &Okta, user_name: &str, until: tokio::time::Instant) {
    let id = eventually("the user exists", Duration::from_secs(20), async || {
        let found = okta.find(user_name).await.is(200);
        found.resources().first().map(|user| user["id"].as_str().unwrap().to_owned())
    })
    .await;
    for n in 0.. {
        if tokio::time::Instant::now() > until {
            return;
        }
        let title = format!("Title {n}");
        let change = json!([{ "op": "replace", "path": "title", "value": title }]);
        okta.patch(&id, change).await.is(200);
        assert_eq!(okta.user(&id).await.is(200).body["title"], title);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_and_go_and_no_request_fails() {
    let stack = Stack::start(Options { workers: 4, ..Options::default() }).await;
    let tenant = stack.tenant("swarm").await;
    let witness = stack.broker().await.witness().await;
    let okta = tenant.okta();
    let [_, stopped, killed, paused] = stack.workers.as_slice() else { panic!("four workers") };
    for worker in [stopped, killed, paused] {
        worker.terminate().await;
    }
    let until = tokio::time::Instant::now() + LOAD;
    let comings = async {
        for worker in [stopped, killed, paused] {
            worker.start();
            worker.ready().await;
            let row = row(&stack, worker).await;
            let late = time(&row["queues"][0]["first_decided_at"]) - time(&row["started_at"]);
            assert!(
                late < time::Duration::seconds(1),
                "its first verdict came {late} after its start: {row}"
            );
        }
        assert!(shown(&stack, stopped).await.is_some_and(|worker| worker["silent_s"].is_null()));
        paused.freeze();
        stopped.terminate().await;
        killed.kill();
        assert!(holds_for(PAUSE, async || stack.ingests[0].is_whole().await).await);
        assert!(shown(&stack, paused).await.is_some_and(|worker| worker["silent_s"].is_number()));
        let rows = stack.db().count("select 1 from workers").await;
        assert_eq!(rows, 3, "a stopped worker has no row; a killed or paused one is silent");
        paused.thaw();
        join_all([stopped, killed].map(Service::restart)).await;
        paused.whole().await;
    };
    let (pushed, (), ()) = tokio::join!(
        push_for(&okta, "swarm", LOAD, 4),
        changes_in_order(&okta, "person-00000@swarm.example", until),
        comings
    );
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
    // The messages of the paused worker went to another one before the deadline.
    let late =
        "select 1 from commands where decided_at > issued_at + interval '19 seconds' or outcome is null";
    assert_eq!(stack.db().count(late).await, 0, "a client was told to retry");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_start_concurrently_on_an_empty_database_migrate_once() {
    let stack = Stack::start(Options { workers: 3, ..Options::default() }).await;
    let db = stack.db();
    let versions = async || db.count("select 1 from __diesel_schema_migrations").await;
    let all = versions().await;
    stack.services().for_each(Service::kill);
    while versions().await > 0 {
        stack.rollcall(&["migrate", "--revert"]).await.well();
    }
    let before = migrated(&stack);
    stack.workers.iter().for_each(Service::start);
    let by_hand = join_all((0..3).map(|_| stack.rollcall_json(&["migrate"]))).await;
    join_all(stack.workers.iter().map(Service::ready)).await;
    let by_hand: usize = by_hand.iter().map(|said| said["applied"].as_array().unwrap().len()).sum();
    assert_eq!(versions().await, all);
    let by_all = by_hand + migrated(&stack) - before;
    assert_eq!(i64::try_from(by_all).unwrap(), all, "each migration was applied once");

    // A worker with a schema of a later version.
    db.execute("insert into __diesel_schema_migrations (version) values ('20991231000099')").await;
    stack.workers[0].restart().await;
}

/// The number of migrations in the workers' logs.
fn migrated(stack: &Stack) -> usize {
    stack.workers.iter().map(|worker| worker.log().matches("\"message\":\"migrated\"").count()).sum()
}
