//! Drains a request's body once its answer is ready. Most rejections are sent before the body was read: the rest is
//! discarded, so that the next request on the connection can be read. hyper itself reads no more than its buffer holds,
//! and closes without announcing it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::header::EXPECT;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::time::timeout;

/// The maximum that is discarded before the answer, in bytes. If the body is larger, the answer is sent first and the
/// connection is closed.
const MAX_BYTES: u64 = 2 << 20;
/// How long the answer waits for the rest of the body.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A body lent to the router, which is returned when the router drops it.
pub(super) struct Lent {
    reading: Reading,
    back: Option<Sender<Reading>>,
}

/// How far a body has been read.
struct Reading {
    /// `None` once it has ended.
    body: Option<Incoming>,
    has_begun: bool,
    is_broken: bool,
}

/// Receives the body when it is returned.
pub(super) struct Rest {
    back: Receiver<Reading>,
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    waits: bool,
}

/// Lends a request's body to the router.
pub(super) fn lend(request: hyper::Request<Incoming>) -> (hyper::Request<axum::body::Body>, Rest) {
    let (sender, back) = oneshot::channel();
    let waits = request.headers().contains_key(EXPECT);
    let request = request.map(|body| {
        let reading = Reading { body: Some(body), has_begun: false, is_broken: false };
        axum::body::Body::new(Lent { reading, back: Some(sender) })
    });
    (request, Rest { back, waits })
}

impl Rest {
    /// Reads the rest, within limits. Returns whether all of it was read, so that another request may follow.
    pub(super) async fn drain(mut self) -> bool {
        // A handler that holds the body still reads it: its end is unknown.
        let Ok(Reading { body, has_begun, is_broken }) = self.back.try_recv() else { return false };
        let Some(mut body) = body else { return !is_broken };
        if body.is_end_stream() {
            return true;
        }
        // Reading would ask the client to send the body.
        let will_not_come = self.waits && !has_begun;
        if will_not_come || body.size_hint().lower() > MAX_BYTES {
            return false;
        }
        timeout(TIMEOUT, discard(&mut body)).await.unwrap_or(false)
    }
}

/// Discards a body. Returns whether it ended within the limit.
async fn discard(body: &mut Incoming) -> bool {
    let mut discarded = 0;
    loop {
        match std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => discarded += frame.data_ref().map_or(0, Bytes::len),
        }
        if u64::try_from(discarded).unwrap_or(u64::MAX) > MAX_BYTES {
            return false;
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let reading = &mut self.get_mut().reading;
        reading.has_begun = true;
        let Some(body) = reading.body.as_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            reading.is_broken = frame.is_some();
            reading.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.reading.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.reading.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Reading { body, has_begun, is_broken } = &mut self.reading;
        let reading = Reading { body: body.take(), has_begun: *has_begun, is_broken: *is_broken };
        if let Some(back) = self.back.take() {
            // Fails if the connection has ended.
            let _ = back.send(reading);
        }
    }
}
