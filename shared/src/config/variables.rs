//! Every environment variable that the services read: the one place where they are documented.

/// Who reads a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The SCIM server.
    Ingest,
    /// The applier of commands.
    Worker,
    /// The sender of mail.
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
    /// What its value is: a unit, a kind, the choices.
    pub unit: &'static str,
    /// Its value where it is not set; `None` if there is none.
    pub default: Option<&'static str>,
    /// What it is for.
    pub what: &'static str,
    /// Who reads it.
    pub used_by: &'static [Service],
}

use Service::{Cli, Ingest, Notifier, Worker};

/// All of them.
pub static VARIABLES: &[Variable] = &[
    Variable {
        name: "DATABASE_URL",
        unit: "URL, postgres://user:password@host:port/name",
        default: None,
        what: "PostgreSQL. Append ?sslmode=require for TLS; the certificate is always checked.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "AMQP_URL",
        unit: "URL, amqp://user:password@host:port/vhost",
        default: None,
        what: "RabbitMQ. amqps:// for TLS.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_LISTEN",
        unit: "IP address",
        default: Some("127.0.0.1"),
        what: "Where to listen; 0.0.0.0 in a container.",
        used_by: &[Ingest, Worker, Notifier],
    },
    Variable {
        name: "ROLLCALL_PORT",
        unit: "TCP port",
        default: Some("8080"),
        what: "Where SCIM, events and the health pages are served.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_HEALTH_PORT",
        unit: "TCP port, 0 for none",
        default: Some("0"),
        what: "Where /healthz and /readyz are served.",
        used_by: &[Worker, Notifier],
    },
    Variable {
        name: "ROLLCALL_PUBLIC_URL",
        unit: "URL",
        default: None,
        what: "What clients see in front of /scim/v2, e.g. https://scim.example.com. Unset: taken from each request's Host and X-Forwarded-Proto.",
        used_by: &[Ingest, Notifier],
    },
    Variable {
        name: "ROLLCALL_BODY_LIMIT",
        unit: "bytes, 1024 to 10485760",
        default: Some("1048576"),
        what: "The largest request body that is taken; a larger one is answered 413.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_DEADLINE",
        unit: "seconds, 2 to 50",
        default: Some("20"),
        what: "How long an answer may take before the client is told to try again (429). Okta itself gives up at 60 s.",
        used_by: &[Ingest, Cli],
    },
    Variable {
        name: "ROLLCALL_DRAIN",
        unit: "seconds, 0 to 60",
        default: Some("2"),
        what: "How long after SIGTERM requests are still taken while /readyz says 503, so that balancers go elsewhere. A second signal ends it.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_DB_CONNECTIONS",
        unit: "connections, 2 to 200",
        default: Some("8"),
        what: "The largest number of connections to PostgreSQL that this process opens.",
        used_by: &[Ingest, Worker, Notifier],
    },
    Variable {
        name: "ROLLCALL_BATCH",
        unit: "commands, 1 to 1000",
        default: Some("128"),
        what: "The most commands that are applied in one transaction. A batch never waits for company.",
        used_by: &[Worker],
    },
    Variable {
        name: "ROLLCALL_QUEUE_LIMIT",
        unit: "messages, 1 to 10000000",
        default: Some("100000"),
        what: "The length at which the command queue refuses more (429). Must be the same for all; a queue that exists keeps its own.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_MAIL_URL",
        unit: "URL",
        default: None,
        what: "Where mail goes: file:///folder for .eml files, smtp://user:password@host:587?tls=required (STARTTLS), smtps://user:password@host:465, smtp://host:25 (unencrypted).",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_MAIL_FROM",
        unit: "mail address, with or without a name",
        default: Some("Learning <learning@rollcall.example>"),
        what: "The sender of mail; a tenant may have its own.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_LEARNING_URL",
        unit: "URL",
        default: Some("https://learn.example"),
        what: "The learning platform's front page, as it is linked in mail; a tenant may have its own.",
        used_by: &[Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_DKIM_KEY",
        unit: "file or folder",
        default: None,
        what: "The private RSA key, in PEM, that mail is signed with (DKIM); or a folder of keys, each the file DOMAIN.pem for senders of that domain. Unset: mail is not signed.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_SECRET_KEY",
        unit: "32 random bytes in base64 (openssl rand -base64 32)",
        default: None,
        what: "The key under which tokens of Okta's API are kept encrypted. The same for all; an ingest without it leaves pulls to others.",
        used_by: &[Ingest, Cli],
    },
    Variable {
        name: "ROLLCALL_PULL_AT",
        unit: "times of day in UTC, HH:MM or HH:MM:SS, separated by commas",
        default: Some("06:00,15:00"),
        what: "When people are pulled from Okta's API. Must be the same for all.",
        used_by: &[Ingest],
    },
    Variable {
        name: "ROLLCALL_DKIM_SELECTOR",
        unit: "name",
        default: Some("rollcall"),
        what: "Under which name the public key stands in the DNS: NAME._domainkey.DOMAIN.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_DKIM_DOMAIN",
        unit: "domain",
        default: None,
        what: "Whose signature it is. Unset: the domain of ROLLCALL_MAIL_FROM.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_UNSUBSCRIBE_KEY",
        unit: "secret of at least 32 bytes",
        default: None,
        what: "Signs the links by which people stop mail about new assignments (RFC 8058); the same for ingest and the notifier, and only with ROLLCALL_PUBLIC_URL. Unset: mail has no such link.",
        used_by: &[Ingest, Notifier],
    },
    Variable {
        name: "ROLLCALL_MAIL_TIMEOUT",
        unit: "seconds, 1 to 600",
        default: Some("60"),
        what: "How long sending one mail may take, from connecting to the mail server's answer to the final dot.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_MAIL_GATHER",
        unit: "seconds, 0 to 3600",
        default: Some("2"),
        what: "How long a mail about an assignment waits: what is assigned to the same person meanwhile is told in it too.",
        used_by: &[Notifier],
    },
    Variable {
        name: "ROLLCALL_MAIL_TEMPLATES",
        unit: "folder",
        default: None,
        what: "Templates and words of mail that replace the notifier's own, file by file; those of one company in a folder of the tenant's name. Checked at start.",
        used_by: &[Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_LOG",
        unit: "level (error, warn, info, debug, trace) or filter",
        default: Some("info"),
        what: "What is logged.",
        used_by: &[Ingest, Worker, Notifier, Cli],
    },
    Variable {
        name: "ROLLCALL_LOG_FORMAT",
        unit: "auto, text or json",
        default: Some("auto"),
        what: "How log lines look; auto is text on a terminal and JSON elsewhere.",
        used_by: &[Ingest, Worker, Notifier],
    },
];
