//! Clients that send too slowly, do not read, or open too many connections; and the addresses of clients.

use std::io::ErrorKind;

use super::*;

const SHORT: Duration = Duration::from_secs(1);
/// When a cut-off client must have noticed, on a slow machine.
const SOON: Duration = Duration::from_secs(20);

fn impatient() -> Limits {
    let times = Times { silence: SHORT, body: 3 * SHORT, reading: SHORT, ..Times::default() };
    Limits { times, ..Limits::default() }
}

fn behind(proxies: &str) -> Limits {
    Limits { trusted_proxies: proxies.parse().unwrap(), ..Limits::default() }
}

/// Waits until the server has closed or reset the connection, and reads what it sends until then.
async fn closed(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut text)).await.expect("the server ends the connection");
    if let Err(error) = read {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Writes until the server reads no more, or has ended the connection.
async fn flood(stream: &mut TcpStream, request: &str) {
    let many = request.repeat(100);
    while let Ok(Ok(())) = timeout(SHORT / 2, stream.write_all(many.as_bytes())).await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_no_answers_is_cut_off() {
    let server = server_with(impatient()).await;
    let post = "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
    for request in
        ["GET /peer HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n", post]
    {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /admit HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        // It ends, although the client goes on sending.
        timeout(SOON, flood(&mut stream, request))
            .await
            .expect("the server reads a bounded number of requests");
        let cut_off = async {
            while stream.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, cut_off).await.expect("the connection is reset");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipelining_client_that_reads_gets_all_answers() {
    let server = server_with(impatient()).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    let write = async {
        writer.write_all(b"GET /admit HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        for _ in 0..3_000 {
            writer.write_all(b"GET /peer HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        }
        writer.write_all(b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    };
    let read = async {
        // By then the server is blocked.
        sleep(SHORT / 2).await;
        let mut text = String::new();
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text.matches("HTTP/1.1 200").count(), 3_002);
    };
    timeout(2 * SOON, async { tokio::join!(write, read) }).await.expect("no answer is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_pipeline_few_requests() {
    let times = Times { pace: Duration::from_millis(50), ..Times::default() };
    let server = server_with(Limits { times, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all("GET /peer HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50).as_bytes()).await.unwrap();
    let began = Instant::now();
    let text = closed(&mut stream).await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 32, "the first, and 31 pipelined ones");
    assert!(text.contains("connection: close") && began.elapsed() > Duration::from_millis(1_000), "{text}");
    // One after the other is no pipelining.
    let mut stream = server.connect().await;
    for _ in 0..100 {
        stream.write_all(b"GET /peer HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(!is_last(&answer(&mut stream).await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_ends_whoever_reads_it() {
    let server = server_with(impatient()).await;
    for path in ["/count", "/half", "/nothing"] {
        for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
            // Silent, or a byte from time to time.
            for trickles in [false, true] {
                let mut stream = server.connect().await;
                let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                let trickle = async {
                    while trickles && stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                        sleep(SHORT / 4).await;
                        if stream.try_read(&mut [0; 1]).is_ok() {
                            return true;
                        }
                    }
                    false
                };
                let is_answered = timeout(SOON, trickle).await.expect("the body is not read for ever");
                assert!(
                    is_answered || closed(&mut stream).await.starts_with("HTTP/1.1 4"),
                    "{path} {framing}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_have_few_connections_of_strangers() {
    let server = server_with(Limits { connections_per_address: 3, ..Limits::default() }).await;
    let mut known = server.connect().await;
    known.write_all(b"GET /admit HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut known).await.starts_with("HTTP/1.1 200"));
    let mut strangers = Vec::new();
    for first in
        ["", "GET /count HTTP/1.1\r\nHo", "POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx", ""]
    {
        for _ in 0..3 {
            let mut stream = server.connect().await;
            stream.write_all(first.as_bytes()).await.unwrap();
            strangers.push(stream);
        }
    }
    for stream in &mut strangers[..9] {
        closed(stream).await;
    }
    for stream in strangers[9..].iter_mut().chain([&mut known]) {
        stream.write_all(b"GET /admit HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(answer(stream).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_proxies_name_the_client() {
    let get = |fields: &str| format!("GET /peer HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let v1 = "PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\n";
    let v2 = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x00\x02\x07\x0a\x00\x02\x01\x15\x33\x01\x0b";
    let (own, forged) = ("127.0.0.1:", "X-Forwarded-For: 203.0.113.9\r\n");
    for (trusted, request, expected) in [
        (None, get(""), own),
        (None, get(forged), own),
        (Some("127.0.0.0/8"), get(""), own),
        (Some("127.0.0.0/8"), get(forged), "203.0.113.9:0"),
        (Some("127.0.0.0/8"), get("Forwarded: for=203.0.113.9\r\n"), "203.0.113.9:0"),
        (Some("127.0.0.0/8"), v1.to_owned() + &get(""), "192.0.2.7:5555"),
        // The client is no trusted proxy.
        (Some("127.0.0.0/8"), v1.to_owned() + &get(forged), "192.0.2.7:5555"),
        (Some("127.0.0.0/8,192.0.2.7"), v1.to_owned() + &get(forged), "203.0.113.9:0"),
        (Some("127.0.0.0/8"), v2.to_owned() + &get(""), "10.0.2.7:5427"),
        (Some("127.0.0.0/8"), "PROXY UNKNOWN\r\n".to_owned() + &get(""), own),
        (Some("192.0.2.0/24"), get(forged), own),
    ] {
        let server = server_with(trusted.map_or_else(Limits::default, behind)).await;
        // At once, and with the header byte by byte.
        for slowly in [0, request.len().min(60)] {
            let mut stream = server.connect().await;
            for byte in request.as_bytes()[..slowly].chunks(1) {
                stream.write_all(byte).await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.write_all(&request.as_bytes()[slowly..]).await.unwrap();
            let answer = answer(&mut stream).await;
            assert!(answer.split("\r\n\r\n").nth(1).unwrap().starts_with(expected), "{request}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_proxy_header_ends_the_connection() {
    let server = server_with(behind("127.0.0.1")).await;
    for header in ["PROXY TCP4 nobody 192.0.2.1 1 2\r\n", "\r\n\r\n\0\r\nQUIT\n\x21\x55\0\0"] {
        let mut stream = server.connect().await;
        stream.write_all(header.as_bytes()).await.unwrap();
        assert_eq!(closed(&mut stream).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_needs_no_host() {
    let server = server().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /peer HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(closed(&mut stream).await.starts_with("HTTP/1.0 200"));
}
