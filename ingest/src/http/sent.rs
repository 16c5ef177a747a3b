//! Holds permits until the response has been sent to its end, or its connection is gone: a client that does not read
//! keeps the response in memory.

use std::any::Any;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

/// Something that is freed when it is dropped.
type Permit = Box<dyn Any + Send + Sync>;

tokio::task_local! {
    /// What the response of this task's request holds.
    static HELD: Arc<Mutex<Vec<Permit>>>;
}

/// Holds `permit` until the response of the current request is sent. Outside of a request it is dropped at once.
pub fn hold(permit: impl Any + Send + Sync) {
    // Fails outside of a request.
    let _ = HELD.try_with(|held| held.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(permit)));
}

/// Middleware that attaches what the handler holds to the response's body.
pub async fn keep(request: Request, next: Next) -> Response {
    let held = Arc::default();
    let response = HELD.scope(Arc::clone(&held), next.run(request)).await;
    let permits = std::mem::take(&mut *held.lock().unwrap_or_else(PoisonError::into_inner));
    if permits.is_empty() || response.body().is_end_stream() {
        return response;
    }
    response.map(|body| Body::new(Holding { body, permits: Arc::new(permits) }))
}

/// A body that holds permits.
struct Holding {
    body: Body,
    permits: Arc<Vec<Permit>>,
}

/// A piece of a body that holds them too. The HTTP server drops a body as soon as it has taken its last piece, and a
/// piece when it has been written to the socket.
struct Piece {
    bytes: Bytes,
    _permits: Arc<Vec<Permit>>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, permits } = self.get_mut();
        let with_permits = |bytes| Bytes::from_owner(Piece { bytes, _permits: Arc::clone(permits) });
        Pin::new(body).poll_frame(context).map_ok(|frame| frame.map_data(with_permits))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::Service;

    use super::*;

    /// The response of a handler that holds a permit, and the permit.
    async fn respond(text: &'static str) -> (Response, Weak<()>) {
        let permit = Arc::new(());
        let weak = Arc::downgrade(&permit);
        let handler = move || async move {
            hold(permit);
            text
        };
        let mut router = Router::new().route("/", get(handler)).layer(from_fn(keep));
        let response = router.call(Request::new(Body::empty())).await.unwrap();
        (response, weak)
    }

    #[tokio::test]
    async fn permit_is_held_until_the_last_piece_is_dropped() {
        let (response, permit) = respond("text").await;
        assert_eq!(response.body().size_hint().exact(), Some(4), "it has a Content-Length");
        let mut body = response.into_body();
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        drop(body);
        assert!(permit.strong_count() > 0, "the piece is not written yet");
        assert_eq!(piece, "text");
        drop(piece);
        assert_eq!(permit.strong_count(), 0);
    }

    #[tokio::test]
    async fn permit_is_freed_with_an_unread_body_or_an_empty_one() {
        let (response, permit) = respond("text").await;
        drop(response);
        assert_eq!(permit.strong_count(), 0);
        let (_response, permit) = respond("").await;
        assert_eq!(permit.strong_count(), 0);
    }
}
