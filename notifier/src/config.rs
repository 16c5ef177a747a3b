//! The notifier's configuration, read from the environment. All problems are reported at once, by variable name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use database::Pool;
use domain::unsubscribe::Key;
use lettre::message::Mailbox;
use platform::config::{Env, Problems};
use platform::log::Format;
use wording::Templates;

use crate::mail::dkim::Signer;
use crate::mail::transport::{SCHEMES, Transport};

/// The notifier's configuration.
pub struct Config {
    /// The Postgres connection pool; no connection is open yet.
    pub pool: Pool,
    /// The URL of RabbitMQ.
    pub amqp_url: String,
    /// The length limit of the command queue, used if this service declares it.
    pub queue_limit: u32,
    /// The address of the health endpoints, if they are served.
    pub health: Option<SocketAddr>,
    /// Where mail is sent.
    pub transport: Transport,
    /// The DKIM signer, if mail is signed.
    pub signer: Option<Signer>,
    /// For unsubscribe links: the key that signs them, and their base URL.
    pub unsubscribe: Option<(Key, String)>,
    /// The timeout for sending one mail.
    pub mail_timeout: Duration,
    /// The default sender.
    pub from: Mailbox,
    /// The URL of the learning platform that mail links to.
    pub learning_url: String,
    /// How long mail about assignments is delayed, so that one mail can list several.
    pub gather: Duration,
    /// The mail templates.
    pub templates: Templates,
    /// The log filter.
    pub log: String,
    /// The log format.
    pub log_format: Format,
}

impl Config {
    /// Reads the environment. Must run in a tokio runtime, because SMTP connections belong to one.
    ///
    /// # Errors
    /// Returns all problems.
    pub fn read(mut env: Env) -> Result<Self, Problems> {
        let database_url = env.url("DATABASE_URL", &["postgres", "postgresql"]);
        let connections = env.number("ROLLCALL_DB_CONNECTIONS", 2..=200);
        let pool =
            checked(&mut env, "DATABASE_URL", &database_url, |url| Pool::new(url, connections as usize));
        let amqp_url = env.amqp_url();
        let uri = |url: &str| {
            url.parse::<lapin::uri::AMQPUri>().map_err(|_| "is not the URL of an AMQP broker".to_owned())
        };
        checked(&mut env, "AMQP_URL", &amqp_url, uri);
        let queue_limit = env.number("ROLLCALL_QUEUE_LIMIT", 1..=10_000_000);
        let health = env.health_address();
        let mail_url = env.url("ROLLCALL_MAIL_URL", &SCHEMES);
        let mail_timeout = env.seconds("ROLLCALL_MAIL_TIMEOUT", 1..=600);
        let plaintext = env.plaintext();
        let transport = checked(&mut env, "ROLLCALL_MAIL_URL", &mail_url, |url| {
            Transport::open(url, mail_timeout, &plaintext)
        });
        let from = env.get::<String>("ROLLCALL_MAIL_FROM");
        let from = checked(&mut env, "ROLLCALL_MAIL_FROM", &from, sender);
        let signer = signer(&mut env, from.as_ref());
        let unsubscribe = unsubscribe(&mut env);
        let learning_url = env.url("ROLLCALL_LEARNING_URL", &["http", "https"]);
        let gather = env.seconds("ROLLCALL_MAIL_GATHER", 0..=3_600);
        let folder = env.optional::<PathBuf>("ROLLCALL_MAIL_TEMPLATES");
        let templates = Templates::load(folder.as_deref())
            .map_err(|what| env.problem("ROLLCALL_MAIL_TEMPLATES", format!("is invalid: {what}")))
            .ok();
        let log = env.log_filter();
        let log_format = env.get("ROLLCALL_LOG_FORMAT");
        env.finish()?;
        let proof = "a value that is missing was reported as a problem, and env.finish() returned it";
        Ok(Self {
            pool: pool.expect(proof),
            amqp_url,
            queue_limit,
            health,
            transport: transport.expect(proof),
            signer,
            unsubscribe,
            mail_timeout,
            from: from.expect(proof),
            learning_url,
            gather,
            templates: templates.expect(proof),
            log,
            log_format,
        })
    }
}

/// Checks a value and notes the problem if it is invalid. An empty value stands for one whose problem has been noted
/// already.
fn checked<T>(
    env: &mut Env,
    name: &'static str,
    value: &str,
    check: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    if value.is_empty() {
        return None;
    }
    check(value).map_err(|what| env.problem(name, what)).ok()
}

