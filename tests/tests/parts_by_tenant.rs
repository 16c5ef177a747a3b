//! A batch falls into parts by tenant: a tenant whose changes wait for a lock, delete users or change a schema holds up
//! nobody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amqp::topology;
use database::{Connection, Limits, Pool};
use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::load::push;
use tests::okta::person;
use tests::stack::Options;
use tests::{Okta, Stack, Tenant, check, crowd, eventually};

use crate::bad_messages::envelope;

const BADGE: &str = "urn:example:params:scim:schemas:extension:badge:2.0:User";
/// The number of locks that stand for all externalIds of a tenant.
const BUCKETS: i64 = 32;

/// A stack whose clients are answered 429 soon.
async fn impatient(batch: usize) -> Stack {
    let environment = vec![("ROLLCALL_DEADLINE", "4".to_owned()), ("ROLLCALL_BATCH", batch.to_string())];
    Stack::start(Options { environment, ..Options::default() }).await
}

/// A session of another application, in a transaction.
async fn stranger(stack: &Stack, statement: &str) -> Connection {
    let pool = Pool::with(&stack.database_url, 1, Limits::NONE).unwrap();
    let mut session = pool.get().await.unwrap();
    session.batch_execute("set idle_in_transaction_session_timeout = 0; begin").await.unwrap();
    session.batch_execute(statement).await.unwrap();
    session
}

/// Locks a tenant as a batch or a deletion does.
fn tenant_lock(tenant: &Tenant, shared: bool) -> String {
    let lock = if shared { "pg_advisory_xact_lock_shared" } else { "pg_advisory_xact_lock" };
    format!("select {lock}(hashtextextended('{}', 7241990420))", tenant.id)
}

/// Creates users one after the other until `ends`. Every one is answered at once.
async fn create_until(okta: &Okta, ends: &AtomicBool) -> usize {
    let mut made = 0;
    while !ends.load(Ordering::SeqCst) {
        let user = person(&format!("neighbour-{made}@neighbour.example"), "Nei", "Ghbour");
        okta.once(okta.request("POST", "/Users").body(user.to_string())).await.is(201);
        made += 1;
    }
    made
}

fn title(value: &str) -> Value {
    json!({ "schemas": [tests::okta::PATCH_OP], "Operations": [{ "op": "replace", "path": "title", "value": value }] })
}

