//! Answers that are sent before the request's body was read: the client can read each of them, and knows whether the
//! connection stays open.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests::plain::{Framing, Plain, head, is_last};
use tests::tenant::Key;
use tests::{Answer, Stack, raw};

/// Body sizes in bytes, and how often each is sent: small ones often, to expose races.
const SIZES: [(usize, usize); 6] =
    [(0, 5), (13, 60), (2_048, 60), (65_536, 5), (900_000, 2), (20_000_000, 1)];
/// The same for requests that are rejected for their size.
const TOO_LARGE: [(usize, usize); 2] = [(1_100_000, 5), (20_000_000, 1)];
/// The same for wrong keys, which are rate-limited.
const FEW: [(usize, usize); 6] = [(0, 1), (13, 1), (2_048, 1), (65_536, 1), (900_000, 1), (20_000_000, 1)];

/// A request that is answered without reading its body.
struct Case<'a> {
    name: &'static str,
    port: u16,
    head: String,
    /// The possible statuses, the usual one first.
    statuses: &'a [u16],
    sizes: &'a [(usize, usize)],
}

fn cases(stack: &Stack, key: &Key, events_only: &Key, limited: &Key) -> Vec<Case<'static>> {
    let (ingest, worker) = (stack.ingests[0].port(), stack.workers[0].port());
    let wrong = Key { username: "early".to_owned(), api_key: "rck_wrongwrongwrongwrongwrong".to_owned() };
    let case = |name, head, statuses| Case { name, port: ingest, head, statuses, sizes: &SIZES };
    let users = "/scim/v2/Users";
    let scim = "Content-Type: application/scim+json\r\n";
    vec![
        case("no key", head("POST", users, None) + scim, &[401]),
        Case { sizes: &FEW, ..case("a wrong key", head("POST", users, Some(&wrong)) + scim, &[401, 429]) },
        case("a key without the scope", head("POST", users, Some(events_only)) + scim, &[403]),
        case("no such path", head("POST", "/scim/v2/Nothing", Some(key)) + scim, &[404]),
        case("no such id", head("PUT", &format!("{users}/1"), Some(key)) + scim, &[404]),
        case("no such method", head("PUT", users, Some(key)) + scim, &[405]),
        case("discovery", head("POST", "/scim/v2/Schemas", Some(key)) + scim, &[405]),
        case(
            "an unsupported media type",
            head("POST", users, Some(key)) + "Content-Type: text/plain\r\n",
            &[415],
        ),
        case(
            "events with an unsupported media type",
            head("POST", "/events", Some(key)) + "Content-Type: a/b\r\n",
            &[415],
        ),
        // The limit lets some requests through, whose bodies are then read.
        case("a limited tenant", head("POST", users, Some(limited)) + scim, &[429, 400, 413]),
        case("no such endpoint", head("POST", "/scim/v2/Me", Some(key)) + scim, &[501]),
        case("GET with a body", head("GET", &format!("{users}?count=1"), Some(key)), &[200]),
        case("DELETE with a body", head("DELETE", &format!("{users}/1"), Some(key)), &[404]),
        case("an invalid link", head("POST", "/unsubscribe/x", None), &[404]),
        case("health", head("GET", "/healthz", None), &[200]),
        case("health by POST", head("POST", "/readyz", None), &[405]),
        Case { port: worker, ..case("a worker's health", head("GET", "/healthz", None), &[200]) },
        Case { port: worker, ..case("an unknown path of a worker", head("POST", "/", None), &[404]) },
        Case { sizes: &TOO_LARGE, ..case("too large", head("POST", users, Some(key)) + scim, &[413]) },
    ]
}

