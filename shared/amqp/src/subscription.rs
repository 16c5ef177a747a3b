//! Consumes a queue in batches: takes the messages that are ready, up to a limit, and acknowledges them together.
//! [`consume`] subscribes again after a break.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Error, Link, topology};
use platform::retry::Delays;
use platform::shutdown;

/// Messages taken together. They stay unacknowledged until [`Subscription::ack`].
pub type Batch = Vec<Delivery>;

/// Why a batch was not acknowledged. The broker redelivers it.
#[derive(Debug)]
pub enum Unfinished {
    /// The service is stopping.
    Stopped,
    /// The broker failed.
    Broken(Error),
}

impl From<Error> for Unfinished {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// How a service processes its messages.
pub trait Handle: Sync {
    /// How many full batches the broker may deliver before they are acknowledged: one that is processed, the next one,
    /// and those that the service sets aside.
    const BATCHES: u16 = 2;

    /// Processes a batch. Acknowledges its messages, or sets them aside and acknowledges them later, through
    /// [`Subscription::acknowledger`].
    fn handle(
        &self,
        subscription: &Subscription,
        batch: Batch,
    ) -> impl Future<Output = Result<(), Unfinished>> + Send;

    /// Ends the work on messages that were set aside, before the subscription closes. After a break the broker has
    /// returned them already.
    fn finish(&self, _unfinished: &Unfinished) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Takes batches of at most `limit` messages until `stop`. Subscribes again after a break.
pub async fn consume<H: Handle>(
    mut link: Link,
    queue: &str,
    limit: u16,
    stop: &CancellationToken,
    handler: &H,
) {
    // Prefetches the next batch while the current one is processed.
    let prefetch = limit.saturating_mul(H::BATCHES);
    let mut delays = Delays::reconnect();
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = Subscription::open(&mut link, queue, prefetch) => opened,
        };
        let unfinished = match opened {
            None => return,
            Some(Err(error)) => Unfinished::Broken(error),
            Some(Ok(mut subscription)) => {
                info!(queue, prefetch, "subscribed");
                let unfinished =
                    handle_batches(&mut subscription, limit.into(), stop, handler, &mut delays).await;
                handler.finish(&unfinished).await;
                subscription.close().await;
                unfinished
            }
        };
        match unfinished {
            Unfinished::Stopped => return,
            Unfinished::Broken(error) => {
                warn!(%error, queue, "the subscription broke, subscribing again");
                // The queue may have been deleted.
                link.declare_again();
            }
        }
        if !shutdown::pause(stop, delays.next_delay()).await {
            return;
        }
    }
}

async fn handle_batches(
    subscription: &mut Subscription,
    limit: usize,
    stop: &CancellationToken,
    handler: &impl Handle,
    delays: &mut Delays,
) -> Unfinished {
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => return Unfinished::Stopped,
            batch = subscription.next(limit) => batch,
        };
        let done = match batch {
            Ok(batch) => handler.handle(subscription, batch).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => delays.reset(),
            Err(unfinished) => return unfinished,
        }
    }
}

/// How often the connection's state is checked.
const WATCH: Duration = Duration::from_millis(200);

/// How often a consumer that receives nothing checks that it still exists.
const LOOK: Duration = Duration::from_secs(3);
/// How many checks in a row must fail: a busy broker may report outdated counts.
const LOOKS: u32 = 2;

/// Limit on closing a subscription. A broker that blocks publishers may stop reading from this connection; it requeues
/// the messages when the channel is dropped.
const CLOSE: Duration = Duration::from_secs(5);

/// Returns, with the reason, when an idle consumer of this queue has been lost. The broker normally reports when it
/// cancels a consumer. If a queue is deleted and declared again within milliseconds, it may not do so, and the new
/// queue has no consumer.
async fn lost(connection: &Connection, queue: &str) -> Error {
    let mut missed = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        // A broker that blocks publishers may stop reading from this connection.
        if connection.status().blocked() {
            continue;
        }
        let look = async {
            let channel = connection.create_channel().await?;
            let passive = QueueDeclareOptions::durable().passive();
            let state = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
            channel.close(200, "looked".into()).await?;
            Ok(state)
        };
        let state = match while_connected(connection, look).await {
            Ok(state) => state,
            Err(error) => return error,
        };
        // With a single active consumer, the waiting messages may be for another consumer.
        let is_passed_over = state.message_count() > 0 && !topology::has_single_consumer(queue);
        missed = if state.consumer_count() == 0 || is_passed_over { missed + 1 } else { 0 };
        if missed == LOOKS {
            return Error::Unavailable("the queue no longer has this consumer".to_owned());
        }
    }
}

