//! RabbitMQ is down for a while during a push: clients are told to retry, nothing is lost.

use std::time::Duration;

use tests::load::push_for;
use tests::servers::{Server, Servers};
use tests::stack::Options;
use tests::{Stack, check, eventually};

use crate::postgres_away::{only_answers_okta_understands, outage};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_survives_an_outage_of_rabbitmq() {
    let servers = Servers::own().await;
    let stack = Stack::start(Options { servers: Some(servers.clone()), ..Options::default() }).await;
    let tenant = stack.tenant("outage").await;
    let witness = stack.broker().await.witness().await;
    let okta = tenant.okta();
    let saboteur = async {
        eventually("the push is under way", Duration::from_secs(30), async || {
            (stack.db().count("select 1 from users").await > 100).then_some(())
        })
        .await;
        servers.stop(Server::RabbitMq).await;
        let away = async {
            // Reads need no queue; the content service is told to retry.
            assert!(okta.once(okta.request("GET", "/Users?count=1")).await.is(200).total() > 100);
            let content = tenant.content();
            let answer = content.tell(&content.assigned(&platform::id::new().to_string(), "Later")).await;
            assert!(answer.is_error(429).retry_after() > 0);
            for service in stack.services() {
                assert_eq!(service.misses("rabbitmq").await, "away", "{}", service.name());
            }
        };
        tokio::join!(away, tokio::time::sleep(outage() / 2));
        servers.start(Server::RabbitMq).await;
        for service in stack.services() {
            service.whole().await;
        }
    };
    let (pushed, ()) =
        tokio::join!(push_for(&okta, "outage", outage() + Duration::from_secs(8), 16), saboteur);
    only_answers_okta_understands(&okta);
    assert!(okta.seen().contains_key(&429), "no client was told to retry: the outage had no effect");
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
}
