//! Errors of Postgres and of the connection to it, classified by how to react to them.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as Diesel};

use super::sqlstate;

/// A failed operation. No variant contains data: Postgres' own messages quote values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached or accepts no work: wait and retry.
    #[error("Postgres is unavailable: {0}")]
    Unavailable(String),
    /// A limit of our own passed before Postgres answered: no connection of the pool was free, or the work took too
    /// long. Wait and retry.
    #[error("Postgres did not answer in time: {0}")]
    Busy(&'static str),
    /// The database lacks something that this version needs (a table, a privilege): wait until an operator has fixed
    /// it.
    #[error("the database does not fit this version: {0}")]
    Unfit(String),
    /// A concurrent transaction interfered: retry.
    #[error("a concurrent transaction interfered ({0})")]
    Contention(&'static str),
    /// A statement exceeded the timeout of its session or transaction, or was cancelled.
    #[error("a statement timed out or was cancelled")]
    Cancelled,
    /// An earlier statement of the transaction failed: its error is the cause.
    #[error("an earlier statement of the transaction failed")]
    Aborted,
    /// A unique key exists already: a concurrent transaction was first.
    #[error("the unique key {constraint} exists already")]
    Taken {
        /// The constraint's name.
        constraint: String,
    },
    /// Postgres will never accept the data.
    #[error("Postgres rejects the data: {0}")]
    Refused(String),
    /// The query exceeds the time limit of a list.
    #[error("the query is too broad")]
    TooBroad,
    /// The query compares too many values with too many resources.
    #[error("the query compares {terms} values with each of more than {rows} resources")]
    TooManyTerms {
        /// The number of values that it compares with each resource.
        terms: i64,
        /// The number of resources for which this is allowed.
        rows: i64,
    },
    /// Postgres failed, and the error does not show whether the data are the cause: an internal error, or an operator's
    /// trigger.
    #[error("Postgres failed: {0}")]
    Unknown(String),
}

impl Error {
    /// Whether a retry of the same work may succeed later: the data are not the cause.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.is_collision() && !matches!(self, Self::Taken { .. })
            || matches!(self, Self::Unavailable(_) | Self::Busy(_) | Self::Unfit(_))
    }

    /// Whether Postgres is away or cannot do its work, as opposed to being slow or interfered with.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unfit(_))
    }

    /// Whether a concurrent transaction interfered, so that an immediate retry may succeed.
    #[must_use]
    pub fn is_collision(&self) -> bool {
        matches!(self, Self::Taken { .. } | Self::Contention(_) | Self::Cancelled | Self::Aborted)
    }

    /// Among the errors of pipelined statements, the one that caused the others.
    #[must_use]
    pub fn cause(errors: impl IntoIterator<Item = Self>) -> Option<Self> {
        errors.into_iter().min_by_key(|error| matches!(error, Self::Aborted))
    }
}

impl From<Diesel> for Error {
    fn from(error: Diesel) -> Self {
        match error {
            Diesel::DatabaseError(kind, info) => from_database(&kind, info.as_ref()),
            Diesel::BrokenTransactionManager | Diesel::AlreadyInTransaction | Diesel::NotInTransaction => {
                Self::Unavailable("the connection lost its transaction".to_owned())
            }
            // A rollback fails only if the connection is lost; the reason for the rollback is more useful.
            Diesel::RollbackErrorOnCommit { commit_error, .. } => Self::from(*commit_error),
            Diesel::DeserializationError(_) => {
                Self::Refused("a stored value has an unexpected shape".to_owned())
            }
            Diesel::SerializationError(_) => Self::Refused("a value cannot be stored".to_owned()),
            Diesel::NotFound => Self::Unknown("an expected row is missing".to_owned()),
            _ => Self::Unknown("a query could not be built".to_owned()),
        }
    }
}

/// How to react to an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Wait: Postgres is not working properly, whatever the request.
    Wait,
    /// Wait for an operator.
    Mend,
    /// Retry.
    Again(&'static str),
    /// It was cancelled.
    Cancelled,
    /// The cause is an earlier error.
    Aborted,
    /// A concurrent transaction was first.
    Taken,
    /// Give up: the data violate a constraint.
    Violates,
    /// Give up: Postgres never accepts the data.
    Refuse,
    /// The cause is unknown.
    Unknown,
}

/// The reaction to each SQLSTATE (PostgreSQL's manual, appendix A): a whole code, or the two characters of its class.
/// The longest match counts; a class that is not listed is unknown.
const TABLE: &[(&str, What)] = &[
    // The data are the cause. The batch is then applied command by command, and the bad command becomes a dead letter.
    ("21", What::Refuse),
    ("22", What::Refuse),
    ("23", What::Violates),
    ("44", What::Refuse),
    // Limits that are the same on every server: an index's longest row, the deepest nesting.
    ("54", What::Refuse),
    // A concurrent transaction was first.
    ("23505", What::Taken),
    // We never reference a missing row on purpose: it was deleted concurrently.
    ("23503", What::Again("a referenced row was deleted")),
    ("40", What::Again("the transaction was rolled back")),
    ("40001", What::Again("serialization failure")),
    ("40P01", What::Again("deadlock")),
    ("55P03", What::Again("lock timeout")),
    ("57014", What::Cancelled),
    ("25P02", What::Aborted),
    // The connection, the server, its disk.
    ("08", What::Wait),
    ("25", What::Wait),
    ("53", What::Wait),
    ("55", What::Wait),
    ("57", What::Wait),
    ("58", What::Wait),
    ("F0", What::Wait),
    // Privileges, tables, columns; a prepared statement that a pooler gave to another client.
    ("0A", What::Mend),
    ("26", What::Mend),
    ("28", What::Mend),
    ("3D", What::Mend),
    ("3F", What::Mend),
    ("42", What::Mend),
    // Internal errors; an operator's trigger.
    ("XX", What::Unknown),
    ("P0", What::Unknown),
];

