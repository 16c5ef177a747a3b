//! The consumer of a command queue. Per batch: read, decide, commit, reply, acknowledge. [`crate::relay`] then
//! publishes the events.

use std::sync::Arc;
use std::time::Instant;

use amqp::dead::{self, Attempt};
use amqp::{self, Batch, Handle, Link, Message, Publisher, Subscription, Unfinished};
use domain::outcome::Outcome;
use lapin::message::Delivery;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{Applier, Stopped};
use crate::decode::{self, Incoming};
use crate::fold::Decision;
use crate::{quarantine, sabotage};

/// Consumes batches from one command queue and gives each command its verdict.
pub struct Consumer {
    /// The queue.
    pub queue: &'static str,
    /// The connection to the broker.
    pub link: Link,
    /// Publishes dead letters.
    pub publisher: Publisher,
    /// Applies the commands.
    pub applier: Applier,
    /// Wakes the relay when there may be new events.
    pub wake_relay: Arc<Notify>,
    /// The maximum number of commands in one transaction. It is small for commands that no client waits for, so that
    /// they do not hold locks for long on rows that an interactive request needs.
    pub limit: u16,
    /// Stops the consumer.
    pub stop: CancellationToken,
}

impl Consumer {
    /// Consumes until `stop`.
    pub async fn run(self) {
        amqp::consume(self.link.clone(), self.queue, self.limit, &self.stop, &self).await;
    }

    fn letter(&self, delivery: &Delivery, attempts: &[Attempt]) -> Message {
        let reason = attempts.last().map_or("", |last| last.what.as_str());
        let letter = dead::letter(delivery, self.queue, attempts);
        warn!(
            message.id = letter.shown_id(),
            reason,
            queue = self.queue,
            "sent a message to the dead-letter queue"
        );
        letter
    }

    /// Applies a batch and replies. Dead letters are added to `sorted`.
    async fn apply(&self, channel: &Channel, sorted: &mut Sorted<'_>) -> Result<(), Unfinished> {
        if sorted.commands.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = sorted.commands.iter().map(|incoming| &incoming.command).collect();
        #[cfg(feature = "sabotage")]
        if sabotage::replies_before_commit() {
            for (incoming, verdict) in sorted.commands.iter().zip(self.applier.foretell(&asked).await) {
                if let Ok(decision) = verdict {
                    reply(channel, incoming, &decision).await?;
                }
            }
            sabotage::linger().await;
        }
        let verdicts = self.applier.apply(&asked).await.map_err(|Stopped| Unfinished::Stopped)?;
        self.wake_relay.notify_one();
        self.applier
            .progress
            .decided(verdicts.iter().filter(|v| v.is_ok()).count(), self.applier.clock.now());
        for (incoming, verdict) in sorted.commands.iter().zip(verdicts) {
            match verdict {
                Ok(decision) => reply(channel, incoming, &decision).await?,
                Err(attempts) => sorted.dead.push(self.letter(incoming.delivery, &attempts)),
            }
        }
        Ok(())
    }

    /// Applies a possible poison message while no other command is in progress. Returns whether it is dead-lettered.
    async fn apply_in_isolation(
        &self,
        channel: &Channel,
        incoming: &Incoming<'_>,
        dead: &mut Vec<Message>,
    ) -> Result<bool, Unfinished> {
        let deliveries = decode::earlier_deliveries(incoming.delivery);
        let verdict = self.applier.apply_in_isolation(&incoming.command, deliveries).await;
        self.wake_relay.notify_one();
        match verdict.map_err(|Stopped| Unfinished::Stopped)? {
            Ok(decision) => {
                self.applier.progress.decided(1, self.applier.clock.now());
                reply(channel, incoming, &decision).await?;
                Ok(false)
            }
            Err(attempts) => {
                dead.push(self.letter(incoming.delivery, &attempts));
                Ok(true)
            }
        }
    }

    fn sort<'a>(&self, batch: &'a Batch) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        for delivery in batch {
            match decode::read(delivery) {
                Ok(incoming) if decode::earlier_deliveries(delivery) >= quarantine::MIN_DELIVERIES => {
                    sorted.quarantined.push(incoming);
                }
                Ok(incoming) => sorted.commands.push(incoming),
                Err(reason) => {
                    sorted.dead.push(self.letter(delivery, &[self.applier.attempt_now(reason)]));
                }
            }
        }
        sorted
    }

    /// Commits, replies and acknowledges, in this order.
    async fn process_batch(
        &self,
        subscription: &Subscription,
        batch: &Batch,
        sorted: &mut Sorted<'_>,
    ) -> Result<(), Unfinished> {
        if sabotage::acks_before_commit() {
            subscription.ack(batch).await?;
            sabotage::linger().await;
        }
        let channel = subscription.channel();
        self.apply(channel, sorted).await?;
        let mut poison = Vec::new();
        for incoming in &sorted.quarantined {
            if self.apply_in_isolation(channel, incoming, &mut sorted.dead).await? {
                poison.push(incoming.command.ticket);
            }
        }
        if !sorted.dead.is_empty() {
            self.publisher.publish(&sorted.dead).await?;
        }
        // Only after the dead letters are confirmed; otherwise a redelivery would be attempted again.
        for ticket in poison {
            self.applier.leave_quarantine(ticket).await;
        }
        if sabotage::ignores_stored_verdicts() {
            sabotage::linger().await;
        }
        if !sabotage::acks_before_commit() {
            subscription.ack(batch).await?;
        }
        Ok(())
    }
}

/// A batch, sorted by treatment.
#[derive(Default)]
struct Sorted<'a> {
    commands: Vec<Incoming<'a>>,
    /// Possible poison messages, which are applied in isolation.
    quarantined: Vec<Incoming<'a>>,
    dead: Vec<Message>,
}

impl Handle for Consumer {
    async fn handle(&self, subscription: &Subscription, batch: &Batch) -> Result<(), Unfinished> {
        let started = Instant::now();
        let mut sorted = self.sort(batch);
        let oldest = sorted.commands.iter().chain(&sorted.quarantined).map(|i| i.command.issued_at).min();
        self.applier.progress.begin(batch.len(), oldest, self.applier.clock.now());
        let done = self.process_batch(subscription, batch, &mut sorted).await;
        let (dead, quarantined) = (sorted.dead.len(), sorted.quarantined.len());
        self.applier.progress.end(dead, self.applier.clock.now());
        done?;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(queue = self.queue, batch = batch.len(), quarantined, dead, duration_ms, "batch applied");
        Ok(())
    }
}

/// Replies to the client, at most once. If the reply is lost, ingest reads the verdict from `commands`.
async fn reply(channel: &Channel, incoming: &Incoming<'_>, decision: &Decision) -> Result<(), amqp::Error> {
    let command = &incoming.command;
    info!(
        command = %command.ticket,
        request.id = %command.request,
        change = command.change.name(),
        resource.id = %command.resource,
        verdict = decision.outcome().name(),
        status = decision.outcome().status(),
        is_delivered = !matches!(decision, Decision::Undelivered(_)),
        "command decided"
    );
    let Some(reply_to) = incoming.delivery.properties.reply_to() else { return Ok(()) };
    let (Decision::Reply(outcome) | Decision::Redelivered(outcome)) = decision else { return Ok(()) };
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
