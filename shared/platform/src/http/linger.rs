//! Lingering close (nginx's `lingering_close`), so that the client can read its last answer. If a socket is closed
//! while data from the client is unread or still arriving, the kernel resets the connection, and the client loses what
//! it has not read yet. So we shut down our side and read until the client has closed too.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long to wait for a client that sends nothing.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// The same while there are many connections, or while the server stops.
const SHORT_SILENCE: Duration = Duration::from_secs(1);
/// Limit on lingering.
const TOTAL: Duration = Duration::from_secs(30);
/// The same while there are many connections.
const SHORT_TOTAL: Duration = Duration::from_secs(5);
/// The maximum that a client may still send, in bytes.
const MAX_BYTES: usize = 1 << 30;
/// The size of the buffer for discarded data, in bytes.
const PIECE: usize = 16 << 10;

/// Ends a connection whose last answer has been sent. It allocates nothing for the discarded data.
pub(super) async fn linger(mut stream: TcpStream, is_crowded: bool, stop: &CancellationToken) {
    // This ends the answer for the client. If it fails, the client has disconnected.
    if stream.shutdown().await.is_err() {
        return;
    }
    let (silence, total) = if is_crowded { (SHORT_SILENCE, SHORT_TOTAL) } else { (SILENCE, TOTAL) };
    let hurry = async {
        stop.cancelled().await;
        sleep(SHORT_SILENCE).await;
    };
    tokio::select! {
        () = discard(&stream, silence) => {}
        () = sleep(total) => {}
        () = hurry => {}
    }
}

/// Discards what arrives until the client closes, is silent for too long or has sent too much.
async fn discard(stream: &TcpStream, silence: Duration) {
    let mut discarded = 0;
    while discarded <= MAX_BYTES && matches!(timeout(silence, stream.readable()).await, Ok(Ok(()))) {
        match discard_piece(stream) {
            Some(bytes) => discarded += bytes,
            None => return,
        }
    }
}

/// How many bytes arrived; `None` if no more will.
fn discard_piece(stream: &TcpStream) -> Option<usize> {
    match stream.try_read(&mut [0; PIECE]) {
        Ok(0) => None,
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}
