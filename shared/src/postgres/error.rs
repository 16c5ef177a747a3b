//! What can go wrong between us and Postgres, sorted by what to do about it.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as Diesel};

/// A failed piece of work. No variant repeats data: Postgres' own messages quote values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached or does not take work: wait and try again.
    #[error("Postgres is not available: {0}")]
    Unavailable(String),
    /// Another transaction was in the way: do it again at once.
    #[error("another transaction was in the way ({0})")]
    Contention(&'static str),
    /// A unique key is taken: somebody else was first.
    #[error("the unique key {constraint} is taken")]
    Taken {
        /// The constraint's name.
        constraint: String,
    },
    /// Postgres refuses the data: it will always refuse them.
    #[error("Postgres refuses the data: {0}")]
    Refused(String),
    /// What was asked for takes longer to find than we are willing to look.
    #[error("the query is too broad")]
    TooBroad,
    /// Postgres failed in a way that it did not tell us the class of (diesel hides the SQLSTATE).
    #[error("Postgres failed: {0}")]
    Unknown(String),
}

impl Error {
    /// Whether the same work may succeed when Postgres is well again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Contention(_))
    }
}

impl From<Diesel> for Error {
    fn from(error: Diesel) -> Self {
        match error {
            Diesel::DatabaseError(kind, info) => from_database(&kind, info.as_ref()),
            Diesel::BrokenTransactionManager | Diesel::AlreadyInTransaction | Diesel::NotInTransaction => {
                Self::Unavailable("the connection lost its transaction".to_owned())
            }
            // A rollback fails only when the connection is gone; why it was tried is the better news.
            Diesel::RollbackErrorOnCommit { commit_error, .. } => Self::from(*commit_error),
            Diesel::DeserializationError(_) => {
                Self::Refused("a stored value has another shape than expected".to_owned())
            }
            Diesel::SerializationError(_) => Self::Refused("a value cannot be stored".to_owned()),
            Diesel::NotFound => Self::Unknown("a row that must be there is not".to_owned()),
            _ => Self::Unknown("a query could not be built".to_owned()),
        }
    }
}

fn from_database(kind: &DatabaseErrorKind, info: &dyn DatabaseErrorInformation) -> Error {
    let constraint = || info.constraint_name().unwrap_or("unnamed").to_owned();
    match kind {
        DatabaseErrorKind::UniqueViolation => Error::Taken { constraint: constraint() },
        DatabaseErrorKind::SerializationFailure => Error::Contention("serialization failure"),
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
            Error::Unavailable("the connection broke".to_owned())
        }
        DatabaseErrorKind::ReadOnlyTransaction => Error::Unavailable("it is read-only".to_owned()),
        // Nobody refers on purpose to what is not there: it was deleted meanwhile.
        DatabaseErrorKind::ForeignKeyViolation => Error::Contention("a row that is referred to is gone"),
        DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation
        | DatabaseErrorKind::RestrictViolation
        | DatabaseErrorKind::ExclusionViolation => Error::Refused(format!("it violates {}", constraint())),
        _ => Error::Unknown(without_values(info.message())),
    }
}

/// A message of Postgres with everything quoted taken out.
fn without_values(message: &str) -> String {
    let outside = message.split('"').step_by(2);
    outside.collect::<Vec<_>>().join("\"…\"").chars().take(200).collect()
}

impl From<diesel_async::pooled_connection::deadpool::PoolError> for Error {
    fn from(error: diesel_async::pooled_connection::deadpool::PoolError) -> Self {
        use diesel_async::pooled_connection::deadpool::PoolError;
        Self::Unavailable(match error {
            PoolError::Timeout(_) => "no connection within the time allowed".to_owned(),
            PoolError::Backend(error) => reason(&error),
            _ => "the pool is closed".to_owned(),
        })
    }
}

/// The innermost cause, which names the socket's or the server's complaint; it holds no password.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    without_values(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_what_is_quoted() {
        assert_eq!(
            without_values(r#"invalid input for "ada@acme.example" here"#),
            r#"invalid input for "…" here"#
        );
    }
}
