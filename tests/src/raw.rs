//! Malformed requests: raw bytes over TCP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Answer;
use crate::process::Service;
use crate::tenant::Key;

/// Sends bytes and reads the response to the end. The request should contain `Connection: close`.
///
/// # Panics
/// If the response is not HTTP.
pub async fn send(service: &Service, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", service.port())).await.unwrap();
    // The server may answer and close before it has read everything; its answer still counts.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    Answer::parse(&String::from_utf8_lossy(&answer))
}

/// A request's head with credentials; the caller adds headers, a blank line and a body.
#[must_use]
pub fn head(method: &str, target: &str, key: &Key) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n",
        key.api_key
    )
}
