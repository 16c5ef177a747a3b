//! Drains a request's body once its answer is ready. Most rejections are sent before the body was read: the rest is
//! discarded, so that the next request on the connection can be read. hyper itself reads no more than its buffer holds,
//! and closes without announcing it. A body that arrives too slowly ends with an error, whoever reads it.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::header::EXPECT;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::limits::Times;

/// The maximum that is discarded before the answer, in bytes. If the body is larger, the answer is sent first and the
/// connection is closed.
const MAX_BYTES: u64 = 2 << 20;
/// How long the answer waits for the rest of the body.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A body lent to the router, which is returned when the router drops it.
pub(super) struct Lent {
    reading: Reading,
    back: Option<Sender<Reading>>,
    arrival: Arrival,
}

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It does not arrive in time.
    #[error("the body arrives too slowly")]
    Late,
    /// The connection or the chunks are broken.
    #[error("the body is broken")]
    Broken(#[source] hyper::Error),
}

/// How long a body has taken.
struct Arrival {
    times: Times,
    /// When all of it must be there; `None` until it is read.
    end: Option<Instant>,
    /// `Some` while the next part is awaited.
    timer: Option<Pin<Box<Sleep>>>,
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
pub(super) fn lend(
    request: hyper::Request<Incoming>,
    times: Times,
) -> (hyper::Request<axum::body::Body>, Rest) {
    let (sender, back) = oneshot::channel();
    let waits = request.headers().contains_key(EXPECT);
    let request = request.map(|body| {
        let reading = Reading { body: Some(body), has_begun: false, is_broken: false };
        let arrival = Arrival { times, end: None, timer: None };
        axum::body::Body::new(Lent { reading, back: Some(sender), arrival })
    });
    (request, Rest { back, waits })
}

impl Rest {
    /// Reads the rest, within limits, and calls `waits` before it must wait for it. Returns whether all of it was read,
    /// so that another request may follow.
    pub(super) async fn drain(mut self, waits: impl FnOnce()) -> bool {
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
        waits();
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

/// Whether this error, or one that it was caused by, is a body that arrives too slowly.
#[must_use]
pub fn is_late(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| (*error).source())
        .any(|error| matches!(error.downcast_ref(), Some(BodyError::Late)))
}

impl Arrival {
    /// Waits until the next part is late.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let end = *self.end.get_or_insert(now + self.times.body);
        let silence = self.times.silence;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end.min(now + silence))));
        timer.as_mut().poll(context)
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { reading, arrival, .. } = self.get_mut();
        reading.has_begun = true;
        let Some(body) = reading.body.as_mut() else { return Poll::Ready(None) };
        let frame = match Pin::new(body).poll_frame(context) {
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(BodyError::Broken)),
            Poll::Pending => {
                ready!(arrival.poll_late(context));
                Some(Err(BodyError::Late))
            }
        };
        arrival.timer = None;
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
