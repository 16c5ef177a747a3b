//! An HTTP server with the limits that `axum::serve` lacks: on connections, also of one address, on the time to send
//! a request and to read its answer, and on stopping. Clients can read every answer, even one that is sent before the
//! request's body was read.

mod class;
mod connections;
mod forwarded;
mod host;
mod limits;
mod linger;
mod pace;
mod proxy_protocol;
mod rest;
mod stall;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::{debug, warn};

pub use self::connections::Connection;
use self::connections::{Connections, Open};
pub use self::forwarded::TrustedProxies;
pub use self::limits::{Limits, Times};
use self::linger::linger;
use self::pace::Pace;
pub use self::rest::{BodyError, is_late};
use self::stall::Stall;
use self::wire::Wire;
pub use self::wire::{Fault, Unreadable};
use crate::shutdown::Stopping;

/// The number of connections that counts as many.
const MANY: usize = 1_000;
/// The number of strangers' connections that counts as many.
const MANY_STRANGERS: usize = 500;
/// The maximum number of connections.
const MAX_CONNECTIONS: usize = 16_384;
/// File descriptors reserved for everything else.
const OTHER_FILES: usize = 500;
/// The maximum that is read ahead on a connection, in bytes; a header must fit into it.
const BUFFER: usize = 64 << 10;
/// The same while there are many connections.
const SMALL_BUFFER: usize = 16 << 10;
/// The number of new connections that may wait to be accepted.
const BACKLOG: u32 = 4_096;
/// What the kernel may hold of answers that a client has not read, in bytes. Without this it is up to 4 MiB.
const SEND_BUFFER: u32 = 128 << 10;
/// How often addresses with too many connections are looked for.
const TRIM_EVERY: Duration = Duration::from_millis(250);

/// The client's address: an extension of every request. Behind trusted proxies it is the one that they name; its port
/// is 0 if they do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What all connections of a server share.
struct Server {
    router: Router,
    unreadable: Unreadable,
    limits: Limits,
    connections: Arc<Connections>,
    stopping: Stopping,
}

/// Listens on an address, with a longer queue than usual.
///
/// # Errors
/// If the address is taken or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until the service stops, then lets the pending requests finish. Connections that are stuck in a half-sent
/// header are closed after `grace`. While the service drains, every answer asks its client to close the connection.
/// `unreadable` provides the answer to input that is not HTTP, or is too long.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    unreadable: Unreadable,
    limits: Limits,
    stopping: Stopping,
    grace: Duration,
) {
    let tasks = TaskTracker::new();
    let most = MAX_CONNECTIONS.min(raise_file_limit().saturating_sub(OTHER_FILES)).max(4);
    let connections = Arc::new(Connections::new(most, limits.connections_per_address));
    let server = Arc::new(Server { router, unreadable, limits, connections, stopping });
    let mut trim = interval(TRIM_EVERY);
    trim.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            () = server.stopping.stop.cancelled() => break,
            _ = trim.tick() => {
                server.connections.trim();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually out of file descriptors: other connections may free some.
                warn!(%error, "failed to accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let is_proxy = server.limits.trusted_proxies.contains(peer.ip());
        // The connection is closed at once: in the kernel's queue the client would wait without an error.
        let Some(open) = server.connections.open(peer.ip(), is_proxy) else { continue };
        tasks.spawn(server.clone().run(without_delay(stream), peer, open));
    }
    drop(listener);
    tasks.close();
    if timeout(grace, tasks.wait()).await.is_err() {
        warn!(grace_s = grace.as_secs(), "closed the connections that did not finish in time");
    }
}

impl Server {
    /// Serves a connection to its end, or until it is closed in favour of another.
    async fn run(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, open: Open) {
        let Open(connection) = &open;
        let (strangers, all) = self.connections.count();
        let is_crowded = strangers > MANY_STRANGERS || all > MANY;
        let (back, mut left) = oneshot::channel();
        let is_evicted = tokio::select! {
            () = self.converse(stream, peer, connection, is_crowded, back) => false,
            () = connection.evicted() => true,
        };
        let Ok(stream) = left.try_recv() else { return };
        if is_evicted {
            // The kernel would keep what the client does not read.
            let _ = stream.set_zero_linger();
            return;
        }
        tokio::select! {
            () = linger(stream, is_crowded, &self.stopping.stop) => {}
            () = connection.evicted() => {}
        }
    }

    /// Answers the requests of a connection. Its socket goes to `back` at the end, unless the client was cut off.
    async fn converse(
        &self,
        mut stream: TcpStream,
        mut peer: SocketAddr,
        connection: &Connection,
        is_crowded: bool,
        back: oneshot::Sender<TcpStream>,
    ) {
        let (times, stop) = (self.limits.times, &self.stopping.stop);
        let mut prefix = Vec::new();
        if self.limits.trusted_proxies.contains(peer.ip()) {
            let read = tokio::select! {
                read = proxy_protocol::read(&mut stream, times.header) => read,
                () = stop.cancelled() => return,
            };
            let Ok((client, rest)) = read else { return };
            if let Some(client) = client.filter(|client| !self.limits.trusted_proxies.contains(client.ip())) {
                connection.relays_for(client.ip());
            }
            (peer, prefix) = (client.unwrap_or(peer), rest);
        }
        let wire =
            Wire::new(stream, prefix, self.unreadable, Stall::new(times.reading), connection.clone(), back);
        let service =
            service_fn(async |request| Ok::<_, Infallible>(self.answer(request, peer, connection).await));
        let mut serving = pin!(protocol(times, is_crowded).serve_connection(TokioIo::new(wire), service));
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection broke");
        }
    }

    /// Answers a request. If it has not been read to its end, the answer is the connection's last and says
    /// `Connection: close`.
    async fn answer(
        &self,
        mut request: hyper::Request<Incoming>,
        peer: SocketAddr,
        connection: &Connection,
    ) -> Response {
        let pace = connection.pace();
        match pace {
            Pace::Normal => {}
            Pace::Yield => yield_now().await,
            Pace::Slow | Pace::Last => sleep(self.limits.times.pace).await,
        }
        if !host::is_valid(request.version(), request.headers()) {
            return refuse(self.unreadable, Fault::Host);
        }
        let client = self.limits.trusted_proxies.client(peer, request.headers());
        request.extensions_mut().insert(Peer(client));
        request.extensions_mut().insert(connection.clone());
        let (request, rest) = rest::lend(request, self.limits.times);
        connection.handles();
        let Ok(mut response) = self.router.clone().call(request).await;
        let is_last = pace == Pace::Last || self.stopping.leaving.is_cancelled();
        if is_last || response.headers().contains_key(CONNECTION) || !rest.drain(|| connection.waits()).await
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        connection.answers();
        response
    }
}

/// The connection's last answer, to a request that no router may see.
fn refuse(unreadable: Unreadable, fault: Fault) -> Response {
    let (media_type, body) = unreadable(fault);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = fault.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn protocol(times: Times, is_crowded: bool) -> http1::Builder {
    let crowded = (times.header_if_crowded, SMALL_BUFFER);
    let (timeout, buffer) = if is_crowded { crowded } else { (times.header, BUFFER) };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeout).max_buf_size(buffer).max_headers(100);
    http
}

/// Without this, small answers wait for the client's delayed acknowledgement.
fn without_delay(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

/// Raises the limit of open files as far as this process may, and returns it.
#[must_use]
pub fn raise_file_limit() -> usize {
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
