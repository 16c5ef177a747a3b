//! Queues, the exchange or a binding are deleted at the broker while everything runs: they are declared again within
//! seconds, and clients get at worst a 429.

use std::time::{Duration, Instant};

use amqp::topology;
use lapin::ExchangeKind;
use lapin::types::AMQPValue;
use serde_json::json;
use tests::broker::Broker;
use tests::okta::person;
use tests::tenant::Tenant;
use tests::{Okta, Stack, check, eventually, holds_for};

use crate::postgres_away::only_answers_okta_understands;

/// The timeout for recovery.
const SOON: Duration = Duration::from_secs(30);

/// A tenant whose use of each queue is checked after each deletion.
struct Paths<'a> {
    stack: &'a Stack,
    broker: Broker,
    tenant: Tenant,
    okta: Okta,
    count: usize,
}

impl Paths<'_> {
    /// Checks that a change is applied, that a content event finds the user, and so on.
    async fn all_work(&mut self, after: &str) {
        let began = Instant::now();
        self.count += 1;
        let name = format!("person-{}@deleted.example", self.count);
        let id = self.okta.create(&person(&name, "Del", "Eted")).await.is(201).id();
        self.content_is_mailed(&id, &name).await;
        self.role_is_set(&id).await;
        self.promise_is_kept().await;
        self.letter_is_kept().await;
        println!("{after}: everything works after {:?}", began.elapsed());
        check::wait_until_idle(self.stack).await;
    }

    async fn content_is_mailed(&self, id: &str, name: &str) {
        let content = self.tenant.content();
        let event = content.assigned(id, "Welcome aboard");
        eventually("the event is accepted", SOON, async || {
            let answer = content.tell(&event).await;
            (answer.status == 202).then_some(()).or_else(|| {
                assert!(answer.is_error(429).retry_after() > 0);
                None
            })
        })
        .await;
        self.stack.mailbox().first_to(name).await;
    }

    /// Over AMQP, as the platform sends it. An event that is published while no queue is bound is lost, so it is
    /// repeated.
    async fn role_is_set(&self, id: &str) {
        eventually("the role is set", SOON, async || {
            let event = json!({
                "specversion": "1.0", "type": "role.changed", "source": "/platform", "id": platform::id::new(),
                "tenant": self.tenant.name, "data": { "user": { "id": id }, "role": "manager" }
            });
            self.broker.event(&event).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let row = self.stack.db().user(id).await?;
            (row["role"] == "manager").then_some(())
        })
        .await;
    }

    async fn promise_is_kept(&self) {
        let name = format!("promised-{}@deleted.example", self.count);
        let body = person(&name, "Pro", "Mised").to_string();
        eventually("the asynchronous request is accepted", SOON, async || {
            let request = self.okta.request("POST", "/Users").header("Prefer", "respond-async");
            let answer = self.okta.once(request.body(body.clone())).await;
            (answer.status == 202).then_some(()).or_else(|| {
                assert!(answer.is_error(429).retry_after() > 0);
                None
            })
        })
        .await;
        let query = format!("select 1 from users where user_name = '{name}'");
        eventually("the asynchronous request is processed", SOON, async || {
            (self.stack.db().count(&query).await == 1).then_some(())
        })
        .await;
    }

    /// An invalid message is kept as a dead letter.
    async fn letter_is_kept(&self) {
        let garbage = format!("garbage {}", self.count);
        self.broker.command(garbage.as_bytes()).await;
        eventually("the dead letter is there", SOON, async || {
            self.broker.consumers(topology::DEAD).await?;
            let letters = self.broker.peek(topology::DEAD).await;
            letters.iter().any(|letter| letter.data == garbage.as_bytes()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_queues_exchanges_and_bindings_are_declared_again() {
    let stack = Stack::own().await;
    let tenant = stack.tenant("deleted").await;
    let okta = tenant.okta();
    let mut paths =
        Paths { stack: &stack, broker: stack.broker().await, tenant, okta: okta.clone(), count: 0 };
    paths.all_work("nothing").await;
    for queue in [topology::COMMANDS, topology::BULK, topology::NOTIFIER, topology::ROLES, topology::DEAD] {
        paths.broker.delete_queue(queue).await;
        paths.all_work(queue).await;
        if queue != topology::DEAD {
            eventually(format!("{queue} is consumed"), SOON, async || {
                paths.broker.consumers(queue).await.filter(|consumers| *consumers > 0)
            })
            .await;
        }
    }
    paths.broker.delete_exchange(topology::EVENTS).await;
    paths.all_work("the exchange").await;
    for (queue, key) in
        [(topology::NOTIFIER, "user.#"), (topology::NOTIFIER, "content.#"), (topology::ROLES, "role.changed")]
    {
        paths.broker.unbind(queue, key).await;
        paths.all_work(key).await;
    }
    // Everything at once.
    for queue in [topology::COMMANDS, topology::BULK, topology::NOTIFIER, topology::ROLES, topology::DEAD] {
        paths.broker.delete_queue(queue).await;
    }
    paths.broker.delete_exchange(topology::EVENTS).await;
    paths.all_work("everything").await;

    only_answers_okta_understands(&okta);
    for queue in [topology::COMMANDS, topology::BULK] {
        assert!(paths.broker.has_arguments(queue, &limited()).await, "{queue} has lost its arguments");
    }
    for service in stack.services() {
        service.whole().await;
    }
}

/// The arguments of the command queues.
fn limited() -> Vec<(&'static str, AMQPValue)> {
    let text = |value: &str| AMQPValue::LongString(value.into());
    vec![
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(1_000_000)),
        ("x-max-length", AMQPValue::LongLongInt(100_000)),
        ("x-max-length-bytes", AMQPValue::LongLongInt(1 << 30)),
        ("x-overflow", text("reject-publish")),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(topology::DEAD)),
        ("x-dead-letter-strategy", text("at-least-once")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_of_another_kind_is_reported_once_and_replaced_after_deletion() {
    const COMPLAINT: &str = "failed to declare missing queues or exchanges";
    let stack = Stack::own().await;
    let tenant = stack.tenant("misfit").await;
    let broker = stack.broker().await;
    eventually("the exchange is of another kind", SOON, async || {
        broker.replace_exchange(topology::EVENTS, ExchangeKind::Direct).await.then_some(())
    })
    .await;
    // The users of the other services may not declare it, so they cannot tell.
    for service in &stack.workers {
        assert_eq!(service.misses("queues").await, "queues or exchanges cannot be declared");
    }
    // Changes are still applied; their events wait in the outbox.
    let okta = tenant.okta();
    okta.create(&person("waiting@misfit.example", "Wai", "Ting")).await.is(201);
    let complaints = |log: String| log.matches(COMPLAINT).count();
    let is_calm = async || stack.workers.iter().all(|service| complaints(service.log()) == 1);
    assert!(holds_for(Duration::from_secs(3), is_calm).await, "it is logged repeatedly");
    for service in &stack.workers {
        let log = service.log();
        let line = log.lines().find(|line| line.contains(COMPLAINT)).unwrap_or_default();
        assert!(
            line.contains("delete it at the broker"),
            "{} does not say what to do: {line}",
            service.name()
        );
    }
    broker.delete_exchange(topology::EVENTS).await;
    for service in stack.services() {
        service.whole().await;
    }
    check::wait_until_idle(&stack).await;
    eventually("the event has arrived", SOON, async || {
        (stack.db().count("select 1 from notifications where kind = 'welcome'").await == 1).then_some(())
    })
    .await;
}
