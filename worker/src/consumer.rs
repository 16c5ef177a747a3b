//! The loop around a batch: take what is ready, decide, commit, reply, acknowledge. Before: the queue. After:
//! [`crate::relay`].

use std::sync::Arc;
use std::time::Instant;

use lapin::message::Delivery;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use shared::amqp::dead::{self, Attempt};
use shared::amqp::{self, Batch, Handle, Link, Message, Publisher, Subscription, Unfinished};
use shared::outcome::Outcome;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{Applier, Stopped};
use crate::fold::Decision;
use crate::inbox::{self, Incoming};
use crate::{sabotage, suspects};

/// Takes batches from one queue of commands and gives each command its verdict.
pub struct Consumer {
    /// The queue.
    pub queue: &'static str,
    /// To the broker.
    pub link: Link,
    /// For dead letters.
    pub publisher: Publisher,
    /// For everything else.
    pub applier: Applier,
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

    fn letter(&self, delivery: &Delivery, attempts: &[Attempt]) -> Message {
        let reason = attempts.last().map_or("", |last| last.what.as_str());
        let letter = dead::letter(delivery, self.queue, attempts);
        warn!(
            message.id = letter.shown_id(),
            reason,
            queue = self.queue,
            "a message goes to the dead-letter queue"
        );
        letter
    }

    /// Applies a batch and replies; what is dead in it is left in `sorted`.
    async fn apply(&self, channel: &Channel, sorted: &mut Sorted<'_>) -> Result<(), Unfinished> {
        if sorted.commands.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = sorted.commands.iter().map(|incoming| &incoming.command).collect();
        #[cfg(feature = "sabotage")]
        if sabotage::replies_before_commit() {
            for (incoming, verdict) in sorted.commands.iter().zip(self.applier.foretell(&asked).await) {
                if let Ok(decision) = verdict {
                    answer(channel, incoming, &decision).await?;
                }
            }
            sabotage::linger().await;
        }
        let verdicts = self.applier.apply(&asked).await.map_err(|Stopped| Unfinished::Stopped)?;
        self.bell.notify_one();
        self.applier
            .progress
            .decided(verdicts.iter().filter(|v| v.is_ok()).count(), self.applier.clock.now());
        for (incoming, verdict) in sorted.commands.iter().zip(verdicts) {
            match verdict {
                Ok(decision) => answer(channel, incoming, &decision).await?,
                Err(attempts) => sorted.dead.push(self.letter(incoming.delivery, &attempts)),
            }
        }
        Ok(())
    }

    /// Applies one that workers may have died of, when nothing else is in hand that is not applied. Says whether it is dead.
    async fn apply_suspect(
        &self,
        channel: &Channel,
        incoming: &Incoming<'_>,
        dead: &mut Vec<Message>,
    ) -> Result<bool, Unfinished> {
        let deliveries = inbox::earlier_deliveries(incoming.delivery);
        let verdict = self.applier.apply_suspect(&incoming.command, deliveries).await;
        self.bell.notify_one();
        match verdict.map_err(|Stopped| Unfinished::Stopped)? {
            Ok(decision) => {
                self.applier.progress.decided(1, self.applier.clock.now());
                answer(channel, incoming, &decision).await?;
                Ok(false)
            }
            Err(attempts) => {
                dead.push(self.letter(incoming.delivery, &attempts));
                Ok(true)
            }
        }
    }
}

/// A batch by what is to be done with it.
#[derive(Default)]
struct Sorted<'a> {
    commands: Vec<Incoming<'a>>,
    /// Those that may be what workers died of.
    suspects: Vec<Incoming<'a>>,
    dead: Vec<Message>,
}

impl Consumer {
    fn sort<'a>(&self, batch: &'a Batch) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        for delivery in batch {
            match inbox::read(delivery) {
                Ok(incoming) if inbox::earlier_deliveries(delivery) >= suspects::SUSPICIOUS => {
                    sorted.suspects.push(incoming);
                }
                Ok(incoming) => sorted.commands.push(incoming),
                Err(reason) => {
                    sorted.dead.push(self.letter(delivery, &[self.applier.attempt_now(reason)]));
                }
            }
        }
        sorted
    }

    /// Commit, reply, acknowledge, in this order.
    async fn deal(
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
        let mut convicted = Vec::new();
        for incoming in &sorted.suspects {
            if self.apply_suspect(channel, incoming, &mut sorted.dead).await? {
                convicted.push(incoming.command.ticket);
            }
        }
        if !sorted.dead.is_empty() {
            self.publisher.publish(&sorted.dead).await?;
        }
        // Not before their letters are confirmed: or they would be tried again.
        for ticket in convicted {
            self.applier.unmark(ticket).await;
        }
        if sabotage::ignores_inbox() {
            sabotage::linger().await;
        }
        if !sabotage::acks_before_commit() {
            subscription.ack(batch).await?;
        }
        Ok(())
    }
}

impl Handle for Consumer {
    async fn handle(&self, subscription: &Subscription, batch: &Batch) -> Result<(), Unfinished> {
        let started = Instant::now();
        let mut sorted = self.sort(batch);
        let oldest = sorted.commands.iter().chain(&sorted.suspects).map(|i| i.command.issued_at).min();
        self.applier.progress.begin(batch.len(), oldest, self.applier.clock.now());
        let done = self.deal(subscription, batch, &mut sorted).await;
        let (dead, suspects) = (sorted.dead.len(), sorted.suspects.len());
        self.applier.progress.end(dead, self.applier.clock.now());
        done?;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(queue = self.queue, batch = batch.len(), suspects, dead, duration_ms, "batch applied");
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
