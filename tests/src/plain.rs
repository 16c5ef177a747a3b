//! A minimal HTTP/1.1 client: keeps its connection, writes head and body separately, and reads nothing until everything
//! is sent, like many SCIM clients.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Answer;
use crate::tenant::Key;

/// The chunk size of a chunked body, in bytes.
const CHUNK: usize = 50_000;

/// How a body is framed.
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
    /// Connects to a local port.
    ///
    /// # Panics
    /// If nothing listens there.
    pub async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the service listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self(BufReader::new(stream))
    }

    /// Sends the head (each line with CRLF), then the body, and reads the response.
    ///
    /// # Errors
    /// If the connection breaks before the exchange is complete.
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

    /// Reads a response.
    ///
    /// # Errors
    /// When the connection breaks.
    ///
    /// # Panics
    /// If the response is not HTTP.
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

    /// Waits until the server closes the connection.
    ///
    /// # Errors
    /// If the server resets the connection, or sends more.
    pub async fn end(&mut self) -> io::Result<()> {
        match self.0.read(&mut [0; 1]).await? {
            0 => Ok(()),
            _ => Err(io::Error::other("data after the last response")),
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

/// A request line and header fields, with optional credentials, for a persistent connection.
#[must_use]
pub fn head(method: &str, target: &str, key: Option<&Key>) -> String {
    let credentials = key.map(|key| format!("Authorization: Bearer {}\r\n", key.api_key)).unwrap_or_default();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{credentials}")
}

/// Whether the response announces the end of the connection.
#[must_use]
pub fn is_last(answer: &Answer) -> bool {
    answer.header("connection").eq_ignore_ascii_case("close")
}
