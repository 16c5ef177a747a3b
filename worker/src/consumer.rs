//! The loop around a batch: take what is ready, decide, commit, reply, acknowledge. Before: the queue. After:
//! [`crate::relay`].

use std::sync::Arc;
use std::time::Instant;

use lapin::message::Delivery;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use shared::amqp::{self, Batch, Handle, Link, Message, Publisher, Subscription, Unfinished, dead};
use shared::clock::Clock;
use shared::outcome::Outcome;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{Applier, Stopped};
use crate::fold::Decision;
use crate::inbox::{self, Incoming};

/// Takes batches from one queue of commands and gives each command its verdict.
pub struct Consumer {
    /// The queue.
    pub queue: &'static str,
    /// To the broker.
    pub link: Link,
    /// For dead letters.
    pub publisher: Publisher,
    /// For everything else.
    pub applier: Arc<Applier>,
    /// Dates dead letters.
    pub clock: Clock,
    /// Rings when there may be events to relay.
    pub bell: Arc<Notify>,
    /// The most commands in one transaction: what nobody waits for is taken a few at a time, so that it never holds the
    /// rows for long that somebody waits for.
    pub limit: u16,
    /// Stops it.
    pub stop: CancellationToken,
}

impl Consumer {
    /// Consumes until it is stopped.
    pub async fn run(self) {
        amqp::consume(self.link.clone(), self.queue, self.limit, &self.stop, &self).await;
    }

    fn letter(&self, delivery: &Delivery, reason: &str) -> Message {
        warn!(reason, queue = self.queue, "a message goes to the dead-letter queue");
        dead::letter(delivery, self.queue, reason, self.clock.now())
    }
}

impl Handle for Consumer {
    async fn handle(&self, subscription: &Subscription, batch: &Batch) -> Result<(), Unfinished> {
        let started = Instant::now();
        let (mut commands, mut dead) = (Vec::with_capacity(batch.len()), Vec::new());
        for delivery in batch {
            match inbox::read(delivery) {
                Ok(incoming) => commands.push(incoming),
                Err(reason) => dead.push(self.letter(delivery, &reason)),
            }
        }
        let asked: Vec<_> = commands.iter().map(|incoming| &incoming.command).collect();
        let verdicts = self.applier.apply(&asked).await.map_err(|Stopped| Unfinished::Stopped)?;
        self.bell.notify_one();
        for (incoming, verdict) in commands.iter().zip(verdicts) {
            match verdict {
                Ok(decision) => answer(subscription.channel(), incoming, &decision).await?,
                Err(reason) => dead.push(self.letter(incoming.delivery, &reason)),
            }
        }
        if !dead.is_empty() {
            self.publisher.publish(&dead).await?;
        }
        subscription.ack(batch).await?;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(queue = self.queue, batch = batch.len(), dead = dead.len(), duration_ms, "batch applied");
        Ok(())
    }
}

/// Replies to whoever waits. At most once: who misses it reads the verdict from `commands`.
async fn answer(channel: &Channel, incoming: &Incoming<'_>, decision: &Decision) -> Result<(), amqp::Error> {
    let command = &incoming.command;
    info!(
        command = %command.ticket,
        request.id = %command.request,
        change = command.change.name(),
        resource.id = %command.resource,
        verdict = decision.outcome().name(),
        status = decision.outcome().status(),
        heard = !matches!(decision, Decision::Unheard(_)),
        "command decided"
    );
    let Some(reply_to) = incoming.delivery.properties.reply_to() else { return Ok(()) };
    let (Decision::Reply(outcome) | Decision::Repeated(outcome)) = decision else { return Ok(()) };
    let properties = BasicProperties::default().with_content_type("application/json".into());
    let properties = match incoming.delivery.properties.correlation_id() {
        Some(id) => properties.with_correlation_id(id.clone()),
        None => properties,
    };
    let body = encode(outcome);
    channel
        .basic_publish("".into(), reply_to.clone(), BasicPublishOptions::default(), &body, properties)
        .await?;
    Ok(())
}

fn encode(outcome: &Outcome) -> Vec<u8> {
    serde_json::to_vec(outcome).expect("a verdict is made of strings, numbers and JSON")
}
