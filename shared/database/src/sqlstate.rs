//! Keeps the SQLSTATE of every error, which diesel-async drops.
//!
//! diesel-async 0.9 distinguishes eight SQLSTATEs and reports every other error as `Unknown`. Of the fields that the
//! server sends, it drops only the code. So [`Marked`], the stream between the server and tokio-postgres, copies the
//! code of each `ErrorResponse` into the hint, which diesel-async passes on. This is exact for each statement, also
//! when several are pipelined. All other data passes through unchanged. [`super::Error`] classifies errors by [`of`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use diesel::result::DatabaseErrorInformation;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

/// The prefix of the code in the hint.
const MARK: &str = "SQLSTATE ";
/// The tag of an `ErrorResponse`.
const ERROR: u8 = b'E';
/// The bytes of a message's tag and length.
const HEADER: usize = 5;
/// A longer error passes through unmarked; PostgreSQL sends none that long.
const MAX: usize = 1 << 20;

/// The SQLSTATE of an error that came through a [`Marked`] stream.
pub(super) fn of(error: &dyn DatabaseErrorInformation) -> Option<&str> {
    error.hint()?.strip_prefix(MARK)
}

/// A connection's stream whose errors carry their SQLSTATE in the hint.
pub(super) struct Marked<S> {
    stream: S,
    binding: fn(&S) -> ChannelBinding,
    scan: Scan,
    /// An incomplete error, and the data after it.
    held: Vec<u8>,
    /// Data that can be read.
    ready: Vec<u8>,
}

impl<S> Marked<S> {
    /// Wraps a stream without TLS.
    pub(super) fn plain(stream: S) -> Self {
        Self::new(stream, |_| ChannelBinding::none())
    }

    /// Wraps a stream with TLS.
    pub(super) fn tls(stream: S) -> Self
    where
        S: TlsStream,
    {
        Self::new(stream, S::channel_binding)
    }

    fn new(stream: S, binding: fn(&S) -> ChannelBinding) -> Self {
        Self { stream, binding, scan: Scan::Tag, held: Vec::new(), ready: Vec::new() }
    }

    /// Moves held data to `ready`, as far as its errors are complete.
    fn release(&mut self) {
        while let Some(whole) = whole(&self.held) {
            let after = self.held.split_off(whole);
            let error = std::mem::replace(&mut self.held, after);
            if whole == HEADER {
                // Too long to be held: its body passes through.
                self.scan = Scan::body(&error[1..]);
                self.ready.extend(error);
            } else {
                self.ready.extend(marked(error));
            }
            let passed = self.scan.before_error(&self.held);
            self.ready.extend(self.held.drain(..passed));
        }
    }
}

/// The stream's position in the server's messages.
enum Scan {
    /// Before a message.
    Tag,
    /// Within its length; these bytes of it have been read.
    Length(Vec<u8>),
    /// Within its body; this many bytes are left.
    Body(usize),
}

impl Scan {
    /// After a message's length.
    fn body(length: &[u8]) -> Self {
        let length = length.try_into().map_or(0, u32::from_be_bytes);
        // The length includes itself.
        match usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(4) {
            0 => Self::Tag,
            left => Self::Body(left),
        }
    }

    /// How many of these bytes precede the next error.
    fn before_error(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match self {
                Self::Tag if bytes[at] == ERROR => return at,
                Self::Tag => {
                    *self = Self::Length(Vec::with_capacity(4));
                    at += 1;
                }
                Self::Length(read) => {
                    read.push(bytes[at]);
                    at += 1;
                    if read.len() == 4 {
                        *self = Self::body(read);
                    }
                }
                Self::Body(left) => {
                    let passed = (*left).min(bytes.len() - at);
                    at += passed;
                    *left -= passed;
                    if *left == 0 {
                        *self = Self::Tag;
                    }
                }
            }
        }
        at
    }
}

/// The length of the error at the start of these bytes, including its header, if it is complete; the length of the
/// header if the error is too long to be held.
fn whole(held: &[u8]) -> Option<usize> {
    let length = held.get(1..HEADER)?.try_into().map(u32::from_be_bytes).ok()?;
    let whole = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
    if !(HEADER..=MAX).contains(&whole) {
        return Some(HEADER);
    }
    (held.len() >= whole).then_some(whole)
}

