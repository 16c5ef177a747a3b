//! Opens connections, over TCP with or without TLS or over a Unix socket, each with its session's limits; cancels what
//! runs on one; and opens connections that receive notifications.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::PathBuf;
use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::MapOk;
use futures_util::{StreamExt, TryFutureExt, stream};
use platform::plaintext::{is_loopback, is_this_machine};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, CancelToken, Client, Notification, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::limits::Limits;
use super::sqlstate::Marked;

/// Limit on waiting for a connection, free or new.
pub(super) const WAIT: Duration = Duration::from_secs(5);

/// Session settings. A process that is paused within a transaction must not hold its locks for longer than the
/// timeout. JIT compilation takes longer than any of our queries should, and a report must not take more than one core
/// from other requests.
const SESSION: &str =
    "set idle_in_transaction_session_timeout = '15s'; set jit = off; set max_parallel_workers_per_gather = 0";

/// The problem with a URL that would be unencrypted without anybody having asked for it.
const TLS_IS_OPEN: &str = "names a server on another machine without requiring TLS: append sslmode=verify-full (TLS, \
    with its certificate checked), or sslmode=disable to send the password and all data unencrypted";
/// The maximum number of notifications that wait to be received.
const NOTIFICATIONS: usize = 1_024;

/// Opens connections to one database.
#[derive(Clone)]
pub(super) struct Connector {
    config: tokio_postgres::Config,
    way: Way,
    limits: Limits,
}

#[derive(Clone)]
enum Way {
    Plain,
    Tls(MakeRustlsConnect),
    Unix(PathBuf),
}

impl Connector {
    /// # Errors
    /// When the URL is not a valid PostgreSQL URL, names another machine without an `sslmode`, or no TLS root
    /// certificate can be read.
    pub(super) fn new(url: &str, limits: Limits) -> Result<Self, String> {
        // `verify-full` is libpq's name for our behaviour whenever TLS is requested.
        let url = url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        // The parser's own message may contain the password.
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|_| "is not a PostgreSQL URL".to_owned())?;
        config
            .connect_timeout(WAIT)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(30));
        if config.get_application_name().is_none() {
            config.application_name("rollcall");
        }
        if config.get_hosts().is_empty() {
            // tokio-postgres does not allow TLS to a host without a name.
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        if leaves_tls_open(&config) {
            return Err(TLS_IS_OPEN.to_owned());
        }
        let way = if let Some(socket) = unix_socket(&config)? {
            Way::Unix(socket)
        } else if config.get_ssl_mode() == SslMode::Require {
            Way::Tls(MakeRustlsConnect::new(platform::tls::client()?))
        } else {
            Way::Plain
        };
        if !matches!(way, Way::Tls(_)) {
            // To tokio-postgres, `Plain` is a TLS that starts without negotiation.
            config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        }
        Ok(Self { config, way, limits })
    }

    /// The same with other limits.
    pub(super) fn with(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// A new connection, with its session's limits set.
    pub(super) async fn connect(&self) -> Result<AsyncPgConnection, ConnectionError> {
        let bad = |e: tokio_postgres::Error| ConnectionError::BadConnection(cause(&e));
        let mut connection = match &self.way {
            Way::Plain => {
                let (client, connection) = self.config.connect(Plain).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await?
            }
            Way::Tls(tls) => {
                let (client, connection) = self.config.connect(Marking(tls.clone())).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await?
            }
            Way::Unix(socket) => {
                let socket = UnixStream::connect(socket).await;
                let socket = socket.map_err(|e| ConnectionError::BadConnection(e.to_string()))?;
                let (client, connection) = self.config.connect_raw(socket, Plain).await.map_err(bad)?;
                // The task ends with the client, whose next statement reports why the connection broke.
                tokio::spawn(connection);
                AsyncPgConnection::try_from(client).await?
            }
        };
        let session = format!("{SESSION}; {}", self.limits.of_session());
        connection.batch_execute(&session).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }

    /// A new connection and the notifications that it receives, which end when it breaks. It is not set up further.
    pub(super) async fn connect_notified(&self) -> Result<(Client, mpsc::Receiver<Notification>), String> {
        match &self.way {
            Way::Plain => {
                let (client, connection) = self.config.connect(Plain).await.map_err(|e| cause(&e))?;
                Ok((client, notifications(connection)))
            }
            Way::Tls(tls) => {
                let connecting = self.config.connect(Marking(tls.clone()));
                let (client, connection) = connecting.await.map_err(|e| cause(&e))?;
                Ok((client, notifications(connection)))
            }
            Way::Unix(socket) => {
                let socket = UnixStream::connect(socket).await.map_err(|e| e.to_string())?;
                let connecting = self.config.connect_raw(socket, Plain);
                let (client, connection) = connecting.await.map_err(|e| cause(&e))?;
                Ok((client, notifications(connection)))
            }
        }
    }

    /// Cancels what runs on a connection, in the server.
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), String> {
        let cancelled = match &self.way {
            Way::Plain => token.cancel_query(Plain).await,
            Way::Tls(tls) => token.cancel_query(Marking(tls.clone())).await,
            Way::Unix(socket) => {
                let socket = UnixStream::connect(socket).await.map_err(|e| e.to_string())?;
                token.cancel_query_raw(socket, Plain).await
            }
        };
        cancelled.map_err(|e| e.to_string())
    }
}

