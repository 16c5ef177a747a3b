//! How long what is personal is kept, and that the workers find it without looking at all else; and that they do not queue in the
//! database for what one of them does.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use serde_json::Value;
use shared::clock::Clock;
use shared::postgres::{Limits, Pool};
use tests::db::Db;
use tests::okta::person;
use tests::stack::Options;
use tests::{Stack, eventually, holds_for};
use tokio_util::sync::CancellationToken;
use worker::cleaner::{STRIP_HEARD, STRIP_UNHEARD, clean};

/// Commands that were decided so long ago, so many in one state, with a resource in each.
async fn decided(db: &Db, tenant: &str, state: &str, ago: &str, count: u32) {
    let resource = r#"{"verdict":"updated","record":{"id":"0192f7a0-0000-7000-8000-000000000000","resource":{"userName":"ada"},"version":1}}"#;
    db.execute(&format!(
        "insert into commands (id, tenant_id, change, actor, request_id, fingerprint, state, status, outcome, issued_at, decided_at) \
         select (lpad(to_hex((extract(epoch from now() - interval '{ago}') * 1000)::bigint), 12, '0') || '7000' \
           || right(gen_random_uuid()::text, 17))::uuid, '{tenant}', 'user.patch', 'operator', gen_random_uuid(), 'aged', '{state}', 200, '{resource}', \
         now() - interval '{ago}', now() - interval '{ago}' from generate_series(1, {count})"
    ))
    .await;
}

/// How many of them, by state and age in hours, hold a resource.
async fn unstripped(db: &Db) -> Vec<(String, i64, i64)> {
    let rows = db
        .rows(
            "select state, round(extract(epoch from now() - decided_at) / 3600)::bigint as hours, count(*) as n from commands \
             where fingerprint = 'aged' and outcome->'record'->'resource' <> '{}' group by 1, 2 order by 1, 2",
        )
        .await;
    let row = |row: &Value| {
        (
            row["state"].as_str().unwrap().to_owned(),
            row["hours"].as_i64().unwrap(),
            row["n"].as_i64().unwrap(),
        )
    };
    rows.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_in_an_outcome_is_kept_an_hour_if_nobody_heard_it_and_else_a_day() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("retention").await.id.to_string();
    let db = stack.db();
    for (state, ago) in [
        ("unclaimed", "50 minutes"),
        ("unclaimed", "2 hours"),
        ("unclaimed", "20 days"),
        ("decided", "2 hours"),
        ("claimed", "23 hours"),
        ("claimed", "26 hours"),
        ("decided", "20 days"),
    ] {
        decided(&db, &tenant, state, ago, 3).await;
    }
    decided(&db, &tenant, "claimed", "3 hours", 20_000).await;
    db.execute("analyze commands").await;

    // It reads what is due by its index, and nothing else.
    for (statement, age, indexes) in [
        (STRIP_HEARD, "1 day", &["commands_unstripped"][..]),
        // The one for repeated requests holds an hour's.
        (STRIP_UNHEARD, "65 minutes", &["commands_unstripped", "commands_unclaimed"]),
    ] {
        let moment = format!("now() - interval '{age}'");
        let explained = format!("explain (analyze, format json) {}", statement.replace("$1", &moment));
        let pool = Pool::with(&stack.database_url, 1, Limits::NONE).unwrap();
        let plan = plan(&pool, &explained).await;
        let is_wanted =
            |node: &Value| node["Index Name"].as_str().is_some_and(|name| indexes.contains(&name));
        let scan = find(&plan, &is_wanted).unwrap_or_else(|| panic!("{plan:#}"));
        let read =
            ["Actual Rows", "Rows Removed by Filter"].map(|rows| scan[rows].as_f64().unwrap_or_default());
        assert!(read[0] + read[1] <= 9.0, "6 are due: {plan:#}");
        assert!(find(&plan, &|node| node["Node Type"] == "Seq Scan").is_none(), "{plan:#}");
    }

    let pool = Pool::new(&stack.database_url, 2).unwrap();
    let stop = CancellationToken::new();
    // While another cleans, it does not.
    let mut other = pool.get().await.unwrap();
    other.batch_execute("begin; select pg_advisory_xact_lock(7241990421)").await.unwrap();
    assert_eq!(clean(&pool, Clock::System.now(), &stop).await, Ok(0));
    other.batch_execute("commit").await.unwrap();
    assert_eq!(clean(&pool, Clock::System.now(), &stop).await, Ok(12));
    let left = [("claimed", 3, 20_000), ("claimed", 23, 3), ("decided", 2, 3), ("unclaimed", 1, 3)];
    assert_eq!(unstripped(&db).await, left.map(|(state, hours, n)| (state.to_owned(), hours, n)));
    // What nobody can be handed any more is not left for anybody.
    assert_eq!(
        db.count("select 1 from commands where fingerprint = 'aged' and state = 'unclaimed'").await,
        3
    );
    assert_eq!(clean(&pool, Clock::System.now(), &stop).await, Ok(0));
}

/// The plan of a statement, which is run and taken back.
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

/// The first node of a plan that is wanted.
fn find<'a>(plan: &'a Value, wanted: &dyn Fn(&Value) -> bool) -> Option<&'a Value> {
    match plan {
        Value::Object(_) if wanted(plan) => Some(plan),
        Value::Object(node) => node.values().find_map(|value| find(value, wanted)),
        Value::Array(nodes) => nodes.iter().find_map(|node| find(node, wanted)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_relay_waits_in_the_database_for_its_turn() {
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
    eventually("the events go out at once", Duration::from_secs(5), async || {
        (db.count("select 1 from outbox").await == 0).then_some(())
    })
    .await;
    assert_eq!(witness.events(&stack.broker().await).await.len(), 6);
}
