//! The loop around a batch: take what is ready, decide, commit, reply, acknowledge. Before: the queue. After:
//! [`crate::relay`].

use std::sync::Arc;
use std::time::Instant;

use lapin::message::Delivery;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use shared::amqp::{self, Batch, Link, Message, Publisher, Subscription, dead, topology};
use shared::clock::Clock;
use shared::outcome::Outcome;
use shared::retry::Delays;
use shared::shutdown;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::apply::{Applier, Stopped};
use crate::fold::Decision;
use crate::inbox::{self, Incoming};

/// Takes batches from `rollcall.commands` and gives each command its verdict.
pub struct Consumer {
    /// To the broker.
    pub link: Link,
    /// For dead letters.
    pub publisher: Publisher,
    /// For everything else.
    pub applier: Applier,
    /// Dates dead letters.
    pub clock: Clock,
    /// Rings when there may be events to relay.
    pub bell: Arc<Notify>,
    /// The most commands in one transaction.
    pub limit: u16,
    /// Stops it.
    pub stop: CancellationToken,
}

/// Why a subscription ended.
enum End {
    Stopped,
    Broken(amqp::Error),
}

impl From<amqp::Error> for End {
    fn from(error: amqp::Error) -> Self {
        Self::Broken(error)
    }
}

impl Consumer {
    /// Consumes until it is stopped; after a break it subscribes again, and the broker delivers again what was not
    /// acknowledged.
    pub async fn run(mut self) {
        let mut delays = Delays::reconnect();
        loop {
            // Enough to have the next batch at hand while this one is applied.
            let prefetch = self.limit.saturating_mul(2);
            let opened = tokio::select! {
                () = self.stop.cancelled() => return,
                opened = Subscription::open(&mut self.link, topology::COMMANDS, prefetch) => opened,
            };
            let ended = match opened {
                None => return,
                Some(Err(error)) => End::Broken(error),
                Some(Ok(mut subscription)) => {
                    info!(queue = topology::COMMANDS, prefetch, "taking commands");
                    let ended = self.consume(&mut subscription, &mut delays).await;
                    subscription.close().await;
                    ended
                }
            };
            match ended {
                End::Stopped => return,
                End::Broken(error) => warn!(%error, "the subscription broke, subscribing again"),
            }
            if !shutdown::pause(&self.stop, delays.next_delay()).await {
                return;
            }
        }
    }

    async fn consume(&self, subscription: &mut Subscription, delays: &mut Delays) -> End {
        loop {
            let batch = tokio::select! {
                biased;
                () = self.stop.cancelled() => return End::Stopped,
                batch = subscription.next(self.limit.into()) => batch,
            };
            let done = match batch {
                Ok(batch) => self.handle(subscription, &batch).await,
                Err(error) => Err(error.into()),
            };
            if let Err(end) = done {
                return end;
            }
            delays.reset();
        }
    }

    async fn handle(&self, subscription: &Subscription, batch: &Batch) -> Result<(), End> {
        let started = Instant::now();
        let (mut commands, mut dead) = (Vec::with_capacity(batch.len()), Vec::new());
        for delivery in batch {
            match inbox::read(delivery) {
                Ok(incoming) => commands.push(incoming),
                Err(reason) => dead.push(self.letter(delivery, &reason)),
            }
        }
        let asked: Vec<_> = commands.iter().map(|incoming| &incoming.command).collect();
        let verdicts = self.applier.apply(&asked).await.map_err(|Stopped| End::Stopped)?;
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
        info!(batch = batch.len(), dead = dead.len(), duration_ms, "batch applied");
        Ok(())
    }

    fn letter(&self, delivery: &Delivery, reason: &str) -> Message {
        warn!(reason, "a message goes to the dead-letter queue");
        dead::letter(delivery, topology::COMMANDS, reason, self.clock.now())
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
        heard = matches!(decision, Decision::Reply(_)),
        "command decided"
    );
    let Some(reply_to) = incoming.delivery.properties.reply_to() else { return Ok(()) };
    let Decision::Reply(outcome) = decision else { return Ok(()) };
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
