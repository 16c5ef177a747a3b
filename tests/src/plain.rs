//! A plain HTTP/1.1 client: it keeps its connection, writes head and body separately, and reads nothing before all is
//! sent. Many SCIM clients are no cleverer.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Answer;
use crate::tenant::Key;

/// What a chunked body is cut into, in bytes.
const CHUNK: usize = 50_000;

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By `Content-Length`.
    Length,
    /// By `Transfer-Encoding: chunked`.
    Chunked,
}

/// One connection.
pub struct Plain(BufReader<TcpStream>);

impl Plain {
    /// Connects to a port of this machine.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the service listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self(BufReader::new(stream))
    }

    /// Sends a request line with fields (each line with its end), then the body, then reads the answer.
    ///
    /// # Errors
    /// When the connection breaks before the whole request was sent, or the whole answer read.
    pub async fn exchange(&mut self, head: &str, body: &[u8], framing: Framing) -> io::Result<Answer> {
        let framed = match framing {
            Framing::Length => format!("{head}Content-Length: {}\r\n\r\n", body.len()),
            Framing::Chunked => format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
        };
        self.write(framed.as_bytes()).await?;
        match framing {
            Framing::Length => self.write(body).await?,
            Framing::Chunked => {
                for chunk in body.chunks(CHUNK) {
                    let size = format!("{:x}\r\n", chunk.len());
                    self.write(&[size.as_bytes(), chunk, b"\r\n"].concat()).await?;
                }
                self.write(b"0\r\n\r\n").await?;
            }
        }
        self.answer().await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes).await
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When the connection breaks.
    ///
    /// # Panics
    /// When the answer is not HTTP.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("ended after {head:?}")));
            }
        }
        let answer = Answer::parse(&head);
        let body = match answer.header("content-length") {
            "" if answer.header("transfer-encoding") == "chunked" => self.chunks().await?,
            "" => Vec::new(),
            length => self.bytes(length.parse().expect("the length is a number")).await?,
        };
        Ok(Answer::parse(&(head + &String::from_utf8_lossy(&body))))
    }

    /// Waits until the server has closed its side.
    ///
    /// # Errors
    /// When it resets the connection instead, or sends more.
    pub async fn end(&mut self) -> io::Result<()> {
        match self.0.read(&mut [0; 1]).await? {
            0 => Ok(()),
            _ => Err(io::Error::other("more after the last answer")),
        }
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut size = String::new();
            self.0.read_line(&mut size).await?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            let chunk = self.bytes(size + 2).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    async fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).await?;
        Ok(bytes)
    }
}

/// A request line and its fields, with credentials if there are any, on a connection that is to be kept.
#[must_use]
pub fn head(method: &str, target: &str, key: Option<&Key>) -> String {
    let credentials = key.map(|key| format!("Authorization: Bearer {}\r\n", key.api_key)).unwrap_or_default();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{credentials}")
}

/// Whether an answer says that the connection ends with it.
#[must_use]
pub fn is_last(answer: &Answer) -> bool {
    answer.header("connection").eq_ignore_ascii_case("close")
}
