//! The state that the notifier's loops share: the pool, the clock, and the notifications by which they wake each other.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use database::Pool;
use platform::clock::Clock;
use tokio::sync::Notify;
use uuid::Uuid;

/// State shared by all loops.
pub struct SharedState {
    /// Connections to Postgres.
    pub pool: Pool,
    /// How long mail about assignments is delayed, so that one mail can list several.
    pub gather: Duration,
    /// The clock.
    pub clock: Clock,
    /// Notified when a mail becomes pending; wakes the sender.
    pub mail: Notify,
    /// Notified when a user is created or restored; wakes the retry of parked events.
    pub parked: Notify,
    /// The tenants that have parked events since their number was last checked.
    pub parking: Mutex<HashSet<Uuid>>,
}

impl SharedState {
    /// Creates the shared state.
    #[must_use]
    pub fn new(pool: Pool, gather: Duration, clock: Clock) -> Self {
        Self { pool, gather, clock, mail: Notify::new(), parked: Notify::new(), parking: Mutex::default() }
    }
}
