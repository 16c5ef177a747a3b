//! How long a session's statements may take, and may wait for others' locks.
//!
//! Before: which program it is. After: [`super::Pool`], which sets them for every session that it opens.

use std::time::Duration;

/// The limits of a session; zero is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `statement_timeout`: PostgreSQL itself ends a statement then, though its program may be gone.
    pub statement: Duration,
    /// `lock_timeout`: how long a statement waits for a row, or for whatever else another transaction holds.
    pub lock: Duration,
}

impl Limits {
    /// Of ingest and notifier: as long as [`super::Pool::bounded`] waits for all of a piece of work.
    pub const SERVICE: Self = Self { statement: Duration::from_secs(10), lock: Duration::from_secs(5) };
    /// Of a worker: a batch may write 100,000 memberships. A lock that is not given up so soon is one of many commands, and the
    /// others go first.
    pub const WORKER: Self = Self { statement: Duration::from_secs(60), lock: Duration::from_secs(3) };
    /// Of operators, migrations and backfills: none.
    pub const NONE: Self = Self { statement: Duration::ZERO, lock: Duration::ZERO };

    /// The statement that sets them for the session.
    pub(super) fn of_session(self) -> String {
        let Self { statement, lock } = self;
        format!("set statement_timeout = {}; set lock_timeout = {}", statement.as_millis(), lock.as_millis())
    }

    /// The statement that sets them until the transaction ends.
    #[must_use]
    pub fn of_transaction(self) -> String {
        let Self { statement, lock } = self;
        format!(
            "set local statement_timeout = {}; set local lock_timeout = {}",
            statement.as_millis(),
            lock.as_millis()
        )
    }
}
