//! The servers are killed, as by a power failure: acknowledged changes survive.

use std::time::Duration;

use tests::load::push_for;
use tests::servers::{Server, Servers};
use tests::stack::Options;
use tests::{Stack, check, eventually};

use crate::postgres_away::only_answers_okta_understands;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_changes_survive_when_both_servers_are_killed() {
    let servers = Servers::own().await;
    let stack =
        Stack::start(Options { servers: Some(servers.clone()), workers: 2, ..Options::default() }).await;
    let tenant = stack.tenant("power").await;
    let servers_env = || std::fs::read_to_string(servers.folder().join("servers.env")).unwrap();
    let connections = servers_env();
    let witness = stack.broker().await.witness().await;
    let okta = tenant.okta();
    let saboteur = async {
        for server in [Server::Postgres, Server::RabbitMq] {
            let before = stack.db().count("select 1 from users").await;
            eventually("the push is under way", Duration::from_secs(60), async || {
                (stack.db().count("select 1 from users").await > before + 100).then_some(())
            })
            .await;
            servers.crash(server).await;
            servers.start(server).await;
        }
        for service in stack.services() {
            service.whole().await;
        }
    };
    let (pushed, ()) = tokio::join!(push_for(&okta, "power", Duration::from_secs(20), 16), saboteur);
    only_answers_okta_understands(&okta);
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
    assert_eq!(servers_env(), connections, "a password or a key changed after a restart");
}
