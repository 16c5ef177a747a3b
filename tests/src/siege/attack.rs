//! The attacks. Each sends requests until its process is ended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use platform::http::raise_file_limit;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::Okta;
use crate::content::BATCH;
use crate::load::somebody;
use crate::okta::{encode, person};
use crate::strangers::{Kind, ROUTES, address};

/// The environment variable with the attacker's key.
pub const KEY_VARIABLE: &str = "SIEGE_KEY";
/// The terms of a costly filter.
const TERMS: usize = 100;
/// The number of a stranger's sockets of each kind.
const SOCKETS: usize = 20_000;
/// How many of them one process opens, since the number of its files is limited.
const SOCKETS_AT_ONCE: usize = 10_000;
/// How many of them are being opened at a time.
const OPENING: usize = 200;
/// How long all sockets of one kind are held.
const HELD: Duration = Duration::from_secs(5);
/// Wrong keys per second.
const WRONG_KEYS: u64 = 100;

/// A way to use up what others need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Attack {
    /// Sorted lists with a filter of 100 terms over 2,400 users, on 48 connections.
    Lists,
    /// The same, while the attacker's key is revoked.
    Revoked,
    /// 100 wrong keys a second for the neighbour's user name, from the neighbour's address.
    WrongKeys,
    /// Creates and deletions on 64 connections.
    Deletions,
    /// Creates with different external ids on 256 connections.
    Creates,
    /// Asynchronous creates of 100 KiB on 32 connections.
    Asynchronous,
    /// `/Bulk` requests on 16 connections.
    Bulk,
    /// Batches of 100 events on 16 connections.
    Events,
    /// Large list pages whose answers are not read, on 64 connections.
    Unread,
    /// 20,000 sockets of strangers of each kind ([`Kind`]), at every route.
    Sockets,
}

/// Who attacks whom.
pub struct Target {
    /// The server, `http://host:port`.
    pub origin: String,
    /// The attacker's user name.
    pub tenant: String,
    /// The attacker's key.
    pub key: String,
    /// The neighbour's user name.
    pub neighbour: String,
}

impl Attack {
    /// Its name on the command line.
    ///
    /// # Panics
    /// Never: no variant is hidden.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lists => "lists",
            Self::Revoked => "revoked",
            Self::WrongKeys => "wrong-keys",
            Self::Deletions => "deletions",
            Self::Creates => "creates",
            Self::Asynchronous => "asynchronous",
            Self::Bulk => "bulk",
            Self::Events => "events",
            Self::Unread => "unread",
            Self::Sockets => "sockets",
        }
    }

    /// The number of processes that attack.
    pub(super) fn processes(self) -> usize {
        if self == Self::Sockets { SOCKETS.div_ceil(SOCKETS_AT_ONCE) } else { 1 }
    }

    /// Attacks until the process is ended; [`Attack::Sockets`] ends by itself.
    pub async fn run(self, target: Target) {
        let okta = Okta::basic(&target.origin, &target.tenant, &target.key);
        match self {
            Self::Lists | Self::Revoked => {
                repeat(&okta, 48, |_| okta.request("GET", &costly_list())).await;
            }
            Self::WrongKeys => wrong_keys(&target).await,
            Self::Deletions => deletions(&okta).await,
            Self::Creates => {
                let body = |n| somebody("attack", n).to_string();
                repeat(&okta, 256, |n| okta.request("POST", "/Users").body(body(n))).await;
            }
            Self::Asynchronous => {
                let create =
                    |n| okta.request("POST", "/Users").header("Prefer", "respond-async").body(large(n));
                repeat(&okta, 32, create).await;
            }
            Self::Bulk => {
                repeat(&okta, 16, |n| okta.request("POST", "/Bulk").body(bulk(n).to_string())).await;
            }
            Self::Events => {
                let user = okta.create(&somebody("attack", 1)).await.id();
                let body = || events(&user).to_string();
                repeat(&okta, 16, |_| okta.at("/events").header("Content-Type", BATCH).body(body())).await;
            }
            Self::Unread => unread(&target).await,
            Self::Sockets => sockets(&target).await,
        }
    }
}