impl Case<'_> {
    /// Sends the request repeatedly on one connection while it stays open; returns the statuses.
    async fn run(&self, body: &[u8]) -> BTreeSet<u16> {
        let mut seen = BTreeSet::new();
        for framing in [Framing::Length, Framing::Chunked] {
            for (size, times) in self.sizes {
                let mut plain = Plain::connect(self.port).await;
                for n in 0..*times {
                    let at = format!("{} with {size} bytes, {framing:?}, the {n}th", self.name);
                    let answer = plain.exchange(&self.head, &body[..*size], framing).await;
                    let answer = answer.unwrap_or_else(|error| panic!("{at}: {error}"));
                    assert!(
                        self.statuses.contains(&answer.status),
                        "{at}: {} {}",
                        answer.status,
                        answer.text
                    );
                    seen.insert(answer.status);
                    if is_last(&answer) {
                        assert!(*size > 65_536, "{at}: the connection was closed for a small body");
                        plain.end().await.unwrap_or_else(|error| panic!("{at}: {error}"));
                        plain = Plain::connect(self.port).await;
                    }
                }
                let health = head("GET", "/healthz", None);
                let next = plain.exchange(&health, b"", Framing::Length).await;
                next.unwrap_or_else(|error| panic!("after {} with {size} bytes: {error}", self.name)).is(200);
            }
        }
        seen
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn early_answers_can_be_read_and_the_connection_stays_usable_unless_it_closes() {
    let stack = Stack::own().await;
    let (tenant, limited) = (stack.tenant("early").await, stack.tenant("early-limited").await);
    let events_only = Key::add(&stack, "early", "events").await;
    limited.set(&stack, &["requests_per_second=1"]).await;
    let body = vec![b'x'; 20_000_000];
    let began = Instant::now();
    for case in cases(&stack, &tenant.key, &events_only, &limited.key) {
        let seen = case.run(&body).await;
        assert!(seen.contains(&case.statuses[0]), "{}: {seen:?}", case.name);
    }
    println!("took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_100_continue_is_rejected_at_once() {
    let stack = Stack::shared().await;
    let key = stack.tenant("expects").await.key;
    let port = stack.ingests[0].port();
    let fields =
        "Content-Type: application/scim+json\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n";
    for (key, status) in [(None, 401), (Some(&key), 413)] {
        let (mut plain, began) = (Plain::connect(port).await, Instant::now());
        plain.write((head("POST", "/scim/v2/Users", key) + fields).as_bytes()).await.unwrap();
        let answer = plain.answer().await.unwrap().is_error(status);
        assert!(is_last(&answer), "{:?}", answer.headers);
        plain.end().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_body_does_not_delay_the_answer() {
    let stack = Stack::shared().await;
    let (mut plain, began) = (Plain::connect(stack.ingests[0].port()).await, Instant::now());
    let request = head("POST", "/scim/v2/Users", None) + "Content-Length: 1000\r\n\r\n";
    plain.write(request.as_bytes()).await.unwrap();
    assert!(is_last(&plain.answer().await.unwrap().is_error(401)));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_http_gets_a_scim_error() {
    let stack = Stack::shared().await;
    let tenant = stack.tenant("no-http").await;
    let long = |size| "x".repeat(size);
    let users = |more: &str| head("GET", "/scim/v2/Users", Some(&tenant.key)) + more + "\r\n";
    for (request, status) in [
        (head("GET", &format!("/scim/v2/Users?filter={}", long(70_000)), Some(&tenant.key)) + "\r\n", 414),
        (head("GET", &format!("/scim/v2/Users?filter={}", long(2_000_000)), Some(&tenant.key)) + "\r\n", 414),
        (users(&format!("X: {}\r\n", long(200_000))), 431),
        (users(&"X: y\r\n".repeat(300)), 431),
        (users("no colon\r\n"), 400),
        (users("Content-Length: many\r\n"), 400),
        (users("Transfer-Encoding: gzip\r\n"), 400),
        ("GET /scim/v2/Users HTTP/4.0\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        ("GET /scim/v2/Us ers HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
    ] {
        let shown: String = request.chars().take(60).collect();
        let mut plain = Plain::connect(stack.ingests[0].port()).await;
        plain.write(request.as_bytes()).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let answer: Answer = plain.answer().await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(answer.status, status, "{shown}: {}", answer.text);
        assert!(is_last(&answer.is_error(status)), "{shown}");
        plain.end().await.unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    // A long target within the limit is answered by SCIM itself.
    let filter = format!("userName%20eq%20%22{}%22", long(20_000));
    let request = raw::head("GET", &format!("/scim/v2/Users?filter={filter}"), &tenant.key) + "\r\n";
    let answer = raw::send(&stack.ingests[0], request.as_bytes()).await;
    assert!(matches!(answer.status, 200 | 400), "{}", answer.text);
}
