//! Serving HTTP with the bounds that `axum::serve` leaves out: on connections, on the time for a header, and on stopping; and
//! so that every answer can be read, also one that is given before the request's body was.

mod linger;
mod rest;
mod wire;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::{debug, warn};

use self::linger::linger;
pub use self::wire::Unreadable;
use self::wire::Wire;
use crate::shutdown::Stopping;

/// How long a client may take to send a request's header, and how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// The same for those that come while there are many.
const SHORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many are many.
const MANY: usize = 1_000;
/// The most connections.
const MOST: usize = 20_000;
/// File handles that are kept for all else.
const OTHER_FILES: usize = 500;
/// The most that is read ahead of a connection, in bytes; a header must fit into it.
const BUFFER: usize = 64 << 10;
/// The same while there are many.
const SMALL_BUFFER: usize = 16 << 10;

/// Whom a request comes from: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves until it is to stop, then lets the requests in hand finish; connections that are stuck in a half-sent header
/// are closed after `grace`. While it is leaving, every answer asks its client to close the connection. `unreadable` words the
/// answer to what is not HTTP, or too long.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    unreadable: Unreadable,
    stopping: Stopping,
    grace: Duration,
) {
    let (graceful, connections) = (GracefulShutdown::new(), TaskTracker::new());
    let most = MOST.min(raise_file_limit().saturating_sub(OTHER_FILES)).max(1);
    let room = Arc::new(Semaphore::new(most));
    loop {
        let (stream, peer) = tokio::select! {
            () = stopping.stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file handles, mostly: others may free some.
                    warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        // Closed at once: who waits in the kernel's queue would learn nothing.
        let Ok(permit) = room.clone().try_acquire_owned() else { continue };
        let is_crowded = most - room.available_permits() > MANY;
        let service = service(router.clone(), Peer(peer), stopping.leaving.clone());
        let (back, left) = oneshot::channel();
        let wire = TokioIo::new(Wire::new(without_delay(stream), unreadable, back));
        let connection = graceful.watch(protocol(is_crowded).serve_connection(wire, service));
        let stop = stopping.stop.clone();
        connections.spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection broke");
            }
            if let Ok(stream) = left.await {
                linger(stream, is_crowded, &stop).await;
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    let all_closed = async {
        graceful.shutdown().await;
        connections.wait().await;
    };
    if tokio::time::timeout(grace, all_closed).await.is_err() {
        warn!(grace_s = grace.as_secs(), "closed the connections that did not finish in time");
    }
}

fn protocol(is_crowded: bool) -> http1::Builder {
    let (timeout, buffer) = if is_crowded { (SHORT_TIMEOUT, SMALL_BUFFER) } else { (HEADER_TIMEOUT, BUFFER) };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeout).max_buf_size(buffer).max_headers(100);
    http
}

/// Otherwise small answers wait for the client's delayed acknowledgement.
fn without_delay(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

/// The router, as one connection sees it. An answer whose request has not been read to its end is the connection's last one, and
/// says so.
fn service(
    router: Router,
    peer: Peer,
    leaving: CancellationToken,
) -> impl hyper::service::Service<hyper::Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
{
    service_fn(move |mut request: hyper::Request<Incoming>| {
        let (mut router, leaving) = (router.clone(), leaving.clone());
        request.extensions_mut().insert(peer);
        let (request, rest) = rest::lend(request);
        async move {
            let mut response = router.call(request).await?;
            if leaving.is_cancelled() || response.headers().contains_key(CONNECTION) || !rest.drain().await {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    })
}

/// Raises the limit of open files as far as this process may; returns it.
fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            warn!(%error, "failed to raise the limit of open files");
            limit.current
        }
    };
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
