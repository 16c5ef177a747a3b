//! Strangers with sockets of every kind at every route: a known client and the health page are answered throughout,
//! memory is bounded, and the sockets are closed. Bodies that do not arrive, and requests without a valid `Host`.

use std::time::Duration;

use futures_util::future::join_all;
use tests::okta::person;
use tests::plain::{Framing, Plain, head};
use tests::strangers::{Kind, ROUTES, address};
use tests::tenant::Key;
use tests::{Stack, eventually, raw};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The number of sockets of each kind at each route.
const EACH: usize = 12;
/// The memory limit for ingest, in MiB.
const MEMORY: usize = if cfg!(debug_assertions) { 300 } else { 200 };
/// When all sockets must be closed: an idle one is kept for 75 s.
const CLOSED: Duration = Duration::from_secs(150);
/// The number of connections that the known client keeps.
const KEPT: usize = 3;
/// When a body that does not arrive must be answered: after 10 s.
const ANSWERED: Duration = Duration::from_secs(60);

/// The number of clients' connections that ingest has not closed.
fn connections(stack: &Stack) -> usize {
    let port = format!(":{:04X}", stack.ingests[0].port());
    // ESTABLISHED, and CLOSE_WAIT, in which only the client has closed.
    let is_open = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, local, _, "01" | "08", ..] if local.ends_with(&port))
    };
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().filter(is_open).count()
}

async fn closes_all(stack: &Stack) {
    eventually("ingest has closed the strangers' connections", CLOSED, async || {
        (connections(stack) <= KEPT).then_some(())
    })
    .await;
}

/// Opens sockets of one kind at every route, from many addresses.
async fn open(stack: &Stack, kind: Kind, key: Option<&Key>, each: usize) -> Vec<TcpStream> {
    let port = stack.ingests[0].port();
    let routes = ROUTES.iter().flat_map(|route| std::iter::repeat_n(*route, each)).enumerate();
    let sockets = routes.map(|(n, route)| kind.open(address(n), port, route, key));
    join_all(sockets).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_client_is_answered_whatever_sockets_strangers_open() {
    let stack = Stack::own().await;
    let okta = stack.tenant("known").await.okta();
    okta.get("/Users?count=1").await.is(200);
    let mut open_sockets = Vec::new();
    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        let answered = async {
            for m in 0..10 {
                let user = person(&format!("{n}.{m}@known.example"), "Kno", "Wn");
                okta.once(okta.request("POST", "/Users").body(user.to_string())).await.is(201);
                // On a new connection, which is a stranger's until its key is checked.
                okta.once(okta.request("GET", "/Users?count=1").header("Connection", "close")).await.is(200);
                let mut plain = Plain::connect(stack.ingests[0].port()).await;
                let health = plain.exchange(&head("GET", "/healthz", None), b"", Framing::Length).await;
                health.unwrap_or_else(|error| panic!("{kind:?}: {error}")).is(200);
            }
        };
        let (opened, ()) = tokio::join!(open(&stack, kind, None, EACH), answered);
        println!("{kind:?}: {} opened, ingest uses {} MiB", opened.len(), stack.ingests[0].memory());
        open_sockets.extend(opened);
    }
    let memory = stack.ingests[0].peak_memory();
    assert!(memory < MEMORY, "{memory} MiB");
    closes_all(&stack).await;
    okta.get("/Users?count=1").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_with_a_key_that_stall_are_closed() {
    let stack = Stack::own().await;
    let (slow, okta) = (stack.tenant("slow").await, stack.tenant("quick").await.okta());
    okta.get("/Users?count=1").await.is(200);
    let half = open(&stack, Kind::HalfBody, Some(&slow.key), 2).await;
    let pipelined = open(&stack, Kind::Pipelined, Some(&slow.key), 1).await;
    let answers = half.into_iter().map(async |mut stream| {
        let mut text = Vec::new();
        let read = timeout(ANSWERED, stream.read_to_end(&mut text)).await;
        let _ = read.expect("the connection is closed");
        String::from_utf8_lossy(&text).into_owned()
    });
    let answers = join_all(answers).await;
    for (answer, (method, path)) in answers.iter().zip(ROUTES.iter().flat_map(|route| [route, route])) {
        let status = answer.split(' ').nth(1).unwrap_or_default();
        let is_right = matches!(status, "200" | "400" | "404" | "405" | "408" | "415" | "429" | "501");
        assert!(is_right, "{method} {path}: {answer}");
        if matches!((*method, *path), ("POST", "/scim/v2/Users" | "/scim/v2/Groups" | "/scim/v2/.search")) {
            assert!(answer.contains("408") && answer.contains("did not arrive"), "{path}: {answer}");
        }
    }
    okta.get("/Users?count=1").await.is(200);
    closes_all(&stack).await;
    drop(pipelined);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_is_kept_for_an_invalid_link() {
    let stack = Stack::own().await;
    let ingest = &stack.ingests[0];
    ingest.forget_peak();
    let before = ingest.peak_memory();
    let requests = (0..150).map(async |_| {
        let mut plain = Plain::connect(ingest.port()).await;
        let head = head("POST", "/unsubscribe/x", None) + "Content-Length: 2000000\r\n\r\n";
        plain.write(head.as_bytes()).await.unwrap();
        plain.write(&vec![b'x'; 1_900_000]).await.unwrap();
        plain.answer().await.unwrap().is(404);
    });
    timeout(ANSWERED, join_all(requests)).await.expect("all are answered");
    let grown = ingest.peak_memory().saturating_sub(before);
    assert!(grown < 100, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_exactly_one_valid_host_is_rejected_at_every_route() {
    let stack = Stack::shared().await;
    let key = stack.tenant("hostless").await.key;
    for (method, path) in ROUTES {
        for hosts in
            ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n", "Host: a/b\r\n", "Host: me@a\r\n"]
        {
            let request = format!(
                "{method} {path} HTTP/1.1\r\n{hosts}Authorization: Bearer {}\r\nContent-Length: 2\r\n\r\n{{}}",
                key.api_key
            );
            let answer = raw::send(&stack.ingests[0], request.as_bytes()).await.is_error(400);
            assert!(answer.detail().contains("Host"), "{method} {path}: {}", answer.text);
        }
    }
    let old = "GET /healthz HTTP/1.0\r\n\r\n";
    raw::send(&stack.ingests[0], old.as_bytes()).await.is(200);
}
