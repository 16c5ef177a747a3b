//! A service whose clock is a day ahead has changed a user: the others do not adopt its clock, report it, and keep
//! working for other users.

use std::time::{Duration, Instant};

use amqp::{dead, topology};
use domain::ticket::Ticket;
use platform::clock::Clock;
use serde_json::json;
use tests::broker::header;
use tests::okta::person;
use tests::{Okta, Stack, eventually};
use uuid::Uuid;

/// Logged once.
const SAID: &str = "clock skew: another service's clock is ahead of this machine's";

/// Dates a user's last change as a service would whose clock is ahead by this much.
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
async fn a_clock_that_is_a_day_ahead_is_not_adopted_and_affects_no_other_user() {
    let stack = Stack::own().await;
    stack.ingests[0].whole().await;
    let okta = stack.tenant("clocks").await.okta();
    let mut ids = Vec::new();
    for name in ["near", "far", "other"] {
        ids.push(okta.create(&person(&format!("{name}@clocks.example"), "Clo", "Cks")).await.is(201).id());
    }
    let [near, far, other] = ids.as_slice() else { panic!("three people") };

    // Two minutes are adopted.
    date_ahead(&stack, near, time::Duration::minutes(2)).await;
    rename(&okta, near, "Near").await.is(200);
    assert!(stack.ingests[0].is_whole().await);

    date_ahead(&stack, far, time::Duration::DAY).await;
    for _ in 0..3 {
        let began = Instant::now();
        let refused = rename(&okta, far, "Far").await.is_error(429);
        assert!(refused.retry_after() > 0);
        assert!(refused.detail().contains("nothing was changed"), "{}", refused.detail());
        assert!(began.elapsed() < Duration::from_secs(5), "it was retried until the deadline");
    }
    assert_eq!(stack.ingests[0].misses("clock").await, "minutes behind another service's clock");
    assert_eq!(stack.ingests[0].log().matches(SAID).count(), 1, "it is logged once");
    assert_eq!(okta.user(far).await.is(200).body.get("title"), None);

    // Other users' changes are not dated ahead.
    rename(&okta, other, "Other").await.is(200);
    let ticket: Uuid = stack.db().user(other).await.unwrap()["ticket"].as_str().unwrap().parse().unwrap();
    let bound = Ticket::least_at(Clock::System.now() + time::Duration::minutes(6));
    assert!(Ticket(ticket) < bound, "{ticket} is dated ahead");

    // Nobody would resend a role that came over AMQP: it is kept as a dead letter, and the ones behind it do not wait.
    let broker = stack.broker().await;
    for id in [far, other] {
        let event = json!({
            "specversion": "1.0", "type": "role.changed", "source": "/platform", "id": platform::id::new(),
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
        header(letter, dead::REASON).contains("ahead of this machine's time"),
        "{}",
        header(letter, dead::REASON)
    );
    assert_eq!(header(letter, dead::QUEUE), topology::ROLES);
}
