//! A service whose clock is a day ahead has changed somebody: the others do not follow it, say so, and go on with everybody else.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::amqp::{dead, topology};
use shared::clock::Clock;
use shared::ticket::Ticket;
use tests::broker::header;
use tests::okta::person;
use tests::{Okta, Stack, eventually};
use uuid::Uuid;

/// What the log says once.
const SAID: &str = "the clock of another service is ahead of this machine's";

/// Dates the last change of a user as a service does whose clock is ahead by so much.
async fn date_ahead(stack: &Stack, id: &str, by: time::Duration) {
    let ticket = Ticket::least_at(Clock::System.now() + by);
    stack.db().execute(&format!("update users set ticket = '{ticket}' where id = '{id}'")).await;
}

async fn rename(okta: &Okta, id: &str, title: &str) -> tests::Answer {
    let body = json!({
        "schemas": [tests::okta::PATCH_OP],
        "Operations": [{ "op": "replace", "path": "title", "value": title }]
    });
    okta.once(okta.request("PATCH", &format!("/Users/{id}")).body(body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_day_ahead_is_not_followed_and_moves_nobody_else() {
    let stack = Stack::own().await;
    let okta = stack.tenant("clocks").await.okta();
    let mut ids = Vec::new();
    for name in ["near", "far", "other"] {
        ids.push(okta.create(&person(&format!("{name}@clocks.example"), "Clo", "Cks")).await.is(201).id());
    }
    let [near, far, other] = ids.as_slice() else { panic!("three people") };

    // Two minutes are followed, as ever.
    date_ahead(&stack, near, time::Duration::minutes(2)).await;
    rename(&okta, near, "Near").await.is(200);
    assert!(stack.ingests[0].is_whole().await);

    date_ahead(&stack, far, time::Duration::DAY).await;
    for _ in 0..3 {
        let began = Instant::now();
        let refused = rename(&okta, far, "Far").await.is_error(429);
        assert!(refused.retry_after() > 0);
        assert!(refused.detail().contains("nothing was changed"), "{}", refused.detail());
        assert!(began.elapsed() < Duration::from_secs(5), "it was tried until the deadline");
    }
    assert_eq!(stack.ingests[0].misses("clock").await, "minutes behind that of another service");
    assert_eq!(stack.ingests[0].log().matches(SAID).count(), 1, "it is said once");
    assert_eq!(okta.user(far).await.is(200).body.get("title"), None);

    // Nobody else is dated ahead by it.
    rename(&okta, other, "Other").await.is(200);
    let ticket: Uuid = stack.db().user(other).await.unwrap()["ticket"].as_str().unwrap().parse().unwrap();
    let bound = Ticket::least_at(Clock::System.now() + time::Duration::minutes(6));
    assert!(Ticket(ticket) < bound, "{ticket} is dated ahead");

    // A role over AMQP has nobody who would send it again: it is kept as a dead letter, and those behind it do not wait.
    let broker = stack.broker().await;
    for id in [far, other] {
        let event = json!({
            "specversion": "1.0", "type": "role.changed", "source": "/platform", "id": shared::id::new(),
            "tenant": "clocks", "data": { "user": { "id": id }, "role": "creator" }
        });
        broker.event(&event).await;
    }
    eventually("the second role is set", Duration::from_secs(20), async || {
        (stack.db().user(other).await?["role"] == "creator").then_some(())
    })
    .await;
    let letters = broker.peek(topology::DEAD).await;
    let [letter] = letters.as_slice() else { panic!("{} dead letters", letters.len()) };
    assert!(
        header(letter, dead::REASON).contains("ahead of the time of day"),
        "{}",
        header(letter, dead::REASON)
    );
    assert_eq!(header(letter, dead::QUEUE), topology::ROLES);
}
