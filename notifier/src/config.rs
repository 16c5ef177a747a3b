//! The notifier's configuration, out of the environment: everything that is wrong is told at once, by name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use shared::config::{Env, Problems};
use shared::postgres::Pool;
use shared::telemetry::Format;
use shared::unsubscribe::Key;
use wording::Templates;

use crate::mail::dkim::Signer;
use crate::mail::transport::{SCHEMES, Transport};

/// All that the notifier is told from outside.
pub struct Config {
    /// Connections to Postgres; none is open yet.
    pub pool: Pool,
    /// RabbitMQ.
    pub amqp_url: String,
    /// The length limit of the queue of commands, where this service is the one that declares it.
    pub queue_limit: u32,
    /// Where the health pages are served, if anywhere.
    pub health: Option<SocketAddr>,
    /// Where mail goes.
    pub transport: Transport,
    /// Who signs mail.
    pub signer: Option<Signer>,
    /// How people stop mail: the key of the links, and what they begin with.
    pub unsubscribe: Option<(Key, String)>,
    /// How long sending one mail may take.
    pub mail_timeout: Duration,
    /// The sender of all mail.
    pub from: Mailbox,
    /// The learning platform, as it is linked in mail.
    pub learning_url: String,
    /// How long mail about assignments waits for more to say.
    pub gather: Duration,
    /// What mail says.
    pub templates: Templates,
    /// What is logged.
    pub log: String,
    /// How it looks.
    pub log_format: Format,
}

impl Config {
    /// Reads the environment. Within a tokio runtime: a mail server's connections live in one.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(mut env: Env) -> Result<Self, Problems> {
        let database_url = env.url("DATABASE_URL", &["postgres", "postgresql"]);
        let connections = env.number("ROLLCALL_DB_CONNECTIONS", 2..=200);
        let pool =
            checked(&mut env, "DATABASE_URL", &database_url, |url| Pool::new(url, connections as usize));
        let amqp_url = env.url("AMQP_URL", &["amqp", "amqps"]);
        let uri = |url: &str| {
            url.parse::<lapin::uri::AMQPUri>().map_err(|_| "is no URL of an AMQP broker".to_owned())
        };
        checked(&mut env, "AMQP_URL", &amqp_url, uri);
        let queue_limit = env.number("ROLLCALL_QUEUE_LIMIT", 1..=10_000_000);
        let health = env.health_address();
        let mail_url = env.url("ROLLCALL_MAIL_URL", &SCHEMES);
        let mail_timeout = env.seconds("ROLLCALL_MAIL_TIMEOUT", 1..=600);
        let transport =
            checked(&mut env, "ROLLCALL_MAIL_URL", &mail_url, |url| Transport::open(url, mail_timeout));
        let from = env.get::<String>("ROLLCALL_MAIL_FROM");
        let from = checked(&mut env, "ROLLCALL_MAIL_FROM", &from, sender);
        let signer = signer(&mut env, from.as_ref());
        let unsubscribe = unsubscribe(&mut env);
        let learning_url = env.url("ROLLCALL_LEARNING_URL", &["http", "https"]);
        let gather = env.seconds("ROLLCALL_MAIL_GATHER", 0..=3_600);
        let folder = env.optional::<PathBuf>("ROLLCALL_MAIL_TEMPLATES");
        let templates = Templates::load(folder.as_deref())
            .map_err(|what| env.problem("ROLLCALL_MAIL_TEMPLATES", format!("is wrong: {what}")))
            .ok();
        let log = env.log_filter();
        let log_format = env.get("ROLLCALL_LOG_FORMAT");
        env.finish()?;
        let proof = "what could not be read is a problem, and problems have been returned above";
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

/// What becomes of a value; what is wrong with it is noted. An empty value is a placeholder that has been complained about.
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

/// How people stop mail.
fn unsubscribe(env: &mut Env) -> Option<(Key, String)> {
    let key = env.optional::<Key>("ROLLCALL_UNSUBSCRIBE_KEY");
    let base = env.optional::<url::Url>("ROLLCALL_PUBLIC_URL");
    if key.is_some() && base.is_none() {
        env.problem(
            "ROLLCALL_PUBLIC_URL",
            "must be set too: ROLLCALL_UNSUBSCRIBE_KEY signs links that begin with it",
        );
    }
    key.zip(base.map(|url| url.to_string()))
}

/// Who signs mail, if a key is configured.
fn signer(env: &mut Env, from: Option<&Mailbox>) -> Option<Signer> {
    let selector = env.get::<String>("ROLLCALL_DKIM_SELECTOR");
    let domain = env.optional::<String>("ROLLCALL_DKIM_DOMAIN");
    let file = env.optional::<PathBuf>("ROLLCALL_DKIM_KEY")?;
    let domain = domain.or_else(|| from.map(|from| from.email.domain().to_owned()))?;
    for (name, value) in [("ROLLCALL_DKIM_SELECTOR", &selector), ("ROLLCALL_DKIM_DOMAIN", &domain)] {
        if !value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')) {
            env.problem(name, "must be a name of the DNS");
        }
    }
    Signer::open(&file, &selector, &domain).map_err(|what| env.problem("ROLLCALL_DKIM_KEY", what)).ok()
}

/// A sender whose domain can stand in a Message-ID.
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
    use shared::config::Service;

    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Problems> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::read(Env::new(Service::Notifier, values))
    }

    #[tokio::test]
    async fn a_whole_configuration_is_taken() {
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
    async fn everything_that_is_wrong_is_told_at_once() {
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
    async fn a_key_for_links_without_their_address_is_told() {
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