async fn patch_once(okta: &Okta, id: &str, value: String) -> u16 {
    okta.once(okta.request("PATCH", &format!("/Users/{id}")).body(title(&value).to_string())).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_user_is_locked_holds_up_nobody_else() {
    let stack = impatient(32).await;
    let (blocked, neighbour) = (stack.tenant("blocked").await, stack.tenant("neighbour").await);
    let (okta, other) = (blocked.okta(), neighbour.okta());
    let ids = join_all(["ada", "bob"].map(|name| {
        let (okta, user) = (okta.clone(), person(&format!("{name}@blocked.example"), name, "B"));
        async move { okta.create(&user).await.is(201).id() }
    }))
    .await;
    let lock = format!("select from users where id = '{}' for update", ids[0]);
    let mut session = stranger(&stack, &lock).await;

    let ends = AtomicBool::new(false);
    let attack = async {
        let late = join_all((0..30).map(|n| patch_once(&okta, &ids[0], format!("Number {n}")))).await;
        // Another user of the tenant is not locked.
        let free = okta.patch(&ids[1], title("Free")["Operations"].clone()).await.status;
        ends.store(true, Ordering::SeqCst);
        (late, free)
    };
    let ((late, free), made) = tokio::join!(attack, create_until(&other, &ends));
    assert!(late.iter().all(|status| *status == 429), "{late:?}");
    assert_eq!(free, 200);
    // One after the other, during the four seconds until the deadline.
    assert!(made >= 10, "the neighbour made {made}");

    session.batch_execute("commit").await.unwrap();
    assert_eq!(
        okta.patch(&ids[0], title("Queen")["Operations"].clone()).await.is(200).body["title"],
        "Queen"
    );
    check::wait_until_idle(&stack).await;
    assert_eq!(stack.broker().await.ready(topology::DEAD).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_tenant_that_sends_more_than_its_share_fills_no_worker() {
    const PEOPLE: usize = 60;
    let stack = impatient(4).await;
    let (blocked, neighbour) = (stack.tenant("flood").await, stack.tenant("neighbour").await);
    let (okta, other, broker) = (blocked.okta(), neighbour.okta(), stack.broker().await);
    let mut session = stranger(&stack, &tenant_lock(&blocked, false)).await;

    let ends = AtomicBool::new(false);
    let attack = async {
        let posts = (0..PEOPLE).map(|n| {
            let user = person(&format!("flood-{n}@flood.example"), "Flo", "Od");
            okta.once(okta.request("POST", "/Users").body(user.to_string()))
        });
        let waiting = eventually("commands wait in the broker", Duration::from_secs(20), async || {
            (broker.ready(topology::COMMANDS_LATER).await > 0).then_some(())
        });
        let (answers, ()) = tokio::join!(join_all(posts), waiting);
        ends.store(true, Ordering::SeqCst);
        answers
    };
    let (answers, made) = tokio::join!(attack, create_until(&other, &ends));
    assert!(answers.iter().all(|answer| answer.status == 429), "{answers:?}");
    // Held up, it would make one at most: a create waits four seconds for its deadline.
    assert!(made >= 3, "the neighbour made {made}");

    session.batch_execute("commit").await.unwrap();
    let own = format!("select 1 from users where tenant_id = '{}'", blocked.id);
    eventually("all are applied in the end", Duration::from_secs(60), async || {
        (stack.db().count(&own).await == i64::try_from(PEOPLE).unwrap()).then_some(())
    })
    .await;
    check::wait_until_idle(&stack).await;
    assert_eq!(broker.ready(topology::DEAD).await, 0);
    assert_eq!(stack.db().rows("select * from quarantine").await, [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_its_own_tenant_only_and_nobody_waits_for_it() {
    let stack = impatient(32).await;
    let (own, neighbour) = (stack.tenant("deletes").await, stack.tenant("neighbour").await);
    let (okta, other) = (own.okta(), neighbour.okta());
    let create = async |name: &str| {
        okta.create(&person(&format!("{name}@deletes.example"), name, "D")).await.is(201).id()
    };
    let (first, second) = (create("ada").await, create("bob").await);
    // Another worker has a batch of the other tenant in progress.
    let theirs = stranger(&stack, &tenant_lock(&neighbour, true)).await;
    okta.once(okta.request("DELETE", &format!("/Users/{first}"))).await.is(204);
    drop(theirs);

    // Another worker has a batch of this tenant in progress.
    let mut ours = stranger(&stack, &tenant_lock(&own, true)).await;
    let ends = AtomicBool::new(false);
    let deletion = async {
        let answer = okta.once(okta.request("DELETE", &format!("/Users/{second}"))).await;
        ends.store(true, Ordering::SeqCst);
        answer
    };
    let (answer, made) = tokio::join!(deletion, create_until(&other, &ends));
    answer.is_error(429);
    assert!(made >= 10, "the neighbour made {made}");
    ours.batch_execute("commit").await.unwrap();
    eventually("the user is deleted", Duration::from_secs(20), async || {
        stack.db().user(&second).await.is_none().then_some(())
    })
    .await;
    check::wait_until_idle(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_many_users_is_removed_and_added_while_changes_are_answered() {
    const PEOPLE: usize = 6_000;
    let stack = Stack::start(Options { workers: 2, ..Options::default() }).await;
    let (own, neighbour) = (stack.tenant("schema").await, stack.tenant("neighbour").await);
    let (okta, other, db) = (own.okta(), neighbour.okta(), stack.db());
    let file = stack.folder().join("badge.json");
    let definition = |kind: &str| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": BADGE, "name": "Badge",
            "attributes": [{ "name": "number", "type": kind }],
        })
    };
    let add = async |kind: &str| {
        std::fs::write(&file, definition(kind).to_string()).unwrap();
        stack.rollcall(&["schema", "add", "schema", file.to_str().unwrap()]).await
    };
    // No value yet: any definition can replace another.
    add("string").await.well();
    add("integer").await.well();
    let ada = okta.create(&person("ada@schema.example", "Ada", "S")).await.is(201).id();
    crowd::insert(&db, &[(own.id, PEOPLE)]).await;
    let badge = json!({ BADGE: { "number": 7 } });
    db.execute(&format!(
        "update users set resource = resource || '{badge}' where tenant_id = '{}' and id <> '{ada}'",
        own.id
    ))
    .await;

    let ends = AtomicBool::new(false);
    let operator = async {
        // Another session holds a user of the tenant for a while: the command waits, and nobody else.
        let lock =
            format!("select from users where tenant_id = '{}' and id <> '{ada}' limit 1 for update", own.id);
        let mut session = stranger(&stack, &lock).await;
        let waiting = "select 1 from pg_stat_activity where datname = current_database() \
            and wait_event_type = 'Lock' and query like '%search_version = 0%'";
        let free = async {
            eventually("the command waits", Duration::from_secs(60), async || {
                (db.count(waiting).await > 0).then_some(())
            })
            .await;
            session.batch_execute("commit").await.unwrap();
        };
        let (removed, ()) = tokio::join!(stack.rollcall(&["schema", "remove", "schema", BADGE]), free);
        removed.well();
        let unfit = add("string").await;
        assert!(unfit.code == Some(1) && unfit.err.contains("number"), "{}", unfit.err);
        add("integer").await.well();
        let unfit = add("string").await;
        assert!(unfit.code == Some(1) && unfit.err.contains("number"), "{}", unfit.err);
        ends.store(true, Ordering::SeqCst);
    };
    let changes = async {
        let mut made = 0;
        while !ends.load(Ordering::SeqCst) {
            assert_eq!(patch_once(&okta, &ada, format!("Number {made}")).await, 200);
            made += 1;
        }
        made
    };
    let ((), changed, made) = tokio::join!(operator, changes, create_until(&other, &ends));
    assert!(changed >= 10 && made >= 10, "{changed} changes, the neighbour made {made}");

    let filter = tests::okta::encode(&format!("{BADGE}:number eq 7"));
    let found = okta.get(&format!("/Users?count=0&filter={filter}")).await.is(200).total();
    assert!(found >= PEOPLE as u64, "{found} users are found by the search documents");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_takes_a_bounded_number_of_advisory_locks() {
    const PEOPLE: usize = 300;
    let stack = Stack::start(Options {
        environment: vec![("ROLLCALL_BATCH", "1000".to_owned())],
        ..Options::default()
    })
    .await;
    let (tenant, broker, db) = (stack.tenant("buckets").await, stack.broker().await, stack.db());
    stack.workers[0].kill();
    for n in 0..PEOPLE {
        let mut command = envelope(&tenant, &format!("bucket-{n}@buckets.example"));
        command["change"]["user"]["externalId"] = json!(format!("okta-{n}"));
        broker.command(command.to_string().as_bytes()).await;
    }
    // The batch waits for this table while it holds its advisory locks.
    let mut session = stranger(&stack, "lock table users in exclusive mode").await;
    stack.workers[0].start();
    let held = "select 1 from pg_locks where locktype = 'advisory' and granted \
        and database = (select oid from pg_database where datname = current_database())";
    let mut most = 0;
    eventually("the batch has taken its locks", Duration::from_secs(60), async || {
        most = most.max(db.count(held).await);
        (most >= BUCKETS).then_some(())
    })
    .await;
    // Two transactions at most, each with a lock of the tenant; and the locks of cleaner and relay.
    let is_bounded = tests::holds_for(Duration::from_secs(2), async || {
        most = most.max(db.count(held).await);
        most <= 2 * (BUCKETS + 1) + 2
    });
    assert!(is_bounded.await, "too many advisory locks");
    session.batch_execute("commit").await.unwrap();
    eventually("all are created", Duration::from_secs(60), async || {
        (db.count("select 1 from users").await == i64::try_from(PEOPLE).unwrap()).then_some(())
    })
    .await;
    check::wait_until_idle(&stack).await;
    let okta = tenant.okta();
    let pushed = push(&okta, "afterwards", 20, 4).await;
    assert!(pushed.iter().all(tests::load::Pushed::is_acknowledged));
}
