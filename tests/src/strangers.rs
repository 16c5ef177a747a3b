//! Strangers that misbehave: sockets of every kind, at every route of ingest.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::tenant::Key;

/// The number of strangers' addresses.
const ADDRESSES: usize = 40;
/// What a client sends when it pipelines without reading, at most, in bytes.
const FLOOD: usize = 1 << 20;
/// A peer that takes nothing for so long reads no more.
const BLOCKED: Duration = Duration::from_millis(200);

/// A method and a path of each route, of the fallbacks, and of paths that are normalized.
pub const ROUTES: [(&str, &str); 31] = [
    ("GET", "/scim/v2"),
    ("GET", "/scim/v2/Users"),
    ("POST", "/scim/v2/Users"),
    ("POST", "/scim/v2/Users/.search"),
    ("GET", "/scim/v2/Users/1"),
    ("PUT", "/scim/v2/Users/1"),
    ("PATCH", "/scim/v2/Users/1"),
    ("DELETE", "/scim/v2/Users/1"),
    ("GET", "/scim/v2/Groups"),
    ("POST", "/scim/v2/Groups"),
    ("POST", "/scim/v2/Groups/.search"),
    ("PUT", "/scim/v2/Groups/1"),
    ("PATCH", "/scim/v2/Groups/1"),
    ("DELETE", "/scim/v2/Groups/1"),
    ("POST", "/scim/v2/.search"),
    ("POST", "/scim/v2/Bulk"),
    ("GET", "/scim/v2/Async/1"),
    ("GET", "/scim/v2/ServiceProviderConfig"),
    ("GET", "/scim/v2/ResourceTypes"),
    ("GET", "/scim/v2/Schemas/x"),
    ("POST", "/scim/v2/Me"),
    ("POST", "/events"),
    ("GET", "/reports/learners"),
    ("GET", "/activity"),
    ("GET", "/unsubscribe/x"),
    ("POST", "/unsubscribe/x"),
    ("GET", "/healthz"),
    ("POST", "/readyz"),
    ("POST", "/nothing"),
    ("PUT", "/scim/v2/Users"),
    ("POST", "//scim//v2//Users/"),
];

/// How a socket misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It sends nothing.
    Idle,
    /// It sends half a head.
    HalfHead,
    /// It sends half a body.
    HalfBody,
    /// It sends one request after the other and reads no answer.
    Pipelined,
    /// It sends one request and reads no answer.
    Unread,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Idle, Self::HalfHead, Self::HalfBody, Self::Pipelined, Self::Unread];

    /// Opens such a socket from a local address; `None` if the server or this process has no room for it.
    pub async fn open(
        self,
        from: Ipv4Addr,
        port: u16,
        (method, path): (&str, &str),
        key: Option<&Key>,
    ) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        // So that answers which are not read fill the server's buffers.
        socket.set_recv_buffer_size(4 << 10).ok()?;
        socket.bind((from, 0).into()).ok()?;
        let mut stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await.ok()?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        if let Some(key) = key {
            let _ = write!(head, "Authorization: Bearer {}\r\n", key.api_key);
        }
        let sent = match self {
            Self::Idle => String::new(),
            Self::HalfHead => format!("{head}X-Half: ha"),
            Self::HalfBody => format!(
                "{head}Content-Type: application/scim+json\r\nContent-Length: 1000000\r\n\r\n{{\"half\":\"{}",
                "x".repeat(10_000)
            ),
            Self::Pipelined => format!("{head}\r\n").repeat(500),
            Self::Unread => format!("{head}\r\n"),
        };
        let rounds = if self == Self::Pipelined { FLOOD / sent.len() } else { 1 };
        for _ in 0..rounds {
            // It is no error if the server has closed it already.
            if !matches!(timeout(BLOCKED, stream.write_all(sent.as_bytes())).await, Ok(Ok(()))) {
                break;
            }
        }
        Some(stream)
    }
}

/// The n-th of the strangers' addresses: one of their own, or that of all other clients of this machine.
#[must_use]
pub fn address(n: usize) -> Ipv4Addr {
    let last = u8::try_from(1 + n % ADDRESSES).expect("it is below 256");
    Ipv4Addr::new(127, 0, 0, last)
}
