//! An HTTP server with the limits that `axum::serve` lacks: on connections, on the time to send a header, and on
//! stopping. Clients can read every answer, even one that is sent before the request's body was read.

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
/// The same while there are many connections.
const SHORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of connections that counts as many.
const MANY: usize = 1_000;
/// The maximum number of connections.
const MAX_CONNECTIONS: usize = 20_000;
/// File descriptors reserved for everything else.
const OTHER_FILES: usize = 500;
/// The maximum that is read ahead on a connection, in bytes; a header must fit into it.
const BUFFER: usize = 64 << 10;
/// The same while there are many connections.
const SMALL_BUFFER: usize = 16 << 10;

/// The client's address: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Serves until the service stops, then lets the pending requests finish. Connections that are stuck in a half-sent
/// header are closed after `grace`. While the service drains, every answer asks its client to close the connection.
/// `unreadable` provides the answer to input that is not HTTP, or is too long.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    unreadable: Unreadable,
    stopping: Stopping,
    grace: Duration,
) {
    let (graceful, connections) = (GracefulShutdown::new(), TaskTracker::new());
    let most = MAX_CONNECTIONS.min(raise_file_limit().saturating_sub(OTHER_FILES)).max(1);
    let room = Arc::new(Semaphore::new(most));
    loop {
        let (stream, peer) = tokio::select! {
            () = stopping.stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Usually out of file descriptors: other connections may free some.
                    warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        // The connection is closed at once: in the kernel's queue the client would wait without an error.
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

/// Without this, small answers wait for the client's delayed acknowledgement.
fn without_delay(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

/// The router, for one connection. If the request has not been read to its end, the answer is the connection's last
/// and says `Connection: close`.
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

/// Raises the limit of open files as far as this process may, and returns it.
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