/// Waits for the broker as long as the connection is up. lapin may never finish a call that was pending when the
/// connection broke.
async fn while_connected<T>(
    connection: &Connection,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let gone = async {
        while connection.status().connected() {
            tokio::time::sleep(WATCH).await;
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        () = gone => Err(Error::Unavailable("the connection broke".to_owned())),
    }
}

/// Acknowledges a message, or all up to it. On a closed channel lapin's result is `false`, not an error.
async fn acknowledged(connection: &Connection, delivery: &Delivery, multiple: bool) -> Result<(), Error> {
    let ack = async { Ok(delivery.ack(BasicAckOptions { multiple }).await?) };
    if while_connected(connection, ack).await? {
        Ok(())
    } else {
        Err(Error::Unavailable("the channel broke before the acknowledgement".to_owned()))
    }
}

/// Acknowledges single messages of a subscription.
#[derive(Clone)]
pub struct Acknowledger {
    connection: Arc<Connection>,
}

impl Acknowledger {
    /// Acknowledges these messages, and no others.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the broker redelivers those that are not acknowledged.
    pub async fn ack(&self, deliveries: &[&Delivery]) -> Result<(), Error> {
        let mut acks = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            acks.push(acknowledged(&self.connection, delivery, false));
        }
        join_all(acks).await.into_iter().collect()
    }
}

/// A consumer on its own channel.
pub struct Subscription {
    queue: String,
    connection: Arc<Connection>,
    channel: Channel,
    consumer: Consumer,
}

impl Subscription {
    /// Waits for the link and starts consuming; `None` when the link has stopped.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn open(link: &mut Link, queue: &str, prefetch: u16) -> Option<Result<Self, Error>> {
        let connection = link.up().await?;
        let open = async {
            let channel = connection.create_channel().await?;
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            let consumer =
                channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
            Ok((channel, consumer))
        };
        let opened = while_connected(&connection, open).await;
        Some(opened.map(|(channel, consumer)| Self {
            queue: queue.to_owned(),
            connection,
            channel,
            consumer,
        }))
    }

    /// Waits for a message, then takes the others that are ready, at most `limit` in total. Safe to cancel.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the subscription has ended: open another.
    pub async fn next(&mut self, limit: usize) -> Result<Batch, Error> {
        let ended = || Error::Unavailable("the subscription ended".to_owned());
        let consumer = &mut self.consumer;
        let lost = lost(&self.connection, &self.queue);
        let first = async {
            tokio::select! {
                biased;
                first = consumer.next() => Ok(first.ok_or_else(ended)??),
                error = lost => Err(error),
            }
        };
        let mut batch = vec![while_connected(&self.connection, first).await?];
        while batch.len() < limit {
            match self.consumer.next().now_or_never() {
                Some(Some(Ok(delivery))) => batch.push(delivery),
                // The next call or the acknowledgement reports a break.
                _ => break,
            }
        }
        Ok(batch)
    }

    /// Acknowledges a batch and everything delivered before it.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the broker redelivers the batch.
    pub async fn ack(&self, batch: &Batch) -> Result<(), Error> {
        match batch.last() {
            Some(last) => self.ack_up_to(last).await,
            None => Ok(()),
        }
    }

    /// Acknowledges a message and everything delivered before it.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the broker redelivers them.
    pub async fn ack_up_to(&self, last: &Delivery) -> Result<(), Error> {
        acknowledged(&self.connection, last, true).await
    }

    /// Acknowledges single messages of this subscription, also from other tasks.
    #[must_use]
    pub fn acknowledger(&self) -> Acknowledger {
        Acknowledger { connection: Arc::clone(&self.connection) }
    }

    /// The channel of this subscription, on the same connection as its messages.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Stops consuming and returns unacknowledged messages to the queue.
    pub async fn close(self) {
        let close = async {
            let _ = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
            Ok(self.channel.close(200, "done".into()).await?)
        };
        // On a broken channel both calls fail, and the broker has already requeued the messages.
        let _ = tokio::time::timeout(CLOSE, while_connected(&self.connection, close)).await;
    }
}