/// Adds a hint with the SQLSTATE to an `ErrorResponse`. The last hint counts.
fn marked(mut error: Vec<u8>) -> Vec<u8> {
    let Some(code) = code(&error[HEADER..]) else { return error };
    let field = format!("H{MARK}{code}\0");
    error.pop();
    error.extend(field.as_bytes());
    error.push(0);
    if let Ok(length) = u32::try_from(error.len() - 1) {
        error[1..HEADER].copy_from_slice(&length.to_be_bytes());
    }
    error
}

/// The field `C` of an error's body. Each field is a tag and a zero-terminated text; a zero ends the body.
fn code(body: &[u8]) -> Option<String> {
    let mut fields = body.strip_suffix(&[0])?.split_inclusive(|byte| *byte == 0);
    let code = fields.find_map(|field| field.strip_prefix(b"C")?.strip_suffix(&[0]))?;
    let is_code = code.len() == 5 && code.iter().all(u8::is_ascii_alphanumeric);
    is_code.then(|| String::from_utf8_lossy(code).into_owned())
}

impl<S: AsyncRead + Unpin> AsyncRead for Marked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.release();
            if !this.ready.is_empty() {
                let length = this.ready.len().min(buffer.remaining());
                buffer.put_slice(&this.ready[..length]);
                this.ready.drain(..length);
                return Poll::Ready(Ok(()));
            }
            if this.held.is_empty() {
                let before = buffer.filled().len();
                ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                let new = &buffer.filled()[before..];
                let passed = this.scan.before_error(new);
                this.held.extend(&new[passed..]);
                buffer.set_filled(before + passed);
                if this.held.is_empty() || passed > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let mut chunk = [0; 1024];
                let mut more = ReadBuf::new(&mut chunk);
                ready!(Pin::new(&mut this.stream).poll_read(context, &mut more))?;
                if more.filled().is_empty() {
                    // The stream ended within an error.
                    return Poll::Ready(Ok(()));
                }
                this.held.extend(more.filled());
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Marked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Marked<S> {
    fn channel_binding(&self) -> ChannelBinding {
        (self.binding)(&self.stream)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    /// Reads a server's bytes that arrive in pieces of this size.
    async fn read(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (server, client) = tokio::io::duplex(piece);
        let bytes = bytes.to_vec();
        let sent = async move {
            let mut server = server;
            tokio::io::AsyncWriteExt::write_all(&mut server, &bytes).await.unwrap();
        };
        let mut read = Vec::new();
        let mut stream = Marked::plain(client);
        let (_, all) = tokio::join!(sent, stream.read_to_end(&mut read));
        all.unwrap();
        read
    }

    #[tokio::test]
    async fn errors_get_their_code_as_a_hint_and_other_data_passes_through() {
        let error = |fields: &str| message(b'E', format!("{fields}\0").as_bytes());
        let (notice, row) = (message(b'N', b"SNOTICE\0C00000\0\0"), message(b'D', b"ECE40P01\0"));
        let empty = message(b'I', b"");
        let deadlock = "SERROR\0C40P01\0Mdeadlock detected\0";
        let with_hint = "SERROR\0C55P03\0Mlock\0Htry again\0";
        let sent = [
            notice.clone(),
            row.clone(),
            error(deadlock),
            empty.clone(),
            error(with_hint),
            error("SERROR\0Mno code\0"),
            error("C4\0"),
            message(b'E', b""),
            row.clone(),
        ]
        .concat();
        let expected = [
            notice,
            row.clone(),
            error(&format!("{deadlock}HSQLSTATE 40P01\0")),
            empty,
            error(&format!("{with_hint}HSQLSTATE 55P03\0")),
            error("SERROR\0Mno code\0"),
            error("C4\0"),
            message(b'E', b""),
            row,
        ]
        .concat();
        for piece in [1, 2, 3, 5, 7, 64, 4096] {
            assert_eq!(read(&sent, piece).await, expected, "in pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn an_overlong_error_passes_through_and_a_truncated_error_ends_the_stream() {
        let long = message(b'E', &[b"C40P01\0M".to_vec(), vec![b'x'; MAX], vec![0, 0]].concat());
        let after = message(b'Z', b"I");
        assert_eq!(read(&[long.clone(), after.clone()].concat(), 8192).await, [long, after.clone()].concat());
        let cut = message(b'E', b"SFATAL\0C57P01\0\0");
        assert_eq!(read(&[after.clone(), cut[..10].to_vec()].concat(), 4).await, after);
    }
}
