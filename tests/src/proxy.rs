//! A TCP proxy in front of a server, for cutting and slowing the connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Passes through.
    Whole,
    /// Each read is delayed.
    Slow(Duration),
    /// All connections are closed, including new ones.
    Cut,
}

/// The proxy; stopped with the test's runtime.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    state: Arc<watch::Sender<State>>,
}

impl Proxy {
    /// Starts a proxy for a local port.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::channel(State::Whole).0);
        let accepting = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Either end may disconnect at any time.
                tokio::spawn(connect(client, target, accepting.subscribe()));
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Delays data in both directions.
    pub fn slow(&self, delay: Duration) {
        self.state.send_replace(State::Slow(delay));
    }

    /// Passes everything through again.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn connect(mut client: TcpStream, target: u16, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let delay = state.clone();
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    tokio::select! {
        // When either direction ends, both connections are closed.
        () = pass(client_reads, server_writes, &delay) => {}
        () = pass(server_reads, client_writes, &delay) => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &watch::Receiver<State>,
) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let delay = match *state.borrow() {
            State::Slow(delay) => Some(delay),
            State::Whole | State::Cut => None,
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