/// The key and base URL of unsubscribe links.
fn unsubscribe(env: &mut Env) -> Option<(Key, String)> {
    let key = env.optional::<Key>("ROLLCALL_UNSUBSCRIBE_KEY");
    let base = env.optional::<url::Url>("ROLLCALL_PUBLIC_URL");
    if key.is_some() && base.is_none() {
        env.problem(
            "ROLLCALL_PUBLIC_URL",
            "must be set too: it is the base of the links that ROLLCALL_UNSUBSCRIBE_KEY signs",
        );
    }
    key.zip(base.map(|url| url.to_string()))
}

/// The DKIM signer, if a key is configured.
fn signer(env: &mut Env, from: Option<&Mailbox>) -> Option<Signer> {
    let selector = env.get::<String>("ROLLCALL_DKIM_SELECTOR");
    let domain = env.optional::<String>("ROLLCALL_DKIM_DOMAIN");
    let file = env.optional::<PathBuf>("ROLLCALL_DKIM_KEY")?;
    let domain = domain.or_else(|| from.map(|from| from.email.domain().to_owned()))?;
    for (name, value) in [("ROLLCALL_DKIM_SELECTOR", &selector), ("ROLLCALL_DKIM_DOMAIN", &domain)] {
        if !value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')) {
            env.problem(name, "must be a DNS name");
        }
    }
    Signer::open(&file, &selector, &domain).map_err(|what| env.problem("ROLLCALL_DKIM_KEY", what)).ok()
}

/// Parses a sender whose domain can be used in a Message-ID.
fn sender(text: &str) -> Result<Mailbox, String> {
    let mailbox: Mailbox =
        text.parse().map_err(|_| "must be a mail address, with or without a name".to_owned())?;
    if AsRef::<str>::as_ref(&mailbox.email).is_ascii() {
        Ok(mailbox)
    } else {
        Err("must be an address in ASCII (a domain in its xn-- form)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use platform::config::Service;

    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Problems> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::read(Env::new(Service::Notifier, values))
    }

    #[tokio::test]
    async fn a_complete_configuration_is_accepted() {
        let config = read(&[
            ("DATABASE_URL", "postgres://me:secret@127.0.0.1:1/x"),
            ("AMQP_URL", "amqp://me:secret@127.0.0.1:1/%2f"),
            ("ROLLCALL_MAIL_URL", "smtp://127.0.0.1:1"),
            ("ROLLCALL_HEALTH_PORT", "8081"),
        ])
        .unwrap();
        assert_eq!(config.health, Some(([127, 0, 0, 1], 8081).into()));
        assert_eq!(config.from.email.domain(), "rollcall.example");
    }

    #[tokio::test]
    async fn all_problems_are_reported_at_once() {
        let problems = read(&[
            ("DATABASE_URL", "postgres://me:secret@127.0.0.1:port/x"),
            ("ROLLCALL_MAIL_URL", "smtp://me:secret@mail.example?tls=perhaps"),
            ("ROLLCALL_MAIL_FROM", "nobody"),
            ("ROLLCALL_DKIM_DOMAIN", "acme.example; x=y"),
            ("ROLLCALL_DKIM_KEY", "/nowhere/at/all"),
            ("ROLLCALL_UNSUBSCRIBE_KEY", "short and secret"),
            ("ROLLCALL_LEARNING_URL", "ftp://learn.example"),
            ("ROLLCALL_MAIL_TEMPLATES", "/nowhere/at/all"),
            ("ROLLCALL_LOG", "a=b=c"),
            ("ROLLCALL_LOG_FORMAT", "xml"),
        ])
        .err()
        .unwrap();
        let names: Vec<&str> = problems.0.iter().map(|p| p.split(' ').next().unwrap()).collect();
        let expected = [
            "DATABASE_URL",
            "AMQP_URL",
            "ROLLCALL_MAIL_URL",
            "ROLLCALL_MAIL_FROM",
            "ROLLCALL_DKIM_DOMAIN",
            "ROLLCALL_DKIM_KEY",
            "ROLLCALL_UNSUBSCRIBE_KEY",
            "ROLLCALL_LEARNING_URL",
            "ROLLCALL_MAIL_TEMPLATES",
            "ROLLCALL_LOG",
            "ROLLCALL_LOG_FORMAT",
        ];
        assert_eq!(names, expected);
        assert!(!problems.to_string().contains("secret"), "{problems}");
    }

    #[tokio::test]
    async fn an_unsubscribe_key_without_a_public_url_is_reported() {
        let problems = read(&[
            ("DATABASE_URL", "postgres://me:secret@127.0.0.1:1/x"),
            ("AMQP_URL", "amqp://me:secret@127.0.0.1:1/%2f"),
            ("ROLLCALL_MAIL_URL", "smtp://127.0.0.1:1"),
            ("ROLLCALL_UNSUBSCRIBE_KEY", "k2345678901234567890123456789012"),
        ])
        .err()
        .unwrap();
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert!(problems.0[0].starts_with("ROLLCALL_PUBLIC_URL"), "{problems}");
    }
}
