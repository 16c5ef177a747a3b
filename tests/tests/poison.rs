//! Poison messages, and dead letters of every kind: listed, shown, redriven, dropped.

use std::time::Duration;

use amqp::topology;
use serde_json::{Value, json};
use tests::load::{Pushed, push};
use tests::okta::person;
use tests::stack::Options;
use tests::{Stack, eventually};

use crate::bad_messages::envelope;

/// The worker with the bug dies on commands that contain this word.
const POISON: &str = "Plutonium";

/// Restarts the worker whenever it dies, until there are this many dead letters; returns how often it died.
async fn until_dead(stack: &Stack, letters: u32) -> usize {
    let broker = stack.broker().await;
    let mut deaths = 0;
    eventually("the poison message is dead-lettered", Duration::from_secs(90), async || {
        deaths += usize::from(stack.workers[0].revive());
        (broker.ready(topology::DEAD).await == letters).then_some(())
    })
    .await;
    deaths
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_is_dead_lettered_and_its_neighbours_are_applied() {
    let stack = Stack::start(Options {
        sabotage: Some(format!("die-on:{POISON}")),
        environment: vec![("ROLLCALL_DEADLINE", "4".to_owned())],
        ..Options::default()
    })
    .await;
    let okta = stack.tenant("toxic").await.okta();
    let poison = person("poison@toxic.example", POISON, "Toxic");
    let request = okta.request("POST", "/Users").body(poison.to_string());
    let (pushed, answer, deaths) =
        tokio::join!(push(&okta, "toxic", 60, 16), okta.once(request), until_dead(&stack, 1));
    answer.is_error(429);
    assert!(pushed.iter().all(Pushed::is_acknowledged), "a neighbouring command failed");
    assert!((3..=8).contains(&deaths), "{deaths} workers died of it");

    let listed = stack.rollcall_json(&["dead", "list"]).await;
    let [letter] = listed.as_array().unwrap().as_slice() else { panic!("one is dead-lettered: {listed}") };
    assert_eq!(letter["reason"], "workers died while applying this command in isolation");
    assert_eq!(letter["attempts"], 3, "two workers that died, and the one that dead-lettered it");
    assert_eq!(stack.db().rows("select * from quarantine").await, [] as [Value; 0], "marks are taken off");

    // Shown without personal data, unless that is requested.
    let id = letter["id"].as_str().unwrap();
    let shown = stack.rollcall_json(&["dead", "show", id]).await;
    assert_eq!(shown["envelope"]["change"], "createUser");
    assert_eq!(shown["attempts"][2]["what"], letter["reason"]);
    assert!(!shown.to_string().contains(POISON) && !shown.to_string().contains("toxic.example"), "{shown}");
    let shown = stack.rollcall_json(&["dead", "show", id, "--body"]).await;
    assert!(shown["body"].as_str().is_some_and(|body| body.contains(POISON)));
    assert!(stack.rollcall(&["dead", "show", id]).await.well().out.contains("reason: workers died"));
    assert_eq!(stack.rollcall(&["dead", "show", "nobody"]).await.code, Some(1));

    // A redriven poison message is as deadly as before, and records the attempts of both rounds.
    assert_eq!(stack.rollcall_json(&["dead", "redrive", "--id", id]).await["redriven"], 1);
    until_dead(&stack, 1).await;
    assert_eq!(stack.rollcall_json(&["dead", "list"]).await[0]["attempts"], 6);

    assert_eq!(stack.rollcall(&["dead", "drop", "--all"]).await.code, Some(2), "not without --yes");
    assert_eq!(stack.rollcall_json(&["dead", "drop", "--id", id]).await["dropped"], 1);
    assert_eq!(stack.rollcall(&["dead", "drop", "--id", id]).await.code, Some(1));
    assert_eq!(stack.broker().await.ready(topology::DEAD).await, 0);
    okta.create(&person("after@toxic.example", "Af", "Ter")).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_every_kind_are_listed_and_redriven() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("letters").await;
    let broker = stack.broker().await;
    let dead = async |letters: u32| {
        eventually(format!("{letters} are dead-lettered"), Duration::from_secs(20), async || {
            (broker.ready(topology::DEAD).await == letters).then_some(())
        })
        .await;
    };
    broker.publish("", topology::BULK, b"no command").await;
    broker.publish(topology::EVENTS, "content.assigned", b"no event").await;
    dead(2).await;
    stack.workers[0].kill();
    let expired = envelope(&tenant, "expired@letters.example").to_string();
    broker.expire(topology::COMMANDS, expired.as_bytes()).await;
    dead(3).await;

    let listed = stack.rollcall_json(&["dead", "list"]).await;
    let of = |queue: &str| {
        let found = listed.as_array().unwrap().iter().find(|letter| letter["queue"] == queue);
        found.unwrap_or_else(|| panic!("no dead letter of {queue}: {listed}")).clone()
    };
    assert_eq!(of(topology::BULK)["attempts"], 1);
    assert_eq!(of(topology::NOTIFIER)["attempts"], 1);
    assert_eq!(of(topology::COMMANDS)["reason"], "dead-lettered by RabbitMQ: expired");
    assert!(of(topology::COMMANDS)["died_at"].is_string(), "{listed}");

    // The expired command is valid; the other messages are dead-lettered again.
    stack.workers[0].start();
    stack.workers[0].ready().await;
    assert_eq!(stack.rollcall_json(&["dead", "redrive", "--all"]).await["redriven"], json!(3));
    eventually("the valid one is applied", Duration::from_secs(10), async || {
        let query = "select 1 from users where user_name = 'expired@letters.example'";
        (stack.db().count(query).await == 1).then_some(())
    })
    .await;
    dead(2).await;
    let dropped = stack.rollcall_json(&["dead", "drop", "--all", "--yes"]).await;
    assert_eq!(dropped["dropped"], 2);
    assert_eq!(stack.rollcall_json(&["dead", "list"]).await, json!([]));
}
