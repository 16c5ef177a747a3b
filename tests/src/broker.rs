//! The queues, from outside: their lengths, publishing to them, and a witness queue that receives all events.

use amqp::topology;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;

/// A connection of the test.
pub struct Broker(Connection);

impl Broker {
    /// Connects.
    ///
    /// # Panics
    /// If the broker is unavailable.
    pub async fn connect(url: &str) -> Self {
        Self(Connection::connect(url, ConnectionProperties::default()).await.unwrap())
    }

    async fn channel(&self) -> Channel {
        self.0.create_channel().await.unwrap()
    }

    /// The number of ready messages in a queue; unacknowledged ones do not count.
    ///
    /// # Panics
    /// If the queue does not exist.
    pub async fn ready(&self, queue: &str) -> u32 {
        let channel = self.channel().await;
        let passive = QueueDeclareOptions::durable().passive();
        let state = channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap();
        channel.close(200, "looked".into()).await.unwrap();
        state.message_count()
    }

    /// Publishes a persistent message to an exchange and waits for the confirm.
    ///
    /// # Panics
    /// If the broker does not confirm.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        self.send(exchange, key, body, json()).await;
    }

    /// Publishes a message to a queue where it expires at once, so that the broker itself dead-letters it.
    ///
    /// # Panics
    /// If the broker does not confirm.
    pub async fn expire(&self, queue: &str, body: &[u8]) {
        self.send("", queue, body, json().with_expiration("1".into())).await;
    }

    async fn send(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = BasicPublishOptions::default();
        let confirm =
            channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap();
        assert!(confirm.await.unwrap().is_ack());
        channel.close(200, "published".into()).await.unwrap();
    }

    /// Publishes a message to the command queue.
    pub async fn command(&self, body: &[u8]) {
        self.publish("", topology::COMMANDS, body).await;
    }

    /// Publishes an event as another service does.
    ///
    /// # Panics
    /// If the event has no type.
    pub async fn event(&self, event: &Value) {
        self.publish(topology::EVENTS, event["type"].as_str().unwrap(), event.to_string().as_bytes()).await;
    }

    /// The messages of a queue, which stay in it.
    ///
    /// # Panics
    /// If the broker is unavailable.
    pub async fn peek(&self, queue: &str) -> Vec<Delivery> {
        let channel = self.channel().await;
        let mut messages = Vec::new();
        while let Some(message) = get(&channel, queue).await {
            messages.push(message.delivery);
        }
        // Closing the channel without acknowledgements requeues all messages.
        channel.close(200, "looked".into()).await.unwrap();
        messages
    }

    /// Deletes a queue with its messages and bindings.
    ///
    /// # Panics
    /// If the broker is unavailable.
    pub async fn delete_queue(&self, queue: &str) {
        let channel = self.channel().await;
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        channel.close(200, "deleted".into()).await.unwrap();
    }

    /// Deletes an exchange with its bindings.
    ///
    /// # Panics
    /// If the broker is unavailable.
    pub async fn delete_exchange(&self, exchange: &str) {
        let channel = self.channel().await;
        channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
        channel.close(200, "deleted".into()).await.unwrap();
    }

    /// Removes a binding to the event exchange.
    ///
    /// # Panics
    /// If the broker is unavailable.
    pub async fn unbind(&self, queue: &str, key: &str) {
        let channel = self.channel().await;
        let exchange = topology::EVENTS.into();
        channel.queue_unbind(queue.into(), exchange, key.into(), FieldTable::default()).await.unwrap();
        channel.close(200, "unbound".into()).await.unwrap();
    }

    /// Replaces an exchange by a durable one of another kind. Returns whether that succeeded before a service
    /// redeclared it.
    ///
    /// # Panics
    /// If the broker is unavailable.
    pub async fn replace_exchange(&self, exchange: &str, kind: ExchangeKind) -> bool {
        self.delete_exchange(exchange).await;
        let channel = self.channel().await;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await.is_ok()
    }

    /// The number of consumers of a queue, if the queue exists.
    pub async fn consumers(&self, queue: &str) -> Option<u32> {
        let channel = self.channel().await;
        let passive = QueueDeclareOptions::durable().passive();
        let state = channel.queue_declare(queue.into(), passive, FieldTable::default()).await.ok()?;
        Some(state.consumer_count())
    }

    /// Whether a durable queue has exactly these arguments. (Creates the queue if it does not exist.)
    pub async fn has_arguments(&self, queue: &str, arguments: &[(&str, AMQPValue)]) -> bool {
        let channel = self.channel().await;
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), table).await.is_ok()
    }

    /// Starts to record all events.
    ///
    /// # Panics
    /// If the broker is unavailable.
    pub async fn witness(&self) -> Witness {
        let queue = format!("witness-{}", platform::id::new());
        let channel = self.channel().await;
        channel
            .queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default())
            .await
            .unwrap();
        let (name, exchange) = (queue.as_str().into(), topology::EVENTS.into());
        channel
            .queue_bind(name, exchange, "#".into(), QueueBindOptions::default(), FieldTable::default())
            .await
            .unwrap();
        channel.close(200, "bound".into()).await.unwrap();
        Witness { queue }
    }
}

/// A queue that receives every event and survives a restart of the broker.
pub struct Witness {
    queue: String,
}

impl Witness {
    /// All events since the last call, in order.
    ///
    /// # Panics
    /// If the broker is unavailable, or an event is not JSON.
    pub async fn events(&self, broker: &Broker) -> Vec<Value> {
        let channel = broker.channel().await;
        let mut events = Vec::new();
        let mut last = None;
        while let Some(message) = get(&channel, &self.queue).await {
            events.push(serde_json::from_slice(&message.delivery.data).expect("our events are JSON"));
            last = Some(message);
        }
        if let Some(last) = last {
            assert!(last.delivery.ack(BasicAckOptions { multiple: true }).await.unwrap());
        }
        channel.close(200, "read".into()).await.unwrap();
        events
    }
}

fn json() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into())
}

async fn get(channel: &Channel, queue: &str) -> Option<BasicGetMessage> {
    channel.basic_get(queue.into(), BasicGetOptions { no_ack: false }).await.unwrap()
}

/// A header of a message as text; empty if it is missing.
#[must_use]
pub fn header(message: &Delivery, name: &str) -> String {
    let headers = message.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(name)) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    }
}
