//! Taking messages from a queue: whatever is ready, up to a limit; acknowledged together. And the loop around it, which
//! subscribes again after a break.

use std::sync::Arc;
use std::time::Duration;

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
use crate::retry::Delays;
use crate::shutdown;

/// Messages taken together. They stay the broker's until [`Subscription::ack`].
pub type Batch = Vec<Delivery>;

/// Why a batch was not acknowledged: the broker delivers it again.
#[derive(Debug)]
pub enum Unfinished {
    /// The service stops.
    Stopped,
    /// The broker failed.
    Broken(Error),
}

impl From<Error> for Unfinished {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// What a service does with its messages.
pub trait Handle: Sync {
    /// Deals with a batch and acknowledges it.
    fn handle(
        &self,
        subscription: &Subscription,
        batch: &Batch,
    ) -> impl Future<Output = Result<(), Unfinished>> + Send;
}

/// Takes batches of at most `limit` messages until `stop`; after a break it subscribes again.
pub async fn consume(
    mut link: Link,
    queue: &str,
    limit: u16,
    stop: &CancellationToken,
    handler: &impl Handle,
) {
    // Enough to have the next batch at hand while this one is dealt with.
    let prefetch = limit.saturating_mul(2);
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
                info!(queue, prefetch, "taking messages");
                let unfinished = take(&mut subscription, limit.into(), stop, handler, &mut delays).await;
                subscription.close().await;
                unfinished
            }
        };
        match unfinished {
            Unfinished::Stopped => return,
            Unfinished::Broken(error) => {
                warn!(%error, queue, "the subscription broke, subscribing again");
                // That is what happens when the queue is deleted.
                link.declare_again();
            }
        }
        if !shutdown::pause(stop, delays.next_delay()).await {
            return;
        }
    }
}

async fn take(
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
            Ok(batch) => handler.handle(subscription, &batch).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => delays.reset(),
            Err(unfinished) => return unfinished,
        }
    }
}

/// How often it is looked whether the connection is still there.
const WATCH: Duration = Duration::from_millis(200);

/// How often a consumer that gets nothing looks whether it still is one.
const LOOK: Duration = Duration::from_secs(3);
/// So many looks in a row must say that it is not: the broker may be too busy to tell the truth.
const LOOKS: u32 = 2;

/// How long the end of a subscription may take. A broker that blocks publishers may not read from this connection at all; it takes
/// the messages back when the channel is dropped.
const CLOSE: Duration = Duration::from_secs(5);

/// Returns when a consumer of this queue that gets nothing has been lost, and why. The broker says so when it cancels one; but
/// where a queue is deleted and declared again within milliseconds it may not, and the new queue is consumed by nobody.
async fn lost(connection: &Connection, queue: &str) -> Error {
    let mut missed = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        // A broker that blocks publishers may not read from this connection at all.
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
        // Where one consumer at a time gets messages, those that wait may be for another one.
        let is_passed_over = state.message_count() > 0 && !topology::has_single_consumer(queue);
        missed = if state.consumer_count() == 0 || is_passed_over { missed + 1 } else { 0 };
        if missed == LOOKS {
            return Error::Unavailable("the queue does not know this consumer any more".to_owned());
        }
    }
}

/// Waits for the broker, but not on a connection that is no more: lapin may leave a call pending that was under way when
/// the connection broke.
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

/// A consumer on a channel of its own.
pub struct Subscription {
    queue: String,
    connection: Arc<Connection>,
    channel: Channel,
    consumer: Consumer,
}

impl Subscription {
    /// Waits for the link and starts to consume; `None` when the link has been stopped.
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

    /// Waits for a message, then takes what is ready beside it, at most `limit`. Safe to cancel.
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
                // A break is seen by the next call, or by the acknowledgement.
                _ => break,
            }
        }
        Ok(batch)
    }

    /// Acknowledges a batch and all before it.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the broker will deliver the batch again.
    pub async fn ack(&self, batch: &Batch) -> Result<(), Error> {
        let Some(last) = batch.last() else { return Ok(()) };
        // On a dead channel the answer is `false`, not an error.
        let ack = async { Ok(last.ack(BasicAckOptions { multiple: true }).await?) };
        if while_connected(&self.connection, ack).await? {
            Ok(())
        } else {
            Err(Error::Unavailable("the channel broke before the acknowledgement".to_owned()))
        }
    }

    /// The channel of this subscription, on the same connection as its messages.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Stops consuming and gives back what was not acknowledged.
    pub async fn close(self) {
        let close = async {
            let _ = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
            Ok(self.channel.close(200, "done".into()).await?)
        };
        // On a broken channel both fail, and the broker has taken the messages back already.
        let _ = tokio::time::timeout(CLOSE, while_connected(&self.connection, close)).await;
    }
}
