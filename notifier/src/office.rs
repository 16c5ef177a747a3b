//! What the loops of the notifier share: the database, the clock, and the bells by which they wake each other.

use std::time::Duration;

use shared::clock::Clock;
use shared::postgres::Pool;
use tokio::sync::Notify;

/// Shared by all loops.
pub struct Office {
    /// Connections to Postgres.
    pub pool: Pool,
    /// How long mail about assignments waits for more to say.
    pub gather: Duration,
    /// The time of day.
    pub clock: Clock,
    /// Rings when a mail was decided: the sender looks at once.
    pub mail: Notify,
    /// Rings when a user appeared: parked events are tried at once.
    pub parked: Notify,
}

impl Office {
    /// An office over these.
    #[must_use]
    pub fn new(pool: Pool, gather: Duration, clock: Clock) -> Self {
        Self { pool, gather, clock, mail: Notify::new(), parked: Notify::new() }
    }
}
