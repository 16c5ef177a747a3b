//! Reliable publishing: the broker has confirmed every message and routed every mandatory one to a queue, or the call
//! returns an error.

use std::collections::HashSet;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Mutex;

use super::{Error, Link};
use platform::redact;

/// Limit on one call, including the wait for earlier calls.
const CONFIRM: Duration = Duration::from_secs(10);
/// AMQP's delivery mode for messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// A message to publish: persistent, and mandatory unless `mandatory` is cleared.
#[derive(Debug, Clone)]
pub struct Message {
    /// The exchange; empty for the default one.
    pub exchange: String,
    /// The routing key; for the default exchange the queue's name.
    pub routing_key: String,
    /// The properties; `message_id` must be set.
    pub properties: BasicProperties,
    /// The payload.
    pub body: Vec<u8>,
    /// Whether it is an error if no queue is bound for the message.
    pub mandatory: bool,
}

impl Message {
    /// Its `message_id`, redacted for logs.
    #[must_use]
    pub fn shown_id(&self) -> String {
        self.properties.message_id().as_ref().map(|id| redact::id(id.as_str())).unwrap_or_default()
    }

    /// A JSON message.
    #[must_use]
    pub fn json(exchange: &str, routing_key: &str, id: &str, content_type: &str, body: Vec<u8>) -> Self {
        let properties = BasicProperties::default()
            .with_message_id(id.into())
            .with_content_type(content_type.into())
            .with_delivery_mode(PERSISTENT);
        Self {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            properties,
            body,
            mandatory: true,
        }
    }

    /// Adds headers.
    #[must_use]
    pub fn with_headers(mut self, headers: &[(&str, String)]) -> Self {
        let mut table = self.properties.headers().clone().unwrap_or_default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
        }
        self.properties = self.properties.with_headers(table);
        self
    }

    fn id(&self) -> &str {
        self.properties.message_id().as_ref().map_or("", |id| id.as_str())
    }
}

/// Publishes over its own channel, one call at a time, so that a returned message always belongs to the current call.
pub struct Publisher {
    link: Link,
    channel: Mutex<Option<Channel>>,
    limit: Duration,
}

impl Publisher {
    /// A publisher over this link.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self { link, channel: Mutex::default(), limit: CONFIRM }
    }

    /// Publishes all messages, in order, within ten seconds. After an error some may have been published: publish all
    /// again.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Refused`] (a full queue), [`Error::Unroutable`] (a mandatory message).
    pub async fn publish(&self, messages: &[Message]) -> Result<(), Error> {
        // The limit also covers the wait for earlier calls, and a channel that never opens because the connection
        // breaks.
        let late = |_| Err(Error::Unavailable("it did not confirm in time".to_owned()));
        let published = tokio::time::timeout(self.limit, self.publish_in_turn(messages)).await;
        let published = published.unwrap_or_else(late);
        // A missing exchange or queue makes a message unroutable or closes the channel.
        if matches!(published, Err(Error::Unroutable(_) | Error::Unavailable(_))) {
            self.link.declare_again();
        }
        published
    }

    async fn publish_in_turn(&self, messages: &[Message]) -> Result<(), Error> {
        let mut slot = self.channel.lock().await;
        // Taken out: after an error or a cancelled call the channel may hold confirms of other messages.
        let usable = slot.take().filter(|channel| channel.status().connected());
        let channel = match usable {
            Some(channel) => channel,
            None => self.link.channel(true).await?,
        };
        // Checked again: the broker may have blocked publishers since the channel was opened.
        self.link.connection()?;
        publish_all(&channel, messages).await?;
        *slot = Some(channel);
        Ok(())
    }
}

async fn publish_all(channel: &Channel, messages: &[Message]) -> Result<(), Error> {
    let mut confirms = Vec::with_capacity(messages.len());
    for message in messages {
        let options = BasicPublishOptions { mandatory: message.mandatory, ..Default::default() };
        let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
        confirms.push(
            channel.basic_publish(exchange, key, options, &message.body, message.properties.clone()).await?,
        );
    }
    let (mut refused, mut returned) = (false, HashSet::new());
    for confirm in confirms {
        match confirm.await? {
            Confirmation::Ack(message) | Confirmation::Nack(message) if message.is_some() => {
                returned.extend(message.and_then(|m| m.delivery.properties.message_id().clone()));
            }
            Confirmation::Ack(_) => {}
            Confirmation::Nack(_) => refused = true,
            Confirmation::NotRequested => {
                return Err(Error::Unavailable("the channel is not in confirm mode".to_owned()));
            }
        }
    }
    if refused {
        return Err(Error::Refused);
    }
    match messages.iter().find(|message| returned.iter().any(|id| id.as_str() == message.id())) {
        Some(message) => Err(Error::Unroutable(message.routing_key.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_includes_the_wait_for_earlier_calls() {
        let publisher = Publisher { limit: Duration::from_millis(20), ..Publisher::new(Link::down()) };
        let _before = publisher.channel.lock().await;
        let waited = tokio::time::timeout(Duration::from_secs(20), publisher.publish(&[])).await;
        assert!(matches!(waited, Ok(Err(Error::Unavailable(_)))), "{waited:?}");
    }
}
