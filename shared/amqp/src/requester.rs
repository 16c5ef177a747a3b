//! Request and reply over a queue: publishes a request with confirms and waits for the reply over direct reply-to.
//!
//! Requests are pipelined on one channel. Direct reply-to is at-most-once: a caller whose reply is lost must read the
//! outcome elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Consumer};
use tokio::sync::oneshot;

use super::{Error, Link, Message, topology};

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestResult {
    /// The reply.
    Reply(Vec<u8>),
    /// It is unknown whether the request was queued, or its reply was lost.
    Lost,
    /// The request is certainly not in the queue.
    NotQueued(Error),
}

/// Callers that wait for a reply, by message id. A dropped sender means that the reply is lost.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<RequestResult>>>>;

/// Sends requests for many callers at once.
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
    /// A requester for this queue.
    #[must_use]
    pub fn new(link: Link, queue: &'static str) -> Self {
        Self { link, queue, live: tokio::sync::Mutex::default() }
    }

    /// Publishes the request and waits for its reply without a time limit: the caller must set one. If the call is
    /// cancelled, its reply is dropped; the request may still be in the queue.
    pub async fn ask(&self, id: &str, content_type: &str, body: Vec<u8>) -> RequestResult {
        self.ask_noting_confirm(id, content_type, body, &AtomicBool::new(false)).await
    }

    /// As [`Self::ask`]. `is_queued` is set once the request is certainly in the queue, whatever the call returns.
    pub async fn ask_noting_confirm(
        &self,
        id: &str,
        content_type: &str,
        body: Vec<u8>,
        is_queued: &AtomicBool,
    ) -> RequestResult {
        let live = match self.live().await {
            Ok(live) => live,
            Err(error) => return RequestResult::NotQueued(error),
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
            Err(_) | Ok(Confirmation::NotRequested) => return RequestResult::Lost,
            Ok(Confirmation::Nack(_)) => return RequestResult::NotQueued(Error::Refused),
            // Under load, a returned message may come with the confirm of another request: its id identifies its own.
            Ok(Confirmation::Ack(Some(returned))) => {
                self.link.declare_again();
                let id = returned.delivery.properties.message_id().clone().unwrap_or_else(|| "".into());
                if let Some(waiter) = live.lock().remove(id.as_str()) {
                    // Fails if the caller has given up; then nobody needs the result.
                    let _ = waiter.send(RequestResult::NotQueued(Error::Unroutable(self.queue.to_owned())));
                }
            }
            Ok(Confirmation::Ack(None)) => {}
        }
        is_queued.store(true, Ordering::Relaxed);
        reply.await.unwrap_or(RequestResult::Lost)
    }

    async fn live(&self) -> Result<Live, Error> {
        let mut slot = self.live.lock().await;
        // Checks the link too, because the broker may block publishers.
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
        tokio::spawn(deliver_replies(replies, live.clone()));
        *slot = Some(live.clone());
        Ok(live)
    }
}

impl Live {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<RequestResult>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes replies to their callers until the channel ends; after that no reply can arrive.
async fn deliver_replies(mut replies: Consumer, live: Live) {
    while let Some(Ok(delivery)) = replies.next().await {
        let id = delivery.properties.correlation_id().clone().unwrap_or_else(|| "".into());
        if let Some(waiter) = live.lock().remove(id.as_str()) {
            let _ = waiter.send(RequestResult::Reply(delivery.data));
        }
    }
    // Without its consumer the channel is useless to later requests.
    let _ = live.channel.close(200, "no replies".into()).await;
    live.lock().clear();
}

/// Removes a waiter when its call returns or is cancelled.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(self.id);
    }
}
