//! Clients that hold connections and send nothing, half a header, or an endless body: others are not affected.

use std::time::{Duration, Instant};

use tests::okta::person;
use tests::{Stack, raw};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The number of idle connections, if the limit of open files allows it.
const IDLE: usize = 10_000;
const HALF_HEADERS: usize = 300;
const ENDLESS_BODIES: usize = 700;
/// The time limit for a normal client's request.
const BOUND: Duration = Duration::from_secs(if cfg!(debug_assertions) { 8 } else { 1 });
/// The memory limit for ingest, in MiB.
const MEMORY: usize = 400;

/// Opens connections and sends these bytes on each; returns fewer if no more can be opened.
async fn connections(port: u16, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { break };
        // A rejected connection is closed, which is fine too.
        let _ = stream.write_all(first).await;
        open.push(stream);
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hold_connections_do_not_affect_others() {
    let stack = Stack::own().await;
    let (okta, bad) = (stack.tenant("decent").await.okta(), stack.tenant("misbehaving").await);
    bad.okta().get("/Users?count=1").await.is(200);
    okta.get("/Users?count=1").await.is(200);
    let port = stack.ingests[0].port();
    let body = format!(
        "{}Content-Type: application/scim+json\r\nContent-Length: 1000000\r\n\r\n",
        raw::head("POST", "/scim/v2/Users", &bad.key)
    );
    let half = connections(port, HALF_HEADERS, b"GET /scim/v2/Users HTTP/1.1\r\nHost: x\r\nX-").await;
    let mut trickling = connections(port, ENDLESS_BODIES, body.as_bytes()).await;
    let idle = connections(port, IDLE, b"").await;
    println!("{} half headers, {} endless bodies, {} idle", half.len(), trickling.len(), idle.len());
    assert!(idle.len() > 1_000, "too few connections for a meaningful test");

    let mut slowest = Duration::ZERO;
    for n in 0..40 {
        for stream in &mut trickling {
            let _ = stream.write_all(b" ").await;
        }
        let began = Instant::now();
        let user = person(&format!("{n}@decent.example"), "De", "Cent");
        let create = okta.request("POST", "/Users").header("Connection", "close").body(user.to_string());
        okta.once(create).await.is(201);
        slowest = slowest.max(began.elapsed());
    }
    let memory = stack.ingests[0].memory();
    println!("the slowest took {slowest:?}, ingest uses {memory} MiB");
    assert!(slowest < BOUND, "{slowest:?}");
    assert!(memory < MEMORY, "{memory} MiB");
}
