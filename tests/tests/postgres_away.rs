//! Postgres is down for a while during a push: clients are told to retry, nothing is lost, and everything recovers
//! without intervention.

use std::time::Duration;

use tests::load::push_for;
use tests::okta::person;
use tests::servers::{Server, Servers};
use tests::stack::Options;
use tests::{Okta, Stack, check, eventually};

/// The duration of the outage: `ROLLCALL_E2E_OUTAGE` seconds.
pub fn outage() -> Duration {
    let seconds = std::env::var("ROLLCALL_E2E_OUTAGE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

/// Asserts that all answers were 2xx or 429.
pub fn only_answers_okta_understands(okta: &Okta) {
    println!("answers by status: {:?}", okta.seen());
    let odd: Vec<_> =
        okta.seen().into_iter().filter(|(status, _)| !matches!(status, 200..=299 | 429)).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_survives_an_outage_of_postgres() {
    let servers = Servers::own().await;
    let stack = Stack::start(Options { servers: Some(servers.clone()), ..Options::default() }).await;
    let tenant = stack.tenant("outage").await;
    let witness = stack.broker().await.witness().await;
    let okta = tenant.okta();
    let known = okta.create(&person("known@outage.example", "Kno", "Wn")).await.is(201);
    let known = tests::load::Pushed { user_name: "known@outage.example".to_owned(), answer: known };

    let saboteur = async {
        eventually("the push is under way", Duration::from_secs(30), async || {
            (stack.db().count("select 1 from users").await > 100).then_some(())
        })
        .await;
        servers.stop(Server::Postgres).await;
        let away = async {
            // Cached keys still work, reads are answered 429, unknown keys cannot be verified.
            let read =
                okta.once(okta.request("GET", &format!("/Users/{}", known.answer.id()))).await.is_error(429);
            assert!(read.retry_after() > 0);
            let stranger = Okta::bearer(&stack.origin(), "rck_unknownunknownunknownunknown");
            let refused = stranger.once(stranger.request("GET", "/Users")).await;
            assert!(matches!(refused.status, 401 | 429), "{}", refused.text);
            // All services report it without details, and stay ready.
            for service in stack.services() {
                assert_eq!(service.misses("postgres").await, "away", "{}", service.name());
            }
        };
        tokio::join!(away, tokio::time::sleep(outage()));
        servers.start(Server::Postgres).await;
        for service in stack.services() {
            service.whole().await;
        }
    };
    let (mut pushed, ()) =
        tokio::join!(push_for(&okta, "outage", outage() + Duration::from_secs(6), 16), saboteur);
    only_answers_okta_understands(&okta);
    assert!(okta.seen().contains_key(&429), "no client was told to retry: the outage had no effect");
    pushed.push(known);
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
}
