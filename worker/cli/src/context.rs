//! The context of a command: its configuration, and failures with their exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

use database::{Limits, Pool};
use operations::{Error, Operator};
use platform::clock::Clock;
use platform::config::{Env, Problems, ServersEnv, Service};
use uuid::Uuid;

/// What commands need to run.
pub struct CliContext {
    /// What the library needs to run: the database, the broker, the clock and the secret key.
    pub operator: Operator,
    /// Whether to print JSON.
    pub json: bool,
    /// The URL of the learning platform, for links in mail.
    pub learning_url: String,
    /// The directory of templates that replace the built-in ones.
    pub mail_templates: Option<PathBuf>,
}

/// Why a command failed. The text is shown to the operator.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The operation failed.
    #[error("{}", with_options(.0))]
    Operation(Error),
    /// The configuration is invalid.
    #[error(transparent)]
    Configuration(#[from] Problems),
}

impl Failure {
    /// The change was rejected, or something was not found.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Operation(Error::Refused(text.into()))
    }

    /// The arguments are invalid.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::Operation(Error::Invalid(text.into()))
    }

    /// The outcome is still unknown.
    pub fn late(text: impl Into<String>) -> Self {
        Self::Operation(Error::Late(text.into()))
    }

    /// The kind of failure, for the audit trail. The text itself may contain personal data.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Configuration(_) => "invalid configuration",
            Self::Operation(error) => match error {
                Error::Invalid(_) | Error::Argument { .. } | Error::Missing { .. } => "invalid arguments",
                Error::Postgres(_) => "the database failed",
                Error::Amqp(_) => "the broker is unavailable",
                Error::Late(_) => "no outcome yet",
                Error::Refused(_) => "rejected",
            },
        }
    }

    /// The exit code, as documented in the program's help.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Configuration(_) => 2,
            Self::Operation(error) => match error {
                Error::Invalid(_) | Error::Argument { .. } | Error::Missing { .. } => 2,
                Error::Postgres(database::Error::Unavailable(_) | database::Error::Busy(_)) => 3,
                Error::Amqp(_) | Error::Late(_) => 3,
                Error::Refused(_) | Error::Postgres(_) => 1,
            },
        })
    }
}

/// The text of an error, with the names of arguments as options.
fn with_options(error: &Error) -> String {
    let option = |name: &str| format!("--{}", name.replace('_', "-"));
    match error {
        Error::Argument { name, problem } => format!("{} {problem}", option(name)),
        Error::Missing { name, why } => format!("{why}, so {} is required", option(name)),
        error => error.to_string(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Operation(error)
    }
}

impl From<database::Error> for Failure {
    fn from(error: database::Error) -> Self {
        Self::Operation(error.into())
    }
}

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        Self::Operation(error.into())
    }
}

impl CliContext {
    /// Reads the environment, and `.run/servers.env` for variables that are not set. `as_owner`: as the owner of the
    /// database, which migrations need, instead of the operator.
    pub fn from_env(json: bool, as_owner: bool) -> Result<Self, Failure> {
        let mut env = Env::of_process(Service::Cli);
        add_servers_env(&mut env, json, as_owner)?;
        let database_url = env.url("DATABASE_URL", &["postgres", "postgresql"]);
        // Most commands need no broker: `migrate` runs with the database alone.
        let amqp_url = env.optional_amqp_url();
        let deadline = env.seconds("ROLLCALL_DEADLINE", 2..=50);
        let secret_key = env.optional("ROLLCALL_SECRET_KEY");
        let queue_limit = env.number("ROLLCALL_QUEUE_LIMIT", 1..=10_000_000);
        let learning_url = env.url("ROLLCALL_LEARNING_URL", &["http", "https"]);
        let mail_templates = env.optional("ROLLCALL_MAIL_TEMPLATES");
        let log = env.log_filter();
        env.finish()?;
        platform::log::init(&log.replace("info", "warn"), platform::log::Format::Text);
        let pool = Pool::with(&database_url, 2, Limits::NONE)
            .map_err(|e| Failure::usage(format!("DATABASE_URL {e}")))?;
        let operator = Operator {
            pool,
            clock: Clock::System,
            deadline,
            secret_key,
            amqp_url,
            connection_name: "rollcall",
            queue_limit,
        };
        Ok(Self { operator, json, learning_url, mail_templates })
    }
}

/// Adds the variables of `.run/servers.env`, and says so. A file that others could have written is an error, unless the
/// environment names the database.
fn add_servers_env(env: &mut Env, json: bool, as_owner: bool) -> Result<(), Failure> {
    let program = std::env::current_exe().ok().and_then(|exe| exe.parent().map(std::path::Path::to_path_buf));
    let beside: Vec<PathBuf> = std::env::current_dir().ok().into_iter().chain(program).collect();
    match ServersEnv::find(&beside) {
        Ok(Some(file)) => {
            if env.add_servers_env(&file, as_owner) && !json {
                eprintln!("rollcall: using {}", file.shown_path());
            }
        }
        Ok(None) => {}
        Err(refused) if !env.is_set("DATABASE_URL") => {
            let problem = format!("DATABASE_URL is not set, and {refused}");
            return Err(Problems(vec![problem]).into());
        }
        Err(refused) if !env.is_set("AMQP_URL") && !json => eprintln!("rollcall: {refused}"),
        Err(_) => {}
    }
    Ok(())
}

/// Parses an id given as an argument.
pub fn id(text: &str) -> Result<Uuid, String> {
    scim::parse_id(text)
        .ok_or_else(|| "must be an id, such as 01a21d3f-0c52-7d41-9d1e-5f0c8a6a8e11".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_as_options() {
        let problem = "must begin with https://".to_owned();
        let invalid = Failure::from(Error::Argument { name: "okta_url", problem });
        assert_eq!(invalid.to_string(), "--okta-url must begin with https://");
        let missing =
            Failure::from(Error::Missing { name: "okta_url", why: "acme has no pull yet".to_owned() });
        assert_eq!(missing.to_string(), "acme has no pull yet, so --okta-url is required");
        assert_eq!(Failure::refused("acme has no such user").to_string(), "acme has no such user");
    }
}
