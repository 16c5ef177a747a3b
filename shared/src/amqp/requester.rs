//! Asking over a queue: publishes a request with confirms and waits for the reply by direct reply-to.
//!
//! Requests are pipelined over one channel. Direct reply-to is at-most-once: who loses a reply reads the outcome elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Consumer};
use tokio::sync::oneshot;

use super::{Error, Link, Message, topology};

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The reply.
    Reply(Vec<u8>),
    /// The request may be in the queue or not, or its reply is lost.
    Lost,
    /// The request is surely not in the queue.
    NotQueued(Error),
}

/// Whoever waits for a reply, by message id. Dropping a sender tells its waiter that the reply is lost.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Answer>>>>;

/// Asks, for many callers at once.
pub struct Requester {
    link: Link,
    queue: &'static str,
    live: tokio::sync::Mutex<Option<Live>>,
}

#[derive(Clone)]
struct Live {
    channel: Channel,
    waiting: Waiting,
}

impl Requester {
    /// A requester to this queue.
    #[must_use]
    pub fn new(link: Link, queue: &'static str) -> Self {
        Self { link, queue, live: tokio::sync::Mutex::default() }
    }

    /// Publishes the request and waits for its reply, however long that takes: bound it from outside. A call that
    /// is given up forgets its reply; the request may be in the queue.
    pub async fn ask(&self, id: &str, content_type: &str, body: Vec<u8>) -> Answer {
        self.ask_and_tell(id, content_type, body, &AtomicBool::new(false)).await
    }

    /// The same; once `is_queued` is set the request surely is in the queue, whatever comes of the call.
    pub async fn ask_and_tell(
        &self,
        id: &str,
        content_type: &str,
        body: Vec<u8>,
        is_queued: &AtomicBool,
    ) -> Answer {
        let live = match self.live().await {
            Ok(live) => live,
            Err(error) => return Answer::NotQueued(error),
        };
        let (sender, reply) = oneshot::channel();
        live.lock().insert(id.to_owned(), sender);
        let _forget = Forget { waiting: &live.waiting, id };
        let request = Message::json("", self.queue, id, content_type, body);
        let properties =
            request.properties.with_reply_to(topology::REPLY_TO.into()).with_correlation_id(id.into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let queue = self.queue.into();
        let confirm =
            match live.channel.basic_publish("".into(), queue, options, &request.body, properties).await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
        match confirm {
            Err(_) | Ok(Confirmation::NotRequested) => return Answer::Lost,
            Ok(Confirmation::Nack(_)) => return Answer::NotQueued(Error::Refused),
            // Under load a return may come with somebody else's confirm: its id tells whose it is.
            Ok(Confirmation::Ack(Some(returned))) => {
                self.link.declare_again();
                let id = returned.delivery.properties.message_id().clone().unwrap_or_else(|| "".into());
                if let Some(waiter) = live.lock().remove(id.as_str()) {
                    // Its caller may have gone: then nobody needs to know.
                    let _ = waiter.send(Answer::NotQueued(Error::Unroutable(self.queue.to_owned())));
                }
            }
            Ok(Confirmation::Ack(None)) => {}
        }
        is_queued.store(true, Ordering::Relaxed);
        reply.await.unwrap_or(Answer::Lost)
    }

    async fn live(&self) -> Result<Live, Error> {
        let mut slot = self.live.lock().await;
        // Asks the link too: it knows when the broker blocks publishers.
        self.link.connection()?;
        if let Some(live) = slot.as_ref().filter(|live| live.channel.status().connected()) {
            return Ok(live.clone());
        }
        let channel = self.link.channel(true).await?;
        let no_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let replies = channel
            .basic_consume(topology::REPLY_TO.into(), "".into(), no_ack, FieldTable::default())
            .await?;
        let live = Live { channel, waiting: Waiting::default() };
        tokio::spawn(hand_out(replies, live.clone()));
        *slot = Some(live.clone());
        Ok(live)
    }
}

impl Live {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands replies to their waiters until the channel ends; then nobody can expect one any more.
async fn hand_out(mut replies: Consumer, live: Live) {
    while let Some(Ok(delivery)) = replies.next().await {
        let id = delivery.properties.correlation_id().clone().unwrap_or_else(|| "".into());
        if let Some(waiter) = live.lock().remove(id.as_str()) {
            let _ = waiter.send(Answer::Reply(delivery.data));
        }
    }
    // Without its consumer the channel is of no use to later requests.
    let _ = live.channel.close(200, "no replies".into()).await;
    live.lock().clear();
}

/// Forgets a waiter when its call ends, however it ends.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(self.id);
    }
}
