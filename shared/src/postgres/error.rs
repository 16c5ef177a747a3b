//! What can go wrong between us and Postgres, sorted by what to do about it.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as Diesel};

use super::sqlstate;

/// A failed piece of work. No variant repeats data: Postgres' own messages quote values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached or does not take work: wait and try again.
    #[error("Postgres is not available: {0}")]
    Unavailable(String),
    /// The database lacks something that this version needs (a table, a right): wait until an operator has mended it.
    #[error("the database is not as this version needs it: {0}")]
    Unfit(String),
    /// Another transaction was in the way: do it again.
    #[error("another transaction was in the way ({0})")]
    Contention(&'static str),
    /// A statement took longer than its session or its transaction allows, or somebody cancelled it.
    #[error("a statement took too long, or was cancelled")]
    Cancelled,
    /// An earlier statement of the transaction failed: its error is the cause.
    #[error("an earlier statement of the transaction failed")]
    Aborted,
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
    /// Postgres failed in a way that says nothing of whose fault it is: an internal error, or an operator's trigger.
    #[error("Postgres failed: {0}")]
    Unknown(String),
}

impl Error {
    /// Whether the same work may succeed later, as it is: it is never the data's fault.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.is_collision() && !matches!(self, Self::Taken { .. })
            || matches!(self, Self::Unavailable(_) | Self::Unfit(_))
    }

    /// Whether another transaction was in the way, so that the same work may succeed at once.
    #[must_use]
    pub fn is_collision(&self) -> bool {
        matches!(self, Self::Taken { .. } | Self::Contention(_) | Self::Cancelled | Self::Aborted)
    }

    /// Of the errors of statements that were sent together, the one that the others follow from.
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

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Wait: Postgres does not work as it should, whatever it is asked for.
    Wait,
    /// Wait for an operator.
    Mend,
    /// Do it again.
    Again(&'static str),
    /// It was cancelled.
    Cancelled,
    /// Look at the error before it.
    Aborted,
    /// Look who was first.
    Taken,
    /// Give it up: these data violate a constraint.
    Violates,
    /// Give it up: Postgres will never take these data.
    Refuse,
    /// Nothing is known of whose fault it is.
    Unknown,
}

/// What to do about which SQLSTATE (PostgreSQL's manual, appendix A): a whole one, or the two characters of its class. The longest that
/// fits counts; an unknown class says nothing.
const TABLE: &[(&str, What)] = &[
    // The data's fault. A batch is tried one by one then, and whose data they are becomes a dead letter.
    ("21", What::Refuse),
    ("22", What::Refuse),
    ("23", What::Violates),
    ("44", What::Refuse),
    // Limits of the server's that no other server has otherwise: an index's longest row, the deepest nesting.
    ("54", What::Refuse),
    // Somebody else was first.
    ("23505", What::Taken),
    // Nobody refers on purpose to what is not there: it was deleted meanwhile.
    ("23503", What::Again("a row that is referred to is gone")),
    ("40", What::Again("the transaction was rolled back")),
    ("40001", What::Again("serialization failure")),
    ("40P01", What::Again("deadlock")),
    ("55P03", What::Again("a lock was not given up in time")),
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
    // Rights, tables, columns, a prepared statement that a pooler gave to another.
    ("0A", What::Mend),
    ("26", What::Mend),
    ("28", What::Mend),
    ("3D", What::Mend),
    ("3F", What::Mend),
    ("42", What::Mend),
    // Internal errors; a trigger of the operator's.
    ("XX", What::Unknown),
    ("P0", What::Unknown),
];

fn what(state: &str) -> What {
    let fits = TABLE.iter().filter(|(begin, _)| state.starts_with(begin));
    fits.max_by_key(|(begin, _)| begin.len()).map_or(What::Unknown, |(_, what)| *what)
}

fn from_database(kind: &DatabaseErrorKind, info: &dyn DatabaseErrorInformation) -> Error {
    let Some(state) = sqlstate::of(info) else {
        // No error of the server's: of the driver's, which has none but these.
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
    fn every_class_of_failure_is_known_by_its_sqlstate() {
        for (states, expected) in [
            // Deadlock, serialization failure, lock timeout, a row that is gone, a lost commit.
            (&["40P01", "40001", "55P03", "23503", "40003"][..], "again"),
            // A statement's time is up, or an administrator ended it.
            (&["57014"], "cancelled"),
            // The server goes or comes, the session is ended, the connection broke.
            (&["57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006", "08P01"], "wait"),
            // Disk full, memory, too many connections, input and output.
            (&["53000", "53100", "53200", "53300", "53400", "58000", "58030"], "wait"),
            // A standby; a transaction that idled for too long.
            (&["25006", "25P03", "25P04", "55000"], "wait"),
            // No rights, no database, no such table or column: the operator's to mend.
            (&["28P01", "3D000", "3F000", "42501", "42P01", "42703", "0A000", "26000"], "mend"),
            (&["25P02"], "aborted"),
            (&["23505"], "taken"),
            // Malformed values, U+0000, a number out of range, a violated check, a row that is too long for an index.
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
    fn of_errors_that_came_together_the_cause_is_told() {
        let deadlock = Error::Contention("deadlock");
        let errors = [Error::Aborted, deadlock.clone(), Error::Aborted];
        assert_eq!(Error::cause(errors), Some(deadlock));
        assert_eq!(Error::cause([Error::Aborted]), Some(Error::Aborted));
        assert_eq!(Error::cause([]), None);
    }

    #[test]
    fn messages_lose_what_is_quoted() {
        assert_eq!(
            without_values(r#"invalid input for "ada@acme.example" here"#),
            r#"invalid input for "…" here"#
        );
    }
}
