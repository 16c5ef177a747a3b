//! Why a verb failed.

/// Why a verb failed. The text is shown to the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The change was rejected, or something was not found.
    #[error("{0}")]
    Refused(String),
    /// The arguments or the settings of the program are invalid.
    #[error("{0}")]
    Invalid(String),
    /// One argument is invalid.
    #[error("{name} {problem}")]
    Argument {
        /// The argument's name, such as `okta_url`.
        name: &'static str,
        /// The rest of the sentence, such as `must begin with https://`.
        problem: String,
    },
    /// An argument is missing.
    #[error("{why}, so {name} is required")]
    Missing {
        /// The argument's name.
        name: &'static str,
        /// Why it is required.
        why: String,
    },
    /// The database failed.
    #[error(transparent)]
    Postgres(#[from] database::Error),
    /// The broker failed.
    #[error(transparent)]
    Amqp(#[from] amqp::Error),
    /// The outcome is still unknown.
    #[error("{0}")]
    Late(String),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Postgres(error.into())
    }
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        Self::Amqp(error.into())
    }
}