fn what(state: &str) -> What {
    let fits = TABLE.iter().filter(|(begin, _)| state.starts_with(begin));
    fits.max_by_key(|(begin, _)| begin.len()).map_or(What::Unknown, |(_, what)| *what)
}

fn from_database(kind: &DatabaseErrorKind, info: &dyn DatabaseErrorInformation) -> Error {
    let Some(state) = sqlstate::of(info) else {
        // The driver's own errors, which have no SQLSTATE.
        return match kind {
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                Error::Unavailable("the connection broke".to_owned())
            }
            _ => Error::Unknown(without_values(info.message())),
        };
    };
    let constraint = || info.constraint_name().unwrap_or("unnamed").to_owned();
    let said = || format!("{} ({state})", without_values(info.message()));
    match what(state) {
        What::Wait => Error::Unavailable(said()),
        What::Mend => Error::Unfit(said()),
        What::Again(why) => Error::Contention(why),
        What::Cancelled => Error::Cancelled,
        What::Aborted => Error::Aborted,
        What::Taken => Error::Taken { constraint: constraint() },
        What::Violates => Error::Refused(format!("it violates {} ({state})", constraint())),
        What::Refuse => Error::Refused(said()),
        What::Unknown => Error::Unknown(said()),
    }
}

/// A message of Postgres without quoted values.
fn without_values(message: &str) -> String {
    let outside = message.split('"').step_by(2);
    outside.collect::<Vec<_>>().join("\"…\"").chars().take(200).collect()
}

impl From<diesel_async::pooled_connection::deadpool::PoolError> for Error {
    fn from(error: diesel_async::pooled_connection::deadpool::PoolError) -> Self {
        use ::deadpool::managed::TimeoutType;
        use diesel_async::pooled_connection::deadpool::PoolError;
        match error {
            PoolError::Timeout(TimeoutType::Wait) => Self::Busy("no connection of the pool was free"),
            PoolError::Timeout(_) => Self::Unavailable("no connection within the time allowed".to_owned()),
            PoolError::Backend(error) => Self::Unavailable(reason(&error)),
            _ => Self::Unavailable("the pool is closed".to_owned()),
        }
    }
}

/// The innermost cause: the message of the socket or the server. It contains no password.
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
    fn every_failure_is_classified_by_its_sqlstate() {
        for (states, expected) in [
            // Deadlock, serialization failure, lock timeout, a deleted row, a lost commit.
            (&["40P01", "40001", "55P03", "23503", "40003"][..], "again"),
            // A statement timed out, or an administrator cancelled it.
            (&["57014"], "cancelled"),
            // The server is stopping or starting, the session was ended, the connection broke.
            (&["57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006", "08P01"], "wait"),
            // Disk full, out of memory, too many connections, I/O.
            (&["53000", "53100", "53200", "53300", "53400", "58000", "58030"], "wait"),
            // A standby; a transaction that was idle for too long.
            (&["25006", "25P03", "25P04", "55000"], "wait"),
            // Missing privileges, database, table or column: an operator must fix it.
            (&["28P01", "3D000", "3F000", "42501", "42P01", "42703", "0A000", "26000"], "mend"),
            (&["25P02"], "aborted"),
            (&["23505"], "taken"),
            // Malformed values, U+0000, a number out of range, a violated check, a row too long for an index.
            (&["22P02", "22P05", "22003", "22001", "22021", "21000", "44000", "54000", "54001"], "refused"),
            (&["23502", "23514", "23P01", "23001", "23000"], "refused"),
            (&["XX000", "XX001", "P0001", "38000", "99999"], "unknown"),
        ] {
            for state in states {
                let said = match what(state) {
                    What::Again(_) => "again",
                    What::Cancelled => "cancelled",
                    What::Wait => "wait",
                    What::Mend => "mend",
                    What::Aborted => "aborted",
                    What::Taken => "taken",
                    What::Violates | What::Refuse => "refused",
                    What::Unknown => "unknown",
                };
                assert_eq!(said, expected, "{state}");
            }
        }
    }

    #[test]
    fn the_cause_is_found_among_the_errors_of_pipelined_statements() {
        let deadlock = Error::Contention("deadlock");
        let errors = [Error::Aborted, deadlock.clone(), Error::Aborted];
        assert_eq!(Error::cause(errors), Some(deadlock));
        assert_eq!(Error::cause([Error::Aborted]), Some(Error::Aborted));
        assert_eq!(Error::cause([]), None);
    }

    #[test]
    fn slowness_is_not_absence() {
        for (error, is_away) in [
            (Error::Unavailable("the connection broke".to_owned()), true),
            (Error::Unfit("permission denied".to_owned()), true),
            (Error::Busy("no connection of the pool was free"), false),
            (Error::Cancelled, false),
            (Error::Contention("lock timeout"), false),
        ] {
            assert_eq!((error.is_away(), error.is_transient()), (is_away, true), "{error}");
        }
    }

    #[test]
    fn quoted_values_are_removed_from_messages() {
        assert_eq!(
            without_values(r#"invalid input for "ada@acme.example" here"#),
            r#"invalid input for "…" here"#
        );
    }
}
