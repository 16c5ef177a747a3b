//! A connection's socket, wrapped for hyper. It adds a body to the empty answer with which hyper rejects input that is
//! not HTTP, cuts off clients that read no answers, and returns the socket when hyper is done, so that `linger` can
//! close it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot::Sender;

use super::connections::Connection;
use super::stall::Stall;
use crate::headers::{NO_SNIFF, NO_STORE};

/// The header of hyper's answer without a body.
const NO_BODY: &str = "content-length: 0\r\n";
/// An upper bound on the head of hyper's own answers, in bytes.
const LONGEST: usize = 512;

/// Describes why a request cannot be read: a media type and a body.
pub type Unreadable = fn(Fault) -> (&'static str, String);

/// Why a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not valid HTTP/1.1.
    NotHttp,
    /// It has no `Host`, several, or an invalid one.
    Host,
    /// The URI is too long.
    UriTooLong,
    /// The header fields are too large, or too many.
    HeaderTooLarge,
}

/// The socket of one connection.
pub(super) struct Wire {
    /// `Some` until this is dropped.
    stream: Option<TcpStream>,
    back: Option<Sender<TcpStream>>,
    unreadable: Unreadable,
    /// Whether a line has ended since the last answer, at least the request line.
    line_has_ended: bool,
    instead: Option<Instead>,
    /// What was read before hyper reads.
    prefix: Vec<u8>,
    stall: Stall,
    connection: Connection,
}

/// Our answer, which replaces hyper's.
struct Instead {
    text: Vec<u8>,
    written: usize,
    /// The length of hyper's answer.
    replaced: usize,
}

impl Fault {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotHttp | Self::Host => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

impl Wire {
    /// Wraps a socket, which is sent to `back` when hyper is done, unless the client was cut off. `prefix` has been
    /// read from it already.
    pub(super) fn new(
        stream: TcpStream,
        prefix: Vec<u8>,
        unreadable: Unreadable,
        stall: Stall,
        connection: Connection,
        back: Sender<TcpStream>,
    ) -> Self {
        let (stream, back) = (Some(stream), Some(back));
        Self { stream, back, unreadable, line_has_ended: false, instead: None, prefix, stall, connection }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("it is taken when this is dropped"))
    }

    /// Inspects what is about to be written, and replaces hyper's own answer with ours.
    fn replace(&mut self, pieces: &[IoSlice<'_>]) {
        let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
        if let (Some(head), None) = (filled.next(), filled.next())
            && let Some(text) = with_body(head, self.line_has_ended, self.unreadable)
        {
            self.instead = Some(Instead { text, written: 0, replaced: head.len() });
        }
        self.line_has_ended = false;
    }

    /// Writes our answer to its end, then reports hyper's own as written.
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(mut instead) = self.instead.take() else { return Poll::Ready(Ok(0)) };
        while instead.written < instead.text.len() {
            match self.stream().poll_write(context, &instead.text[instead.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => instead.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.instead = Some(instead);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(instead.replaced))
    }

    /// Reads what was read before.
    fn take_prefix(&mut self, buffer: &mut ReadBuf<'_>) {
        let taken = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..taken]);
        self.prefix.drain(..taken);
        if self.prefix.is_empty() {
            self.prefix = Vec::new();
        }
    }
}

/// Hyper's head of an empty answer to input that is not HTTP, with our body; `None` for anything else. Our own answers
/// with these statuses have a body. Hyper writes its own in a single piece, because nothing is pending when it reads a
/// head.
fn with_body(head: &[u8], line_has_ended: bool, unreadable: Unreadable) -> Option<Vec<u8>> {
    if head.len() > LONGEST || !head.ends_with(b"\r\n\r\n") {
        return None;
    }
    let (line, fields) = str::from_utf8(head).ok()?.split_once("\r\n")?;
    let (version, rest) = line.split_once(' ')?;
    let status = StatusCode::from_bytes(rest.get(..3)?.as_bytes()).ok()?;
    let fault = match status {
        // The buffer was full before the first line ended: the URI is too long.
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if !line_has_ended => Fault::UriTooLong,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Fault::HeaderTooLarge,
        StatusCode::URI_TOO_LONG => Fault::UriTooLong,
        StatusCode::BAD_REQUEST => Fault::NotHttp,
        _ => return None,
    };
    if !version.starts_with("HTTP/1.") || !fields.contains(NO_BODY) {
        return None;
    }
    let (media_type, body) = unreadable(fault);
    let status = fault.status();
    let described = format!(
        "content-type: {media_type}\r\ncontent-length: {}\r\ncache-control: {NO_STORE}\r\nx-content-type-options: {NO_SNIFF}\r\n",
        body.len()
    );
    // The status is printed with its reason phrase.
    Some(format!("{version} {status}\r\n{}{body}", fields.replacen(NO_BODY, &described, 1)).into_bytes())
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Otherwise pipelined requests would be handled, and their answers buffered, without end.
        if this.stall.blocks_reading() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if this.prefix.is_empty() {
            let read = this.stream().poll_read(context, buffer);
            if read.is_pending() {
                this.connection.has_no_input();
            }
            ready!(read)?;
        } else {
            this.take_prefix(buffer);
        }
        this.connection.pipelining().set_has_read(true);
        this.line_has_ended = this.line_has_ended || buffer.filled()[before..].contains(&b'\n');
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(piece)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.instead.is_none() {
            this.replace(pieces);
        }
        let written = if this.instead.is_some() {
            this.poll_instead(context)
        } else {
            this.stream().poll_write_vectored(context, pieces)
        };
        this.connection.pipelining().set_has_read(false);
        if written.is_pending() {
            this.connection.has_no_output();
        }
        let offered = pieces.iter().map(|piece| piece.len()).sum();
        this.stall.check(context, written, offered)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.stream().poll_flush(context))?;
        // Hyper does this once all of an answer so far is written.
        this.connection.has_no_output();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_shutdown(context)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        if self.stall.has_cut_off() {
            // The kernel would keep what the client does not read.
            let _ = stream.set_zero_linger();
        } else if let Some(back) = self.back.take() {
            // Fails if the process is ending.
            let _ = back.send(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(head: &str, line_has_ended: bool) -> Option<String> {
        let say = |fault: Fault| ("text/plain", format!("said {}", fault.status().as_u16()));
        with_body(head.as_bytes(), line_has_ended, say).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn empty_answers_of_hyper_get_a_body() {
        let head = |status: &str| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: today\r\n\r\n")
        };
        for (given, line_has_ended, status, code) in [
            ("400 Bad Request", true, "400 Bad Request", 400),
            ("414 URI Too Long", true, "414 URI Too Long", 414),
            ("431 Request Header Fields Too Large", true, "431 Request Header Fields Too Large", 431),
            ("431 Request Header Fields Too Large", false, "414 URI Too Long", 414),
        ] {
            let expected = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 8\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\ndate: today\r\n\r\nsaid {code}"
            );
            assert_eq!(replaced(&head(given), line_has_ended), Some(expected), "{given}");
        }
    }

    #[test]
    fn other_answers_are_unchanged() {
        for head in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nmore",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 4\r\n\r\n",
        ] {
            assert_eq!(replaced(head, true), None, "{head:?}");
        }
    }
}