/// Checks a URL, also as `Connector::new` does.
///
/// # Errors
/// As `Connector::new`.
pub fn check_url(url: &str) -> Result<(), String> {
    Connector::new(url, Limits::NONE).map(drop)
}

/// Whether the URL names another machine, but neither requires nor disables TLS.
fn leaves_tls_open(config: &tokio_postgres::Config) -> bool {
    // If there are addresses, the names only serve to check certificates.
    let elsewhere = match config.get_hostaddrs() {
        [] => config.get_hosts().iter().any(|host| match host {
            Host::Tcp(name) => !is_this_machine(name.trim_matches(['[', ']'])),
            Host::Unix(_) => false,
        }),
        addresses => addresses.iter().any(|address| !is_loopback(*address)),
    };
    elsewhere && !matches!(config.get_ssl_mode(), SslMode::Require | SslMode::Disable)
}

/// Drives a connection until its client is dropped or it breaks, and passes its notifications on.
fn notifications<S, T>(mut connection: tokio_postgres::Connection<S, T>) -> mpsc::Receiver<Notification>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, received) = mpsc::channel(NOTIFICATIONS);
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(notification) = message
                && sender.send(notification).await.is_err()
            {
                return;
            }
        }
    });
    received
}

/// The message of the socket or the server. It contains no password.
pub(super) fn cause(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// The path of the socket, if the URL names a socket directory.
fn unix_socket(config: &tokio_postgres::Config) -> Result<Option<PathBuf>, String> {
    let is_unix = |host: &Host| matches!(host, Host::Unix(_));
    match config.get_hosts() {
        [Host::Unix(folder)] if config.get_hostaddrs().is_empty() => {
            let port = config.get_ports().first().copied().unwrap_or(5432);
            Ok(Some(folder.join(format!(".s.PGSQL.{port}"))))
        }
        hosts if hosts.iter().any(is_unix) => {
            Err("names a Unix socket directory and other hosts: use one or the other".to_owned())
        }
        _ => Ok(None),
    }
}

/// No TLS.
#[derive(Clone, Copy)]
struct Plain;

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> MakeTlsConnect<S> for Plain {
    type Stream = Marked<S>;
    type TlsConnect = Self;
    type Error = Infallible;

    fn make_tls_connect(&mut self, _host: &str) -> Result<Self, Infallible> {
        Ok(*self)
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> TlsConnect<S> for Plain {
    type Stream = Marked<S>;
    type Error = Infallible;
    type Future = Ready<Result<Marked<S>, Infallible>>;

    fn connect(self, stream: S) -> Self::Future {
        ready(Ok(Marked::plain(stream)))
    }
}

/// Another TLS implementation, with its stream [`Marked`].
struct Marking<T>(T);

impl<T: MakeTlsConnect<Socket>> MakeTlsConnect<Socket> for Marking<T> {
    type Stream = Marked<T::Stream>;
    type TlsConnect = Marking<T::TlsConnect>;
    type Error = T::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, T::Error> {
        self.0.make_tls_connect(host).map(Marking)
    }
}

impl<S, T: TlsConnect<S>> TlsConnect<S> for Marking<T> {
    type Stream = Marked<T::Stream>;
    type Error = T::Error;
    type Future = MapOk<T::Future, fn(T::Stream) -> Marked<T::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        self.0.connect(stream).map_ok(Marked::tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_another_machine_needs_an_sslmode() {
        for (url, passes) in [
            ("postgres://me:secret@127.0.0.1:5432/x", true),
            ("postgres://me:secret@localhost/x?sslmode=prefer", true),
            ("postgres://me:secret@[::1]/x", true),
            ("postgres:///x?host=/run/postgresql", true),
            ("postgres://me:secret@%2Frun%2Fpostgresql/x", true),
            ("postgres://me:secret@db.example/x", false),
            ("postgres://me:secret@db.example/x?sslmode=prefer", false),
            ("postgres://me:secret@db.example/x?sslmode=disable", true),
            ("postgres://me:secret@10.0.0.7/x?application_name=y", false),
            ("postgres://me:secret@localhost,db.example/x", false),
            ("postgres://me:secret@localhost/x?hostaddr=10.0.0.7", false),
            ("postgres://me:secret@db.example/x?hostaddr=127.0.0.1", true),
        ] {
            let checked = check_url(url);
            assert_eq!(checked.is_ok(), passes, "{url}: {checked:?}");
            if let Err(said) = checked {
                assert!(said.contains("sslmode=verify-full") && !said.contains("secret"), "{url}: {said}");
            }
        }
    }

    #[test]
    fn every_form_of_required_tls_is_accepted_for_another_machine() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let config: Result<_, String> = check_url(&format!("postgres://db.example/x?sslmode={mode}"));
            // A machine without root certificates says so.
            assert!(
                config.as_ref().is_ok() || config.as_ref().is_err_and(|said| said.contains("root")),
                "{config:?}"
            );
        }
    }
}
