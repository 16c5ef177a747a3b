//! How patient an attempt is, and how much of the database's connections it may use.

use std::time::Duration;

use database::Limits;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How an attempt treats other transactions and other work of this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Commands of several tenants: waits hardly for locks, and not for a tenant's.
    Together,
    /// Commands of one tenant, on which no other tenant waits. Waits hardly for locks.
    Part,
    /// The same, for commands that were blocked: waits for locks.
    Patient,
    /// A command that may kill the worker, while nothing else is applied.
    Isolated,
}

impl Manner {
    /// The limits of its transactions, if they are not those of the session.
    pub(super) fn limits(self) -> Option<Limits> {
        match self {
            Self::Patient => Some(Limits::PATIENT),
            // Everybody waits meanwhile.
            Self::Isolated => Some(Limits { lock: Duration::from_millis(50), ..Limits::WORKER }),
            Self::Together | Self::Part => None,
        }
    }
}

/// Bounds how many connections the parts of single tenants use at a time. The rest is for what everybody waits for.
#[derive(Debug)]
pub struct Turns {
    part: Semaphore,
    patient: Semaphore,
}

impl Turns {
    /// For a pool of this many connections.
    #[must_use]
    pub fn of(connections: usize) -> Self {
        let each = (connections.saturating_sub(2) / 3).max(1);
        Self { part: Semaphore::new(each), patient: Semaphore::new(each) }
    }

    /// Waits for a turn, if this manner needs one. Dropping it ends the turn.
    pub(super) async fn take(&self, manner: Manner) -> Option<SemaphorePermit<'_>> {
        let turns = match manner {
            Manner::Part => &self.part,
            Manner::Patient => &self.patient,
            Manner::Together | Manner::Isolated => return None,
        };
        // They are never closed.
        turns.acquire().await.ok()
    }
}
