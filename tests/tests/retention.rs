//! Retention of personal data, which the workers find by index; and workers do not block each other in the database.

use std::time::Duration;

use database::{Limits, Pool};
use diesel_async::SimpleAsyncConnection;
use platform::clock::Clock;
use serde_json::Value;
use tests::db::Db;
use tests::okta::person;
use tests::stack::Options;
use tests::{Stack, eventually, holds_for};
use tokio_util::sync::CancellationToken;
use worker::cleaner::{STRIP, clean};

/// Inserts commands that were decided this long ago, in one state. Asynchronous requests hold the resource.
async fn decided(db: &Db, tenant: &str, state: &str, ago: &str, count: u32) {
    let resource = if state == "delivered" { r#"{"userName":"ada"}"# } else { "{}" };
    let outcome = format!(
        r#"{{"verdict":"updated","record":{{"id":"0192f7a0-0000-7000-8000-000000000000","resource":{resource},"version":1}}}}"#
    );
    db.execute(&format!(
        "insert into commands (id, tenant_id, change, actor, request_id, fingerprint, delivery, status, outcome, issued_at, decided_at) \
         select {}, '{tenant}', 'user.patch', 'operator', gen_random_uuid(), 'aged', '{state}', 200, '{outcome}', \
         now() - interval '{ago}', now() - interval '{ago}' from generate_series(1, {count})", ticket(ago)
    ))
    .await;
}

/// SQL for a random ticket that was issued this long ago.
fn ticket(ago: &str) -> String {
    format!(
        "(lpad(to_hex((extract(epoch from now() - interval '{ago}') * 1000)::bigint), 12, '0') || '7000' \
         || right(gen_random_uuid()::text, 17))::uuid"
    )
}

/// The number of them that still hold a resource, by state and age in hours.
async fn unstripped(db: &Db) -> Vec<(String, i64, i64)> {
    let rows = db
        .rows(
            "select delivery, round(extract(epoch from now() - decided_at) / 3600)::bigint as hours, count(*) as n from commands \
             where fingerprint = 'aged' and outcome->'record'->'resource' <> '{}' group by 1, 2 order by 1, 2",
        )
        .await;
    let row = |row: &Value| {
        (
            row["delivery"].as_str().unwrap().to_owned(),
            row["hours"].as_i64().unwrap(),
            row["n"].as_i64().unwrap(),
        )
    };
    rows.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_in_outcomes_and_receipts_are_kept_only_while_somebody_may_ask() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("retention").await.id.to_string();
    let db = stack.db();
    for (state, ago) in [
        ("undelivered", "2 hours"),
        ("delivered", "23 hours"),
        ("delivered", "26 hours"),
        ("replied", "20 days"),
    ] {
        decided(&db, &tenant, state, ago, 3).await;
    }
    decided(&db, &tenant, "delivered", "3 hours", 20_000).await;
    for (table, ago, count) in [
        ("receipts", "110 minutes", 2),
        ("receipts", "130 minutes", 5),
        ("recent_resources", "8 minutes", 3),
        ("recent_resources", "12 minutes", 4),
    ] {
        let resource = if table == "receipts" { "" } else { ", '{}'" };
        let rows = format!("select {}{resource} from generate_series(1, {count})", ticket(ago));
        db.execute(&format!("insert into {table} {rows}")).await;
    }
    db.execute("analyze commands").await;

    // The statement reads only what is due, by index.
    let moment = "now() - interval '1 day'";
    let explained = format!("explain (analyze, format json) {}", STRIP.replace("$1", moment));
    let pool = Pool::with(&stack.database_url, 1, Limits::NONE).unwrap();
    let plan = plan(&pool, &explained).await;
    let scan = find(&plan, &|node| node["Index Name"] == "commands_fetchable");
    let scan = scan.unwrap_or_else(|| panic!("{plan:#}"));
    let read = ["Actual Rows", "Rows Removed by Filter"].map(|rows| scan[rows].as_f64().unwrap_or_default());
    assert!(read[0] + read[1] <= 3.0, "3 are due: {plan:#}");
    assert!(find(&plan, &|node| node["Node Type"] == "Seq Scan").is_none(), "{plan:#}");

    let pool = Pool::new(&stack.database_url, 2).unwrap();
    let stop = CancellationToken::new();
    // A worker does not clean while another one does.
    let mut other = pool.get().await.unwrap();
    other.batch_execute("begin; select pg_advisory_xact_lock(7241990421)").await.unwrap();
    assert_eq!(clean(&pool, Clock::System.now(), &stop).await, Ok(0));
    other.batch_execute("commit").await.unwrap();
    assert_eq!(clean(&pool, Clock::System.now(), &stop).await, Ok(12));
    let left = [("delivered", 3, 20_000), ("delivered", 23, 3)];
    assert_eq!(unstripped(&db).await, left.map(|(state, hours, n)| (state.to_owned(), hours, n)));
    assert_eq!(db.count("select 1 from receipts").await, 2);
    assert_eq!(db.count("select 1 from recent_resources").await, 3);
    assert_eq!(clean(&pool, Clock::System.now(), &stop).await, Ok(0));
}

/// Runs a statement, rolls it back, and returns its plan.
async fn plan(pool: &Pool, explained: &str) -> Value {
    use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

    #[derive(diesel::QueryableByName)]
    struct Plan {
        #[diesel(sql_type = diesel::sql_types::Json, column_name = "QUERY PLAN")]
        plan: Value,
    }
    let (mut connection, mut plan) = (pool.get().await.unwrap(), Value::Null);
    let connection: &mut AsyncPgConnection = &mut connection;
    let undone = connection
        .transaction(async |connection: &mut AsyncPgConnection| {
            let row: Plan = diesel::sql_query(explained).get_result(connection).await?;
            plan = row.plan;
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        })
        .await;
    assert!(undone.is_err() && !plan.is_null(), "{undone:?}");
    plan
}

/// The first matching node of a plan.
fn find<'a>(plan: &'a Value, wanted: &dyn Fn(&Value) -> bool) -> Option<&'a Value> {
    match plan {
        Value::Object(_) if wanted(plan) => Some(plan),
        Value::Object(node) => node.values().find_map(|value| find(value, wanted)),
        Value::Array(nodes) => nodes.iter().find_map(|node| find(node, wanted)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_do_not_wait_for_each_other_in_the_database() {
    let stack = Stack::start(Options { workers: 3, ..Options::default() }).await;
    let tenant = stack.tenant("relays").await;
    let (okta, db) = (tenant.okta(), stack.db());
    let witness = stack.broker().await.witness().await;
    let pool = Pool::with(&stack.database_url, 1, Limits::NONE).unwrap();
    let mut other = pool.get().await.unwrap();
    other.batch_execute("begin; select pg_advisory_xact_lock(7241990418)").await.unwrap();
    for nth in 0..6 {
        okta.create(&person(&format!("ada{nth}@relays.example"), "Ada", "R")).await.is(201);
    }
    let quiet = holds_for(Duration::from_secs(2), async || {
        db.count("select 1 from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())").await == 0
    });
    assert!(quiet.await, "a relay waits");
    assert_eq!(db.count("select 1 from outbox").await, 6);
    other.batch_execute("commit").await.unwrap();
    eventually("the events are relayed at once", Duration::from_secs(5), async || {
        (db.count("select 1 from outbox").await == 0).then_some(())
    })
    .await;
    assert_eq!(witness.events(&stack.broker().await).await.len(), 6);
}
