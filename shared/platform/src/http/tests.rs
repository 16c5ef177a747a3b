//! Answers before the request was read, to a client that sends all of it first; and closing connections.

mod strangers;

use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

/// A server that counts what is posted to `/count`, reads half of what is posted to `/half`, says who asks at `/peer`
/// and admits whoever asks for `/admit`. It has no other route.
struct Server {
    port: u16,
    stop: CancellationToken,
    done: JoinHandle<()>,
}

async fn server() -> Server {
    server_with(Limits::default()).await
}

async fn server_with(limits: Limits) -> Server {
    let half = async |request: axum::extract::Request| {
        let mut body = request.into_body().into_data_stream();
        let _ = futures_util::StreamExt::next(&mut body).await;
        StatusCode::PAYLOAD_TOO_LARGE
    };
    let count = async |body: Bytes| body.len().to_string();
    let peer = async |Extension(Peer(address)): Extension<Peer>| address.to_string();
    let admit = async |Extension(connection): Extension<Connection>| connection.mark_known();
    let router = Router::new()
        .route("/count", post(count))
        .route("/half", post(half))
        .route("/peer", get(peer))
        .route("/admit", get(admit));
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let (port, stop) = (listener.local_addr().unwrap().port(), CancellationToken::new());
    let stopping = Stopping { leaving: stop.clone(), stop: stop.clone() };
    let unreadable = |fault: Fault| ("text/plain", format!("unreadable: {}", fault.status().as_u16()));
    let done = tokio::spawn(serve(listener, router, unreadable, limits, stopping, Duration::from_secs(20)));
    Server { port, stop, done }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        without_delay(stream)
    }
}

/// Sends the head and then the whole body before anything is read.
async fn post_to(stream: &mut TcpStream, path: &str, size: usize, is_chunked: bool) {
    let length =
        if is_chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {size}") };
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let body = vec![b'x'; size];
    if is_chunked {
        for chunk in body.chunks(60_000) {
            let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
            stream.write_all(&framed).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    } else {
        stream.write_all(&body).await.unwrap();
    }
}

/// The next answer, which has a length.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(
            stream.read_u8().await.unwrap_or_else(|error| panic!("{error} after {text:?}")),
        ));
    }
    let length = text.split("content-length: ").nth(1).map_or("0", |rest| rest.lines().next().unwrap());
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    text + &String::from_utf8(body).unwrap()
}

/// Expects the server to close without a reset.
async fn end(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
}

fn is_last(answer: &str) -> bool {
    answer.contains("connection: close\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_stays_open_after_an_early_answer() {
    let server = server().await;
    for (size, times) in [(0, 5), (13, 60), (2_048, 60), (65_536, 10), (900_000, 2)] {
        for is_chunked in [false, true] {
            let mut stream = server.connect().await;
            for _ in 0..times {
                for (path, status) in [("/nothing", "404"), ("/half", "413"), ("/count", "200")] {
                    post_to(&mut stream, path, size, is_chunked).await;
                    let answer = answer(&mut stream).await;
                    let at = format!("{path} {size} {is_chunked}: {answer}");
                    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{at}");
                    assert!(!is_last(&answer), "{at}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_an_oversized_body_can_be_read_and_closes_the_connection() {
    let server = server().await;
    for is_chunked in [false, true] {
        for (path, status) in [("/nothing", "404"), ("/half", "413")] {
            let mut stream = server.connect().await;
            post_to(&mut stream, path, 20_000_000, is_chunked).await;
            let answer = answer(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && is_last(&answer), "{answer}");
            end(&mut stream).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_100_continue_is_answered_at_once() {
    let server = server().await;
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    };
    let (mut stream, began) = (server.connect().await, Instant::now());
    stream.write_all(head("/nothing").as_bytes()).await.unwrap();
    let refused = answer(&mut stream).await;
    assert!(refused.starts_with("HTTP/1.1 404") && is_last(&refused), "{refused}");
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    // The client may still send its body.
    stream.write_all(b"hello").await.unwrap();
    end(&mut stream).await;

    let mut stream = server.connect().await;
    stream.write_all(head("/count").as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"hello").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("\r\n\r\n5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_body_delays_the_answer_only_briefly() {
    let server = server().await;
    let wait = async |framing: &str| {
        let (mut stream, began) = (server.connect().await, Instant::now());
        let head = format!("POST /nothing HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 404") && is_last(&answer), "{answer}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        // The wait is bounded: what a client sends after such a silence is reset.
        tokio::time::sleep(linger::SILENCE + Duration::from_secs(1)).await;
        let reset = tokio::time::timeout(Duration::from_secs(2), async {
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        reset.await.expect("the server has closed");
    };
    tokio::join!(wait("Content-Length: 100"), wait("Transfer-Encoding: chunked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_broken_body_closes_the_connection() {
    let server = server().await;
    let mut stream = server.connect().await;
    let request = "POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400") && is_last(&answer), "{answer}");
    end(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_is_not_http_gets_an_error_body() {
    let server = server().await;
    let long = |size| "x".repeat(size);
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nx: \0\r\n\r\n".to_owned(), 400),
        ("GET /peer HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /nothing HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("POST /count HTTP/1.1\r\nHost: x/y\r\nContent-Length: 9\r\n\r\n".to_owned(), 400),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /peer HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", long(70_000)), 414),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", long(3_000_000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nx: {}\r\n\r\n", long(300_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nx: {}\r\n\r\n", long(3_000_000)), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(200)), 431),
    ] {
        let shown: String = request.chars().take(60).collect();
        // Alone, and after a valid request.
        for is_first in [true, false] {
            let mut stream = server.connect().await;
            if !is_first {
                post_to(&mut stream, "/count", 5, false).await;
                answer(&mut stream).await;
            }
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = answer(&mut stream).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && is_last(&answer),
                "{shown}: {answer}"
            );
            assert!(answer.ends_with(&format!("\r\n\r\nunreadable: {status}")), "{shown}: {answer}");
            end(&mut stream).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_close_does_not_delay_shutdown() {
    let server = server().await;
    let (mut busy, mut idle) = (server.connect().await, server.connect().await);
    post_to(&mut idle, "/count", 1, false).await;
    answer(&mut idle).await;
    post_to(&mut busy, "/nothing", 5_000_000, false).await;
    assert!(is_last(&answer(&mut busy).await));
    let began = Instant::now();
    server.stop.cancel();
    server.done.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    end(&mut idle).await;
}
