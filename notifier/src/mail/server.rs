//! A mail server, as its URL names it, and the connections to it that wait to be used again. Before it: [`super::smtp`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a connection waits to be used again.
const IDLE: Duration = Duration::from_secs(60);
/// The most connections that wait.
const MOST: usize = 8;
/// How long taking leave may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Mail submission over TLS (RFC 8314), mail submission (RFC 6409), SMTP.
const PORTS: (u16, u16, u16) = (465, 587, 25);

/// A mail server.
pub struct Server {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    hello: ClientId,
}

impl Server {
    /// The server of a URL.
    ///
    /// # Errors
    /// Says what is wrong with the URL, and repeats nothing of it.
    pub fn of(url: &url::Url) -> Result<Self, String> {
        let wrong =
            || "must be like smtp://user:password@host:587?tls=required or smtps://host:465".to_owned();
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        let parameters = || TlsParameters::new(host.clone()).map_err(|_| wrong());
        let tls = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
        let (tls, port) = match (url.scheme(), tls.as_deref()) {
            ("smtps", _) => (Tls::Wrapper(parameters()?), PORTS.0),
            ("smtp", Some("required")) => (Tls::Required(parameters()?), PORTS.1),
            ("smtp", Some("opportunistic")) => (Tls::Opportunistic(parameters()?), PORTS.1),
            ("smtp", None) => (Tls::None, PORTS.2),
            _ => return Err(wrong()),
        };
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(Into::into);
        let credentials = match url.password() {
            None => None,
            Some(password) => {
                let name: String = decoded(url.username()).map_err(|_| wrong())?;
                Some(Credentials::new(name, decoded(password).map_err(|_| wrong())?))
            }
        };
        if credentials.is_some() && matches!(tls, Tls::None) && !is_loopback(url) {
            return Err("would send the password unencrypted: add ?tls=required, or use smtps".to_owned());
        }
        let path = url.path().trim_matches('/');
        let hello = if path.is_empty() { ClientId::default() } else { ClientId::Domain(path.to_owned()) };
        Ok(Self { host, port: url.port().unwrap_or(port), tls, credentials, hello })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let wrapper = if let Tls::Wrapper(parameters) = &self.tls { Some(parameters.clone()) } else { None };
        let server = (self.host.trim_matches(['[', ']']), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT), &self.hello, wrapper, None).await?;
        match &self.tls {
            Tls::Required(parameters) => connection.starttls(parameters.clone(), &self.hello).await?,
            Tls::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters.clone(), &self.hello).await?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

/// Whether a URL names this machine.
#[must_use]
pub fn is_loopback(url: &url::Url) -> bool {
    // A scheme that the standard does not know has its IPv4 addresses as domains.
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

/// Connections to a server.
pub struct Connections {
    server: Server,
    idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self { server, idle: Mutex::default() }
    }

    /// One that waited and still stands, or a new one.
    ///
    /// # Errors
    /// When none can be made.
    pub async fn get(&self) -> Result<AsyncSmtpConnection, Error> {
        loop {
            let Some((since, mut connection)) = self.idle().pop() else { return self.server.connect().await };
            if since.elapsed() < IDLE && connection.test_connected().await {
                return Ok(connection);
            }
            Self::close(connection);
        }
    }

    /// Keeps one, after a mail that was taken, to be used again.
    pub fn put_back(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle();
        if idle.len() < MOST {
            idle.push((Instant::now(), connection));
        } else {
            drop(idle);
            Self::close(connection);
        }
    }

    /// Takes leave of one, for which nobody waits.
    pub fn close(mut connection: AsyncSmtpConnection) {
        tokio::spawn(async move {
            // A server that is gone does not hear it.
            let _ = tokio::time::timeout(GOODBYE, connection.abort()).await;
        });
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, AsyncSmtpConnection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Result<Server, String> {
        Server::of(&url::Url::parse(url).unwrap())
    }

    #[test]
    fn urls_are_refused_without_being_repeated() {
        for url in [
            "smtp://me:secret@mail.example:587?tls=maybe",
            "http://me:secret@mail.example",
            "smtp://me:secret@mail.example",
        ] {
            let complaint = server(url).err().unwrap();
            assert!(!complaint.contains("secret"), "{complaint}");
        }
    }

    #[test]
    fn a_url_says_where_the_server_is_and_how_it_is_spoken_to() {
        for (url, port, logs_in) in [
            ("smtp://mail.example", 25, false),
            ("smtp://mail.example:2525", 2525, false),
            ("smtp://me:se%40cret@mail.example?tls=required", 587, true),
            ("smtp://me:secret@127.0.0.1", 25, true),
            ("smtp://me:secret@[::1]", 25, true),
            ("smtp://me:secret@localhost", 25, true),
            ("smtps://me:secret@mail.example/client.example", 465, true),
        ] {
            let server = server(url).unwrap();
            assert_eq!((server.port, server.credentials.is_some()), (port, logs_in), "{url}");
        }
        assert_eq!(
            server("smtps://mail.example/client.example").unwrap().hello.to_string(),
            "client.example"
        );
    }
}
