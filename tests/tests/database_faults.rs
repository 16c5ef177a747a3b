//! PostgreSQL faults other than outages: deadlocks, locks that are held for long, slow statements. No message is blamed
//! for them, and statements that time out in a service are cancelled on the server.

use std::time::{Duration, Instant};

use amqp::topology;
use database::{Connection, Error, Limits, Pool};
use diesel::sql_query;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use serde_json::{Value, json};
use tests::okta::{membership, person};
use tests::{Stack, check, eventually};

/// A session of another application.
async fn stranger(stack: &Stack) -> Connection {
    let pool = Pool::with(&stack.database_url, 1, Limits::NONE).unwrap();
    let mut session = pool.get().await.unwrap();
    session.batch_execute("set idle_in_transaction_session_timeout = 0").await.unwrap();
    session
}

async fn lock(session: &mut Connection, user: &str) {
    let lock = format!("select from users where id = '{user}' for update");
    session.batch_execute(&lock).await.unwrap();
}

/// The statements that wait for a lock: the process ids of their sessions, and when they began.
async fn waiting(stack: &Stack) -> Vec<Value> {
    let waiting = "select pid, query_start from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";
    stack.db().rows(waiting).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlocked_batch_is_retried_and_not_split() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("deadlock").await;
    let okta = tenant.okta();
    let mut people = Vec::new();
    for name in ["ada", "bob"] {
        people.push(okta.create(&person(&format!("{name}@deadlock.example"), name, "D")).await.is(201).id());
    }
    let group = okta.push_group("All").await.is(201).id();
    people.sort_unstable();
    let [first, second] = [&people[0], &people[1]];

    // The worker locks the first row and waits for the second; then the session requests the first. The worker has
    // waited longer, so it is the victim.
    let mut session = stranger(&stack).await;
    session.batch_execute("begin").await.unwrap();
    lock(&mut session, second).await;
    let joined = tokio::spawn({
        let (okta, operations) = (tenant.okta(), membership(&[], &[first, second]));
        let group = group.clone();
        async move { okta.patch_group(&group, operations).await }
    });
    // A batch hardly waits; the lane of its tenant does.
    let patient = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' \
                   and clock_timestamp() - query_start > interval '0.5 s'";
    eventually("the lane waits", Duration::from_secs(10), async || {
        (stack.db().count(patient).await == 1).then_some(())
    })
    .await;
    lock(&mut session, first).await;
    session.batch_execute("commit").await.unwrap();

    let answer = joined.await.unwrap();
    assert!(matches!(answer.status, 200 | 204), "{}", answer.text);
    assert_eq!(stack.db().count("select 1 from group_members").await, 2);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    eventually("the server counts a deadlock", Duration::from_secs(10), async || {
        (stack.db().one(deadlocks).await["deadlocks"] == json!(1)).then_some(())
    })
    .await;
    let log = stack.workers[0].log();
    assert!(log.contains("transaction conflict, retrying the batch") && log.contains("deadlock"), "{log}");
    assert!(!log.contains("one by one"), "{log}");
    check::wait_until_idle(&stack).await;
    assert_eq!(stack.broker().await.ready(topology::DEAD).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_for_long_makes_no_dead_letter() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("locked").await;
    let okta = tenant.okta();
    let id = okta.create(&person("ada@locked.example", "Ada", "L")).await.is(201).id();
    let mut session = stranger(&stack).await;
    session.batch_execute("begin").await.unwrap();
    lock(&mut session, &id).await;

    let changed = tokio::spawn({
        let (okta, id) = (tenant.okta(), id.clone());
        async move { okta.patch(&id, json!([{ "op": "replace", "path": "title", "value": "Queen" }])).await }
    });
    // Longer than the worker's lock timeout and all its retries.
    eventually("the command waits in isolation", Duration::from_secs(60), async || {
        stack.workers[0].log().contains("command blocked by other transactions, retrying").then_some(())
    })
    .await;
    let log = stack.workers[0].log();
    assert!(log.contains("lock timeout"), "{log}");
    session.batch_execute("commit").await.unwrap();

    // At the deadline the client was told to retry; one of its retries was answered.
    assert_eq!(changed.await.unwrap().is(200).body["title"], "Queen");
    check::wait_until_idle(&stack).await;
    assert_eq!(stack.broker().await.ready(topology::DEAD).await, 0);
    okta.create(&person("bob@locked.example", "Bob", "L")).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_batch_is_retried() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("cancelled").await;
    let okta = tenant.okta();
    let id = okta.create(&person("ada@cancelled.example", "Ada", "C")).await.is(201).id();
    for end in ["pg_cancel_backend", "pg_terminate_backend"] {
        let mut session = stranger(&stack).await;
        session.batch_execute("begin").await.unwrap();
        lock(&mut session, &id).await;
        let changed = tokio::spawn({
            let (okta, id) = (tenant.okta(), id.clone());
            async move { okta.patch(&id, json!([{ "op": "replace", "path": "title", "value": end }])).await }
        });
        eventually("the batch waits", Duration::from_secs(10), async || {
            (waiting(&stack).await.len() == 1).then_some(())
        })
        .await;
        let ended = "from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        stack.db().rows(&format!("select {end}(pid) {ended}")).await;
        session.batch_execute("commit").await.unwrap();
        assert_eq!(changed.await.unwrap().is(200).body["title"], end);
    }
    let log = stack.workers[0].log();
    assert!(!log.contains("one by one"), "{log}");
    assert_eq!(stack.broker().await.ready(topology::DEAD).await, 0);
}

/// The number of sleeping sessions.
async fn sleeping(stack: &Stack) -> i64 {
    let sleeping = "select 1 from pg_stat_activity where datname = current_database() and state = 'active' \
                    and query like '%pg_sleep%' and pid <> pg_backend_pid()";
    stack.db().count(sleeping).await
}

async fn sleep(connection: &mut diesel_async::AsyncPgConnection) -> Result<usize, Error> {
    Ok(sql_query("select pg_sleep(30)").execute(connection).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_given_up_is_cancelled_on_the_server() {
    let stack = Stack::own().await;
    let pool = Pool::new(&stack.database_url, 1).unwrap();
    let gone = async |what: &str| {
        eventually(what, Duration::from_secs(5), async || (sleeping(&stack).await == 0).then_some(())).await;
    };
    // The future is dropped.
    let dropped = tokio::time::timeout(Duration::from_millis(300), pool.bounded(async |c| sleep(c).await));
    assert!(dropped.await.is_err());
    gone("the statement of a dropped future is cancelled").await;
    // The timeout of the service and the server's are the same.
    let started = Instant::now();
    let late = pool.bounded(async |c| sleep(c).await).await;
    assert!(matches!(late, Err(Error::Busy(_) | Error::Cancelled)), "{late:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    gone("a statement that timed out is cancelled").await;
    let longer = pool.within(Duration::from_secs(25), async |c| sleep(c).await).await;
    assert_eq!(longer, Err(Error::Cancelled), "the server enforces its own timeout");
    // The pool's only connection was not lost.
    pool.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn service_sessions_have_timeouts_and_the_operators_has_none() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("limits").await;
    let id = tenant.okta().create(&person("ada@limits.example", "Ada", "L")).await.is(201).id();
    let mut session = stranger(&stack).await;
    session.batch_execute("begin; lock table users in access exclusive mode").await.unwrap();
    // A read is given up soon, by the lock timeout, the statement timeout, or ours.
    let started = Instant::now();
    let (okta, path) = (tenant.okta(), format!("/Users/{id}"));
    let refused = okta.once(okta.request("GET", &path)).await.is_error(429);
    assert!(refused.retry_after() > 0);
    okta.once(okta.request("GET", "/Users?filter=title%20eq%20%22x%22")).await.is_error(429);
    // The notifier waits for the lock again and again; none of its statements waits for long.
    let earlier = waiting(&stack).await;
    eventually("no statement still waits", Duration::from_secs(10), async || {
        let still = waiting(&stack).await;
        (!earlier.iter().any(|statement| still.contains(statement))).then_some(())
    })
    .await;
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    session.batch_execute("commit").await.unwrap();
    okta.user(&id).await.is(200);
    // An operator's session has no timeouts.
    assert_eq!(
        Pool::with(&stack.database_url, 1, Limits::NONE)
            .unwrap()
            .bounded(async |c| Ok(sql_query("select pg_sleep(6)").execute(c).await?))
            .await,
        Ok(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_classified_by_sqlstate() {
    let stack = Stack::own().await;
    let pool = Pool::new(&stack.database_url, 2).unwrap();
    let fails = async |statement: String| -> Error {
        pool.bounded(async |c| {
            c.batch_execute(&statement).await?;
            Ok(())
        })
        .await
        .unwrap_err()
    };
    let raise = |state: &str| {
        format!(
            "do $$ begin raise exception 'of \"ada@acme.example\"' using errcode = '{state}', hint = 'a hint of its own'; end $$"
        )
    };
    for state in ["40P01", "40001", "55P03"] {
        assert!(matches!(fails(raise(state)).await, Error::Contention(_)), "{state}");
    }
    for state in ["57P01", "57P03", "08006", "53100", "53300", "25006", "58030"] {
        let error = fails(raise(state)).await;
        assert!(matches!(&error, Error::Unavailable(said) if said.contains(state)), "{error}");
        assert!(!error.to_string().contains("acme.example"), "{error}");
    }
    for state in ["22P02", "23514", "54000"] {
        assert!(matches!(fails(raise(state)).await, Error::Refused(_)), "{state}");
    }
    assert_eq!(fails(raise("57014")).await, Error::Cancelled);
    for state in ["XX000", "P0001"] {
        assert!(matches!(fails(raise(state)).await, Error::Unknown(_)), "{state}");
    }
    assert!(matches!(fails("select * from nowhere".to_owned()).await, Error::Unfit(_)));
    assert!(matches!(fails("select 'x'::jsonb".to_owned()).await, Error::Refused(_)));
    assert_eq!(fails("set statement_timeout = 10; select pg_sleep(1)".to_owned()).await, Error::Cancelled);
    let taken =
        "insert into tenants (id, name) values (gen_random_uuid(), 'one'), (gen_random_uuid(), 'one')";
    assert!(matches!(fails(taken.to_owned()).await, Error::Taken { .. }));
    // Last, because the pool may hand out the session once more before its end is noticed.
    let ended = fails("select pg_terminate_backend(pg_backend_pid())".to_owned()).await;
    assert!(matches!(ended, Error::Unavailable(_)), "{ended}");
}
