//! Every environment variable that the services read, with its documentation.

/// A program that reads variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The SCIM server.
    Ingest,
    /// Applies commands.
    Worker,
    /// Sends mail.
    Notifier,
    /// The operator's CLI.
    Cli,
}

impl Service {
    /// The name of its program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Worker => "worker",
            Self::Notifier => "notifier",
            Self::Cli => "rollcall",
        }
    }
}

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The type of its value: a unit, a kind, or the choices.
    pub unit: &'static str,
    /// Its default; `None` if it has none.
    pub default: Option<&'static str>,
    /// Its description.
    pub what: &'static str,
    /// The programs that read it.
    pub used_by: &'static [Service],
}

use Service::{Cli, Ingest, Notifier, Worker};

/// All of them.
pub static VARIABLES: &[Variable] = &[
    Variable {
        name: "DATABASE_URL",
        unit: "URL, postgres://user:password@host:port/name",
        default: None,
        what: "PostgreSQL. ?sslmode=verify-full for TLS; the certificate is always checked. A server on another machine needs it, or sslmode=disable for an unencrypted connection.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "AMQP_URL",
        unit: "URL, amqp://user:password@host:port/vhost",
        default: None,
        what: "RabbitMQ. amqps:// for TLS; amqp:// to another machine needs ROLLCALL_ALLOW_PLAINTEXT=amqp.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_LISTEN",
        unit: "IP address",
        default: Some("127.0.0.1"),
        what: "Address to listen on; 0.0.0.0 in a container. Addresses that other machines reach need ROLLCALL_ALLOW_PLAINTEXT=http, and at ingest ROLLCALL_PUBLIC_URL.",
        used_by: &[Ingest, Worker, Notifier],
    },
    Variable {
        name: "ROLLCALL_ALLOW_PLAINTEXT",
        unit: "amqp, http, smtp, separated by commas",
        default: None,
        what: "What may be unencrypted between this machine and others. amqp: AMQP_URL with amqp://. http: ROLLCALL_LISTEN with an address that others reach, for example behind a proxy with TLS. smtp: ROLLCALL_MAIL_URL with a password and without tls=required. For PostgreSQL, see DATABASE_URL.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_PORT",
        unit: "TCP port",
        default: Some("8080"),
        what: "Port for SCIM, events and the health pages.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_TRUSTED_PROXIES",
        unit: "IP addresses or networks separated by commas",
        default: None,
        what: "Proxies that are believed about a client's address: Forwarded, X-Forwarded-For, and the PROXY protocol. Unset: none; the client is the peer that connects.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_CONNECTIONS_PER_ADDRESS",
        unit: "connections, 1 to 10000",
        default: Some("256"),
        what: "Maximum number of connections of one address (IPv6: of a /64) on which no request was admitted yet; sixteen times as many on which one was. The oldest idle one is closed for a new one. Trusted proxies have no such limit.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_HEALTH_PORT",
        unit: "TCP port, 0 for none",
        default: Some("0"),
        what: "Port for /healthz and /readyz.",
        used_by: &[Worker, Notifier],
    },
    Variable {
        name: "ROLLCALL_PUBLIC_URL",
        unit: "URL",
        default: None,
        what: "The URL before /scim/v2 as clients see it, e.g. https://scim.example.com. An ingest needs it unless ROLLCALL_LISTEN is a loopback address. Unset: taken from each request's Host and X-Forwarded-Proto.",
        used_by: &[Ingest, Notifier],
    },
    Variable {
        name: "ROLLCALL_BODY_LIMIT",
        unit: "bytes, 1024 to 10485760",
        default: Some("1048576"),
        what: "Largest accepted request body; larger ones are answered with 413.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_DEADLINE",
        unit: "seconds, 2 to 50",
        default: Some("20"),
        what: "How long a request may take before it is answered with 429 (try again). Okta gives up after 60 s.",
        used_by: &[Ingest, Cli],
    },
    Variable {
        name: "ROLLCALL_DRAIN",
        unit: "seconds, 0 to 60",
        default: Some("2"),
        what: "How long requests are still accepted after SIGTERM while /readyz returns 503, so that load balancers use other instances. A second signal ends this period.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_DB_CONNECTIONS",
        unit: "connections, 2 to 200",
        default: Some("8"),
        what: "Maximum number of PostgreSQL connections of this process. An ingest opens up to four more, for keys, settings and their changes.",
        used_by: &[Ingest, Worker, Notifier],
    },
    Variable {
        name: "ROLLCALL_BATCH",
        unit: "commands, 1 to 1000",
        default: Some("128"),
        what: "Maximum number of commands applied in one transaction. A batch does not wait to be full.",
        used_by: &[Worker],
    },
    Variable {
        name: "ROLLCALL_QUEUE_LIMIT",
        unit: "messages, 1 to 10000000",
        default: Some("100000"),
        what: "Length at which the command queues reject messages (429). Must be the same for all services; an existing queue keeps its limit.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_MAIL_URL",
        unit: "URL",
        default: None,
        what: "Where mail goes: file:///folder for .eml files, smtp://user:password@host:587?tls=required (STARTTLS), smtps://user:password@host:465, smtp://host:25 (unencrypted), smtp://host:587?tls=opportunistic (encrypted if the server can).",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_MAIL_FROM",
        unit: "mail address, with or without a name",
        default: Some("Learning <learning@rollcall.example>"),
        what: "Sender of mail; a tenant can have its own.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_LEARNING_URL",
        unit: "URL",
        default: Some("https://learn.example"),
        what: "Home page of the learning platform, linked in mail; a tenant can have its own.",
        used_by: &[Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_DKIM_KEY",
        unit: "file or folder",
        default: None,
        what: "Private RSA key (PEM) for DKIM signatures, or a folder of keys, one DOMAIN.pem for each sender domain. Only the service's user, or root, may have access (chmod 600). Unset: mail is not signed.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_SECRET_KEY",
        unit: "32 random bytes in base64 (openssl rand -base64 32), or several, separated by commas",
        default: None,
        what: "Key that encrypts stored Okta API tokens. Must be the same for all services; an ingest without it runs no pulls. Of several keys the first encrypts, and all decrypt, so that the key can be rotated.",
        used_by: &[Ingest, Cli],
    },
    Variable {
        name: "ROLLCALL_PULL_AT",
        unit: "times of day in UTC, HH:MM or HH:MM:SS, separated by commas",
        default: Some("06:00,15:00"),
        what: "When users are pulled from Okta's API. Must be the same for all instances.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_DKIM_SELECTOR",
        unit: "name",
        default: Some("rollcall"),
        what: "DKIM selector: the public key is in the DNS at NAME._domainkey.DOMAIN.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_DKIM_DOMAIN",
        unit: "domain",
        default: None,
        what: "DKIM signing domain. Unset: the domain of ROLLCALL_MAIL_FROM.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_UNSUBSCRIBE_KEY",
        unit: "secret of at least 32 bytes, or several, separated by commas",
        default: None,
        what: "Signs the links that unsubscribe from mail about new assignments (RFC 8058). Must be the same for ingest and notifier; needs ROLLCALL_PUBLIC_URL. Unset: mail has no such link. Of several keys the first signs, and all are accepted, so that the key can be rotated.",
        used_by: &[Ingest, Notifier],
    },
    Variable {
        name: "ROLLCALL_MAIL_TIMEOUT",
        unit: "seconds, 1 to 600",
        default: Some("60"),
        what: "Limit on sending one mail, from connecting to the mail server's final reply.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_MAIL_GATHER",
        unit: "seconds, 0 to 3600",
        default: Some("2"),
        what: "How long mail about an assignment waits, so that it can include further assignments of the same user.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_MAIL_TEMPLATES",
        unit: "folder",
        default: None,
        what: "Mail templates and texts that replace the built-in ones, file by file; those of one tenant in a folder with its name. Checked at start.",
        used_by: &[Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_LOG",
        unit: "level (error, warn, info, debug, trace) or filter",
        default: Some("info"),
        what: "Log level or filter.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_LOG_FORMAT",
        unit: "auto, text or json",
        default: Some("auto"),
        what: "Log format; auto is text on a terminal and JSON elsewhere.",
        used_by: &[Ingest, Worker, Notifier],
    },
];
