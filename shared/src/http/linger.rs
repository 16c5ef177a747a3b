//! Closing a connection so that the client can read its last answer (what nginx calls `lingering_close`). A socket that is
//! closed while bytes of the client's are unread, or still arrive, is reset by the kernel, and the client loses what it has
//! not read yet. So we say that we send no more, and go on reading until the client has closed too.
//!
//! Before it: the connection, which has sent its last answer. After it: the socket is closed.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a client may send nothing.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// The same while there are many connections, or while the server stops.
const SHORT_SILENCE: Duration = Duration::from_secs(1);
/// How long it may take in all.
const TOTAL: Duration = Duration::from_secs(30);
/// The same while there are many connections.
const SHORT_TOTAL: Duration = Duration::from_secs(5);
/// The most that a client may still send, in bytes.
const MOST: usize = 1 << 30;
/// What is thrown away at a time, in bytes.
const PIECE: usize = 16 << 10;

/// Ends a connection whose last answer has been sent. It holds no memory for what it throws away.
pub(super) async fn linger(mut stream: TcpStream, is_crowded: bool, stop: &CancellationToken) {
    // The client sees the end of the answer; if it has gone, there is nobody to wait for.
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

/// Throws away what arrives, until the client closes, falls silent or has sent too much.
async fn discard(stream: &TcpStream, silence: Duration) {
    let mut discarded = 0;
    while discarded <= MOST && matches!(timeout(silence, stream.readable()).await, Ok(Ok(()))) {
        match discard_piece(stream) {
            Some(bytes) => discarded += bytes,
            None => return,
        }
    }
}

/// How much has arrived; `None` if no more will.
fn discard_piece(stream: &TcpStream) -> Option<usize> {
    match stream.try_read(&mut [0; PIECE]) {
        Ok(0) => None,
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}
