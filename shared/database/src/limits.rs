//! How long a session's statements may take, and may wait for locks.

use std::time::Duration;

/// The limits of a session; zero means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `statement_timeout`: Postgres itself ends the statement, even if its client has disconnected.
    pub statement: Duration,
    /// `lock_timeout`: how long a statement waits for a row or for anything else that another transaction holds.
    pub lock: Duration,
}

impl Limits {
    /// For ingest and notifier: the limit of [`super::Pool::bounded`].
    pub const SERVICE: Self = Self { statement: Duration::from_secs(10), lock: Duration::from_secs(5) };
    /// For a worker: a batch may write 100,000 memberships. A lock that is held for longer affects one of many tenants,
    /// whose commands are set aside.
    pub const WORKER: Self = Self { statement: Duration::from_secs(60), lock: Duration::from_millis(250) };
    /// For work of a worker that nobody else waits for: long enough to be told of a deadlock.
    pub const PATIENT: Self = Self { lock: Duration::from_secs(3), ..Self::WORKER };
    /// For operators, migrations and backfills: no limits.
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
