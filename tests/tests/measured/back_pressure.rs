//! Backpressure: when services behind ingest are slow or full, clients are answered quickly, memory stays bounded, and
//! nothing is lost.

use std::time::{Duration, Instant};

use tests::load::push_for;
use tests::okta::person;
use tests::servers::Servers;
use tests::stack::Options;
use tests::{Stack, check, eventually};

use crate::postgres_away::only_answers_okta_understands;

/// The memory limit for ingest, in MiB.
const MEMORY: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_under_memory_pressure_is_a_fast_429_until_it_recovers() {
    let servers = Servers::own().await;
    let stack = Stack::start(Options { servers: Some(servers.clone()), ..Options::default() }).await;
    let tenant = stack.tenant("alarm").await;
    let witness = stack.broker().await.witness().await;
    let okta = tenant.okta();
    // Before the push: the broker blocks a connection when it next publishes.
    servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.0000001"]).await;
    let saboteur = async {
        let post = async |n: usize| {
            let user = person(&format!("refused-{n}@alarm.example"), "Re", "Fused");
            let began = Instant::now();
            let answer = okta.once(okta.request("POST", "/Users").body(user.to_string())).await;
            (answer, began.elapsed())
        };
        assert_eq!(stack.ingests[0].misses("rabbitmq").await, "blocks publishers");
        for n in 0..10 {
            let (answer, took) = post(n).await;
            assert!(answer.is_error(429).retry_after() > 0);
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
        okta.once(okta.request("GET", "/Users?count=1")).await.is(200);
        servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.6"]).await;
        stack.ingests[0].whole().await;
    };
    let (pushed, ()) = tokio::join!(push_for(&okta, "alarm", Duration::from_secs(8), 32), saboteur);
    only_answers_okta_understands(&okta);
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_delays_answers_and_loses_nothing() {
    let environment = vec![("ROLLCALL_DEADLINE", "2".to_owned())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let tenant = stack.tenant("slow").await;
    let witness = stack.broker().await.witness().await;
    let okta = tenant.okta();
    let saboteur = async {
        eventually("the push is under way", Duration::from_secs(30), async || {
            (stack.db().count("select 1 from users").await > 50).then_some(())
        })
        .await;
        let lock = "do $$ begin lock table users in exclusive mode; perform pg_sleep(6); end $$";
        stack.db().execute(lock).await;
    };
    let (pushed, ()) = tokio::join!(push_for(&okta, "slow", Duration::from_secs(10), 200), saboteur);
    only_answers_okta_understands(&okta);
    assert!(okta.seen().contains_key(&429), "the lock had no effect");
    let memory = stack.ingests[0].memory();
    assert!(memory < MEMORY, "{memory} MiB");
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
}
