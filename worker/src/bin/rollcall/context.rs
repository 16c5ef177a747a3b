//! What every command needs: the configuration, the database, the broker, and how a command fails.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use shared::amqp::{self, Link, connect_once};
use shared::clock::Clock;
use shared::config::{Env, Problems, Service};
use shared::postgres::tenants::{self, Tenant};
use shared::postgres::{self, Limits, Pool, schema, users};
use shared::secret::SecretKey;
use uuid::Uuid;

/// What every command needs.
pub struct Context {
    /// The database.
    pub pool: Pool,
    /// Prints JSON.
    pub json: bool,
    /// The time.
    pub clock: Clock,
    /// How long to wait for an outcome.
    pub deadline: Duration,
    /// The key under which tokens are kept.
    pub secret_key: Option<SecretKey>,
    /// The learning platform, as it is linked in mail.
    pub learning_url: String,
    /// The folder of templates that replace our own.
    pub mail_templates: Option<PathBuf>,
    amqp_url: Option<String>,
    queue_limit: u32,
}

/// Why a command failed, as the operator is told.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was refused, or something is not there.
    #[error("{0}")]
    Refused(String),
    /// The arguments are wrong.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error(transparent)]
    Configuration(#[from] Problems),
    /// The database failed.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The broker failed.
    #[error(transparent)]
    Amqp(#[from] amqp::Error),
    /// Nothing is known of the outcome yet.
    #[error("{0}")]
    Late(String),
}

impl Failure {
    /// See the program's help.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::Configuration(_) => 2,
            Self::Postgres(postgres::Error::Unavailable(_)) | Self::Amqp(_) | Self::Late(_) => 3,
            Self::Refused(_) | Self::Postgres(_) => 1,
        })
    }
}

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        Self::Postgres(error.into())
    }
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        Self::Amqp(error.into())
    }
}

impl Context {
    /// Reads the environment, and `.run/servers.env` where it is silent.
    pub fn from_env(json: bool) -> Result<Self, Failure> {
        let mut env = Env::of_process(Service::Cli);
        let program =
            std::env::current_exe().ok().and_then(|exe| exe.parent().map(std::path::Path::to_path_buf));
        env.add_servers_env(&std::env::current_dir().ok().into_iter().chain(program).collect::<Vec<_>>());
        let database_url = env.url("DATABASE_URL", &["postgres", "postgresql"]);
        // Most commands need no broker: a migration runs where only the database is known.
        let amqp_url = env.optional("AMQP_URL");
        let deadline = env.seconds("ROLLCALL_DEADLINE", 2..=50);
        let secret_key = env.optional("ROLLCALL_SECRET_KEY");
        let queue_limit = env.number("ROLLCALL_QUEUE_LIMIT", 1..=10_000_000);
        let learning_url = env.url("ROLLCALL_LEARNING_URL", &["http", "https"]);
        let mail_templates = env.optional("ROLLCALL_MAIL_TEMPLATES");
        let log = env.log_filter();
        env.finish()?;
        shared::telemetry::init(&log.replace("info", "warn"), shared::telemetry::Format::Text);
        let pool = Pool::with(&database_url, 2, Limits::NONE)
            .map_err(|e| Failure::Usage(format!("DATABASE_URL {e}")))?;
        Ok(Self {
            pool,
            json,
            clock: Clock::System,
            deadline,
            secret_key,
            learning_url,
            mail_templates,
            amqp_url,
            queue_limit,
        })
    }

    /// Connects to the broker.
    pub async fn link(&self) -> Result<Link, Failure> {
        let url = self.amqp_url.as_ref().ok_or_else(|| Failure::Usage("AMQP_URL is not set".to_owned()))?;
        Ok(connect_once(url, "rollcall", self.queue_limit).await?)
    }

    /// The tenant of this name.
    pub async fn tenant(&self, name: &str) -> Result<Tenant, Failure> {
        let connection = self.pool.get().await?;
        tenants::by_name(&connection, name).await?.ok_or_else(|| {
            Failure::Refused(format!(
                "there is no tenant {name}: `rollcall tenant list` shows those that there are"
            ))
        })
    }

    /// The id of the tenant's user who is called so, by name or id.
    pub async fn user_id(&self, tenant: &Tenant, user: &str) -> Result<Uuid, Failure> {
        let mut connection = self.pool.get().await?;
        let id = users::id_of(&mut connection, tenant.id, user).await?;
        id.ok_or_else(|| Failure::Refused(format!("{} has no such user", tenant.name)))
    }

    /// The tenant of this name; without a name the only one that there is.
    pub async fn tenant_or_only(&self, name: Option<&str>) -> Result<Tenant, Failure> {
        if let Some(name) = name {
            return self.tenant(name).await;
        }
        let mut connection = self.pool.get().await?;
        let names: Vec<String> =
            schema::tenants::table.select(schema::tenants::name).limit(2).load(&mut connection).await?;
        drop(connection);
        match names.as_slice() {
            [name] => self.tenant(name).await,
            [] => Err(Failure::Refused("there is no tenant yet: rollcall tenant add NAME".to_owned())),
            _ => Err(Failure::Usage(
                "there are several tenants, so one must be named (--help says where): `rollcall tenant list` shows them"
                    .to_owned(),
            )),
        }
    }
}

/// An id, as an argument.
pub fn id(text: &str) -> Result<Uuid, String> {
    shared::id::parse(text)
        .ok_or_else(|| "it must be an id, such as 01a21d3f-0c52-7d41-9d1e-5f0c8a6a8e11".to_owned())
}
