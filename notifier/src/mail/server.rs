//! A mail server, configured by a URL, and a pool of idle connections to it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use platform::plaintext::{Allowed, Protocol, VARIABLE, names_this_machine};

/// The timeout for connecting.
const CONNECT: Duration = Duration::from_secs(15);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// The maximum number of idle connections.
const MAX_CONNECTIONS: usize = 8;
/// The timeout for QUIT.
const GOODBYE: Duration = Duration::from_secs(2);
/// The default ports: submission over TLS (RFC 8314), submission (RFC 6409), SMTP.
const PORTS: (u16, u16, u16) = (465, 587, 25);

/// An SMTP transport.
pub struct Server {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    hello: ClientId,
}

impl Server {
    /// Parses the server's URL.
    ///
    /// # Errors
    /// Describes the problem with the URL, without quoting it.
    pub fn of(url: &url::Url, plaintext: &Allowed) -> Result<Self, String> {
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
        if credentials.is_some() && !is_loopback(url) && !plaintext.has(Protocol::Smtp) {
            check(&tls)?;
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
    url.has_host() && names_this_machine(url)
}

/// Checks that a password is always encrypted on its way.
fn check(tls: &Tls) -> Result<(), String> {
    let when = match tls {
        Tls::None => "would send the password unencrypted",
        Tls::Opportunistic(_) => "would send the password unencrypted if the mail server offers no STARTTLS",
        Tls::Required(_) | Tls::Wrapper(_) => return Ok(()),
    };
    Err(format!("{when}: use smtp:// with ?tls=required, or smtps://, or set {VARIABLE}=smtp to allow it"))
}

/// A pool of connections to a server.
pub struct Connections {
    server: Server,
    idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
}

impl Connections {
    /// Creates an empty pool.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self { server, idle: Mutex::default() }
    }

    /// Returns an idle connection that still works, or opens a new one.
    ///
    /// # Errors
    /// If no connection can be opened.
    pub async fn get(&self) -> Result<AsyncSmtpConnection, Error> {
        loop {
            let Some((since, mut connection)) = self.idle().pop() else { return self.server.connect().await };
            if since.elapsed() < IDLE && connection.test_connected().await {
                return Ok(connection);
            }
            Self::close(connection);
        }
    }

    /// Returns a connection to the pool after a mail was accepted.
    pub fn put_back(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle();
        if idle.len() < MAX_CONNECTIONS {
            idle.push((Instant::now(), connection));
        } else {
            drop(idle);
            Self::close(connection);
        }
    }

    /// Closes a connection in the background.
    pub fn close(mut connection: AsyncSmtpConnection) {
        tokio::spawn(async move {
            // If the server has disconnected, the QUIT does not matter.
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
        Server::of(&url::Url::parse(url).unwrap(), &Allowed::default())
    }

    #[test]
    fn invalid_urls_are_rejected_and_not_quoted() {
        for url in [
            "smtp://me:secret@mail.example:587?tls=maybe",
            "http://me:secret@mail.example",
            "smtp://me:secret@mail.example",
            "smtp://me:secret@mail.example?tls=opportunistic",
        ] {
            let complaint = server(url).err().unwrap();
            assert!(!complaint.contains("secret"), "{complaint}");
        }
    }

    #[test]
    fn a_password_is_sent_unencrypted_only_if_that_is_allowed() {
        let allowed = "smtp".parse().unwrap();
        for (url, passes) in [
            ("smtp://me:secret@mail.example", false),
            ("smtp://me:secret@mail.example?tls=opportunistic", false),
            ("smtp://mail.example?tls=opportunistic", true),
            ("smtp://me:secret@127.0.0.1?tls=opportunistic", true),
            ("smtp://me:secret@mail.example?tls=required", true),
            ("smtps://me:secret@mail.example", true),
        ] {
            let said = server(url).err();
            assert_eq!(said.is_none(), passes, "{url}: {said:?}");
            assert!(said.is_none_or(|said| said.contains("ROLLCALL_ALLOW_PLAINTEXT=smtp")), "{url}");
            assert!(Server::of(&url::Url::parse(url).unwrap(), &allowed).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_url_selects_port_credentials_and_client_name() {
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
