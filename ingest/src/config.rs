//! What the server reads from its environment; `shared::config::VARIABLES` documents each variable.
//!
//! Before it: the process's environment. After it: `main`, which starts everything from it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use shared::config::{Env, Problems};
use shared::redact::Masked;
use shared::secret::SecretKey;
use shared::telemetry::Format;

use crate::http::base_url::PublicUrl;
use crate::pull::schedule::Times;

/// The server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where Postgres is.
    pub database_url: Masked<String>,
    /// Where RabbitMQ is.
    pub amqp_url: Masked<String>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What clients see in front of `/scim/v2`, where that is fixed.
    pub public_url: Option<PublicUrl>,
    /// By which the links are known that stop mail.
    pub unsubscribe_key: Option<shared::unsubscribe::Key>,
    /// The largest body that is taken, in bytes.
    pub body_limit: usize,
    /// How long an answer may take.
    pub deadline: Duration,
    /// How long requests are still taken after the word to stop.
    pub drain: Duration,
    /// The most connections to Postgres.
    pub db_connections: usize,
    /// The length of the command queue, in messages.
    pub queue_limit: u32,
    /// The key under which tokens of Okta's API are kept; without it this ingest leaves pulls to others.
    pub secret_key: Option<SecretKey>,
    /// When pulls are due.
    pub pull_at: Times,
    /// What is logged.
    pub log: String,
    /// How log lines look.
    pub log_format: Format,
}

impl Config {
    /// Reads all of it.
    ///
    /// # Errors
    /// Everything that is wrong, by name.
    pub fn read(mut env: Env) -> Result<Self, Problems> {
        let address = env.optional("ROLLCALL_LISTEN").unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = env.number("ROLLCALL_PORT", 1..=65_535);
        let config = Self {
            database_url: Masked(env.url("DATABASE_URL", &["postgres", "postgresql"])),
            amqp_url: Masked(env.url("AMQP_URL", &["amqp", "amqps"])),
            listen: SocketAddr::new(address, u16::try_from(port).expect("the bounds are those of a port")),
            public_url: env.optional("ROLLCALL_PUBLIC_URL"),
            unsubscribe_key: env.optional("ROLLCALL_UNSUBSCRIBE_KEY"),
            body_limit: size(env.number("ROLLCALL_BODY_LIMIT", 1_024..=10_485_760)),
            deadline: env.seconds("ROLLCALL_DEADLINE", 2..=50),
            drain: env.seconds("ROLLCALL_DRAIN", 0..=60),
            db_connections: size(env.number("ROLLCALL_DB_CONNECTIONS", 2..=200)),
            queue_limit: env.number("ROLLCALL_QUEUE_LIMIT", 1..=10_000_000),
            secret_key: env.optional("ROLLCALL_SECRET_KEY"),
            pull_at: env.get("ROLLCALL_PULL_AT"),
            log: env.log_filter(),
            log_format: env.get("ROLLCALL_LOG_FORMAT"),
        };
        env.finish()?;
        Ok(config)
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit in a word of every machine that tokio runs on")
}

#[cfg(test)]
mod tests {
    use shared::config::Service;

    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Problems> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::read(Env::new(Service::Ingest, values))
    }

    #[test]
    fn two_urls_are_enough() {
        let config = read(&[("DATABASE_URL", "postgres://x/y"), ("AMQP_URL", "amqp://x")]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!((config.body_limit, config.deadline), (1_048_576, Duration::from_secs(20)));
        assert!(config.public_url.is_none());
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let problems = read(&[
            ("ROLLCALL_LISTEN", "here"),
            ("ROLLCALL_DEADLINE", "51"),
            ("ROLLCALL_PUBLIC_URL", "ftp://x"),
            ("ROLLCALL_LOG_FORMAT", "xml"),
            ("ROLLCALL_LOG", "a=b=c"),
            ("ROLLCALL_SECRET_KEY", "c2VjcmV0"),
            ("ROLLCALL_PULL_AT", "noon"),
        ]);
        let text = problems.unwrap_err().to_string();
        for name in [
            "DATABASE_URL",
            "AMQP_URL",
            "LISTEN",
            "DEADLINE",
            "PUBLIC_URL",
            "LOG_FORMAT",
            "ROLLCALL_LOG is",
            "SECRET_KEY must be 32 random bytes in base64",
            "PULL_AT must be times of day",
        ] {
            assert!(text.contains(name), "{name} in {text}");
        }
        assert!(!text.contains("c2VjcmV0"), "{text}");
    }
}
