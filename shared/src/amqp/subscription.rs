//! Taking messages from a queue: whatever is ready, up to a limit; acknowledged together.

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};

use super::{Error, Link};

/// Messages taken together. They stay the broker's until [`Subscription::ack`].
pub type Batch = Vec<Delivery>;

/// A consumer on a channel of its own.
pub struct Subscription {
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
            Ok(Self { channel, consumer })
        };
        Some(open.await)
    }

    /// Waits for a message, then takes what is ready beside it, at most `limit`. Safe to cancel.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the subscription has ended: open another.
    pub async fn next(&mut self, limit: usize) -> Result<Batch, Error> {
        let ended = || Error::Unavailable("the subscription ended".to_owned());
        let mut batch = vec![self.consumer.next().await.ok_or_else(ended)??];
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
        if last.ack(BasicAckOptions { multiple: true }).await? {
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
        // On a broken channel both fail, and the broker has taken the messages back already.
        let _ = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
        let _ = self.channel.close(200, "done".into()).await;
    }
}
