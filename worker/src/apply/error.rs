//! Why an attempt produced no verdicts.

use uuid::Uuid;

/// Why an attempt produced no verdicts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres.
    #[error(transparent)]
    Postgres(#[from] database::Error),
    /// Another transaction holds the locks of these tenants. Nothing was tried.
    #[error("another transaction holds a tenant's lock")]
    Busy(Vec<Uuid>),
    /// Holders of an externalId are loaded under its lock, and these locks are taken before all others.
    #[error("the fold assigned an externalId that was not locked")]
    Unlocked,
    /// A bug in the fold that one of the commands triggers.
    #[error("the fold panicked")]
    Panicked,
}

impl Error {
    /// Whether other transactions are the cause: the same commands may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Postgres(error) => error.is_transient(),
            Self::Busy(_) => true,
            Self::Unlocked | Self::Panicked => false,
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Postgres(error.into())
    }
}
