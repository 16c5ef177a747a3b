//! Completes commands that have a verdict: replies to their clients, publishes dead letters, acknowledges the messages.

use std::sync::Arc;

use amqp::dead::{self, Attempt};
use amqp::{self, Acknowledger, Message, Publisher, Subscription};
use domain::outcome::Outcome;
use lapin::message::Delivery;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::apply::{Applier, Decided};
use crate::decode::Incoming;
use crate::fold::Decision;
use crate::sabotage;

/// What is needed to complete the commands of one queue.
pub struct Completer {
    /// The queue.
    pub queue: &'static str,
    /// Publishes dead letters.
    pub publisher: Publisher,
    /// Applies the commands.
    pub applier: Applier,
    /// Wakes the relay when there may be new events.
    pub wake_relay: Arc<Notify>,
}

/// The way back to the broker: for replies and acknowledgements.
#[derive(Clone)]
pub struct Line {
    channel: Channel,
    acknowledger: Acknowledger,
}

impl Line {
    /// Of this subscription.
    #[must_use]
    pub fn of(subscription: &Subscription) -> Self {
        Self { channel: subscription.channel().clone(), acknowledger: subscription.acknowledger() }
    }

    /// Acknowledges single messages.
    ///
    /// # Errors
    /// [`amqp::Error::Unavailable`].
    pub async fn ack(&self, deliveries: &[&Delivery]) -> Result<(), amqp::Error> {
        if sabotage::acks_before_commit() {
            return Ok(());
        }
        self.acknowledger.ack(deliveries).await
    }

    /// Replies to the client, at most once. If the reply is lost, ingest reads the verdict from `commands`.
    ///
    /// # Errors
    /// [`amqp::Error::Unavailable`].
    pub async fn reply(&self, incoming: &Incoming, decision: &Decision) -> Result<(), amqp::Error> {
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
        let (body, options) = (encode(outcome), BasicPublishOptions::default());
        self.channel.basic_publish("".into(), reply_to.clone(), options, &body, properties).await?;
        Ok(())
    }
}

impl Completer {
    /// Replies to commands whose verdicts are committed, in order. Returns the dead letters of the others.
    ///
    /// # Errors
    /// [`amqp::Error::Unavailable`].
    pub async fn reply(
        &self,
        line: &Line,
        decided: Vec<(&Incoming, Decided)>,
    ) -> Result<Vec<Message>, amqp::Error> {
        self.wake_relay.notify_one();
        let (mut count, mut dead) = (0, Vec::new());
        for (incoming, verdict) in decided {
            match verdict {
                Ok(decision) => {
                    count += 1;
                    line.reply(incoming, &decision).await?;
                }
                Err(attempts) => dead.push(self.letter(&incoming.delivery, &attempts)),
            }
        }
        self.applier.progress.decided(count, self.applier.clock.now());
        Ok(dead)
    }

    /// The dead letter of a message.
    #[must_use]
    pub fn letter(&self, delivery: &Delivery, attempts: &[Attempt]) -> Message {
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

    /// Publishes dead letters with confirms.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn bury(&self, letters: &[Message]) -> Result<(), amqp::Error> {
        if !letters.is_empty() {
            self.publisher.publish(letters).await?;
            self.applier.progress.dead(letters.len());
        }
        Ok(())
    }
}

fn encode(outcome: &Outcome) -> Vec<u8> {
    serde_json::to_vec(outcome).expect("a verdict is made of strings, numbers and JSON")
}