/// Sends requests over this many connections for ever. Refusals do not slow it down much: 50 ms each.
async fn repeat(okta: &Okta, connections: usize, nth: impl Fn(usize) -> RequestBuilder) {
    let one = async |n: usize| {
        let refused = okta.attempt(nth(n)).await.map_or(true, |answer| answer.status >= 400);
        if refused {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    stream::iter(0..).map(one).buffer_unordered(connections).collect::<()>().await;
}

fn costly_list() -> String {
    let terms: Vec<_> = (0..TERMS).map(|n| format!("title co \"x{n}\"")).collect();
    format!("/Users?sortBy=title&count=200&filter={}", encode(&terms.join(" or ")))
}

async fn wrong_keys(target: &Target) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / WRONG_KEYS));
    let okta = Arc::new(Okta::with(&target.origin, None));
    loop {
        ticks.tick().await;
        let key = format!("rck_{:032x}{:016x}", rand::random::<u128>(), rand::random::<u64>());
        let request = okta.request("GET", "/Users").basic_auth(&target.neighbour, Some(key));
        let okta = okta.clone();
        tokio::spawn(async move { okta.attempt(request).await.map(drop) });
    }
}

async fn deletions(okta: &Okta) {
    let one = async |n: usize| {
        let create = okta.request("POST", "/Users").body(somebody("deleted", n).to_string());
        if let Ok(answer) = okta.attempt(create).await
            && let Some(id) = answer.body["id"].as_str()
        {
            let _ = okta.attempt(okta.request("DELETE", &format!("/Users/{id}"))).await;
        }
    };
    stream::iter(0..).map(one).buffer_unordered(64).collect::<()>().await;
}

fn large(n: usize) -> String {
    let mut user = person(&format!("large-{n}@attack.example"), "Lar", "Ge");
    user["x509Certificates"] = json!([{ "value": "QUJD".repeat(25 << 10) }]);
    user.to_string()
}

fn bulk(n: usize) -> Value {
    let operation = |m: usize| {
        let data = somebody("attack-bulk", n * 50 + m);
        json!({ "method": "POST", "path": "/Users", "bulkId": m.to_string(), "data": data })
    };
    let operations: Vec<_> = (0..50).map(operation).collect();
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

fn events(user: &str) -> Value {
    let event = |_| {
        let id = platform::id::new();
        json!({
            "specversion": "1.0", "type": "content.assigned", "source": "/content", "id": id,
            "data": {
                "user": { "id": user },
                "assignment": { "id": id, "assignedAt": "2026-11-02T09:00:00Z" },
                "content": { "id": "c-1", "kind": "Lesson", "title": "Unwanted", "url": "https://learn.example/l/1" },
            },
        })
    };
    (0..100).map(event).collect()
}

/// Asks for pages on many connections, reads nothing, and asks again when it is cut off.
async fn unread(target: &Target) {
    let authority = target.origin.trim_start_matches("http://");
    let request = format!(
        "GET /scim/v2/Users?count=200 HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {}\r\n\r\n",
        target.key
    );
    let one = async || loop {
        let Ok(mut stream) = TcpStream::connect(authority).await else { continue };
        // Twenty pages are more than the buffers of the kernel hold.
        let _ = stream.write_all(request.repeat(20).as_bytes()).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    };
    join_all((0..64).map(|_| one())).await;
}

/// Opens sockets of one kind after the other.
async fn sockets(target: &Target) {
    let limit = raise_file_limit();
    assert!(limit > SOCKETS_AT_ONCE + 100, "only {limit} open files are allowed: raise `ulimit -Hn`");
    let port = target.origin.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    for kind in Kind::ALL {
        let one = |n: usize| kind.open(address(n), port, ROUTES[n % ROUTES.len()], None);
        let opening = stream::iter((0..SOCKETS_AT_ONCE).map(one)).buffer_unordered(OPENING);
        let held: Vec<_> = opening.collect().await;
        let opened = held.iter().flatten().count();
        assert!(opened > SOCKETS_AT_ONCE / 2, "only {opened} sockets were opened: {kind:?}");
        tokio::time::sleep(HELD).await;
    }
}
