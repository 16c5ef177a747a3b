//! The server's configuration, read from environment variables. `platform::config::VARIABLES` documents each variable.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use platform::config::{Env, Problems};
use platform::http::TrustedProxies;
use platform::log::Format;
use platform::redact::Masked;
use platform::secret::SecretKey;

use crate::http::base_url::PublicUrl;
use crate::pull::schedule::Times;

/// What to do without a public URL.
const PUBLIC: &str =
    "set ROLLCALL_PUBLIC_URL to the URL before /scim/v2 as clients see it, e.g. https://scim.example.com";

/// The server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The URL of Postgres.
    pub database_url: Masked<String>,
    /// The URL of RabbitMQ.
    pub amqp_url: Masked<String>,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The maximum number of connections of one address without an admitted request.
    pub connections_per_address: usize,
    /// The proxies whose word about the client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// The part of the base URL before `/scim/v2`, if it is configured.
    pub public_url: Option<PublicUrl>,
    /// The key that signs unsubscribe links.
    pub unsubscribe_key: Option<domain::unsubscribe::Key>,
    /// The largest accepted body, in bytes.
    pub body_limit: usize,
    /// The deadline of a request.
    pub deadline: Duration,
    /// How long requests are still accepted after a signal to stop.
    pub drain: Duration,
    /// The maximum number of connections to Postgres.
    pub db_connections: usize,
    /// The length of the command queue, in messages.
    pub queue_limit: u32,
    /// The key that encrypts Okta API tokens. Without it this instance runs no pulls.
    pub secret_key: Option<SecretKey>,
    /// The times of day for pulls.
    pub pull_at: Times,
    /// The log filter.
    pub log: String,
    /// The format of log lines.
    pub log_format: Format,
}

impl Config {
    /// Reads all variables.
    ///
    /// # Errors
    /// All invalid or missing variables, by name.
    pub fn read(mut env: Env) -> Result<Self, Problems> {
        let address = env.optional("ROLLCALL_LISTEN").unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = env.number("ROLLCALL_PORT", 1..=65_535);
        env.check_listener(address);
        let database_url = env.checked_url("DATABASE_URL", &["postgres", "postgresql"], database::check_url);
        let config = Self {
            database_url: Masked(database_url),
            amqp_url: Masked(env.amqp_url()),
            listen: SocketAddr::new(address, u16::try_from(port).expect("the bounds are those of a port")),
            connections_per_address: size(env.number("ROLLCALL_CONNECTIONS_PER_ADDRESS", 1..=10_000)),
            trusted_proxies: env.optional("ROLLCALL_TRUSTED_PROXIES").unwrap_or_default(),
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
        if !env.is_set("ROLLCALL_PUBLIC_URL") && !address.to_canonical().is_loopback() {
            // Otherwise any client's Host header would become the URLs in responses.
            env.problem(
                "ROLLCALL_PUBLIC_URL",
                format_args!("is not set, but ROLLCALL_LISTEN={address} is not a loopback address: {PUBLIC}"),
            );
        }
        env.finish()?;
        Ok(config)
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit in a word of every machine that tokio runs on")
}

#[cfg(test)]
mod tests {
    use platform::config::Service;

    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Problems> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::read(Env::new(Service::Ingest, values))
    }

    #[test]
    fn only_the_two_urls_are_required() {
        let config = read(&[("DATABASE_URL", "postgres://localhost/y"), ("AMQP_URL", "amqps://x")]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!((config.body_limit, config.deadline), (1_048_576, Duration::from_secs(20)));
        assert!(config.public_url.is_none());
    }

    #[test]
    fn a_server_that_others_can_reach_needs_its_public_url() {
        for (listen, public_url, is_taken) in [
            ("127.0.0.1", None, true),
            ("127.9.9.9", None, true),
            ("::1", None, true),
            ("::ffff:127.0.0.1", None, true),
            ("0.0.0.0", None, false),
            ("::", None, false),
            ("10.0.0.1", None, false),
            ("10.0.0.1", Some(" "), false),
            ("0.0.0.0", Some("https://scim.example.com"), true),
        ] {
            let mut values = vec![
                ("DATABASE_URL", "postgres://localhost/y"),
                ("AMQP_URL", "amqps://x"),
                ("ROLLCALL_ALLOW_PLAINTEXT", "http"),
                ("ROLLCALL_LISTEN", listen),
            ];
            values.extend(public_url.map(|url| ("ROLLCALL_PUBLIC_URL", url)));
            let problems = read(&values).map(drop).map_err(|problems| problems.0);
            assert_eq!(problems.is_ok(), is_taken, "{listen} {public_url:?}: {problems:?}");
            let problems = problems.err().unwrap_or_default();
            assert!(
                problems.iter().all(|text| text.contains("ROLLCALL_PUBLIC_URL") && text.contains(listen))
            );
            assert!(problems.len() <= 1, "one sentence: {problems:?}");
        }
        let invalid = [
            ("DATABASE_URL", "postgres://localhost/y"),
            ("AMQP_URL", "amqps://x"),
            ("ROLLCALL_ALLOW_PLAINTEXT", "http"),
            ("ROLLCALL_LISTEN", "0.0.0.0"),
            ("ROLLCALL_PUBLIC_URL", "scim.example.com"),
        ];
        assert_eq!(read(&invalid).unwrap_err().0.len(), 1, "an invalid URL is reported once");
    }

    #[test]
    fn all_invalid_variables_are_reported_at_once() {
        let problems = read(&[
            ("ROLLCALL_LISTEN", "here"),
            ("ROLLCALL_DEADLINE", "51"),
            ("ROLLCALL_PUBLIC_URL", "ftp://x"),
            ("ROLLCALL_LOG_FORMAT", "xml"),
            ("ROLLCALL_LOG", "a=b=c"),
            ("ROLLCALL_SECRET_KEY", "c2VjcmV0"),
            ("ROLLCALL_PULL_AT", "noon"),
            ("ROLLCALL_TRUSTED_PROXIES", "0.0.0.0/0"),
            ("ROLLCALL_CONNECTIONS_PER_ADDRESS", "0"),
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
            "TRUSTED_PROXIES must not contain all addresses",
            "CONNECTIONS_PER_ADDRESS must be a whole number from 1 to 10000",
        ] {
            assert!(text.contains(name), "{name} in {text}");
        }
        assert!(!text.contains("c2VjcmV0"), "{text}");
    }
}
