//! That a client was told what it made: written into `commands` a moment later, for many at once.
//!
//! Before it: an answer to a create. After it: the row is `claimed`; as long as it is not, a worker cannot know whether a POST that
//! comes again is repeated because nobody heard of the first, or on purpose.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::postgres::{Pool, verdicts};
use shared::retry::Delays;
use shared::ticket::Ticket;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// How long tickets are gathered: well below the second after which a worker takes what is not told for unheard.
const GATHER: Duration = Duration::from_millis(100);
/// The most rows of one statement.
const MOST: usize = 2_000;
/// How long stopping waits for Postgres.
const FINISH: Duration = Duration::from_secs(2);

/// What is told and not yet written.
pub(super) struct Told {
    pool: Pool,
    tickets: Mutex<Vec<Ticket>>,
    bell: Notify,
}

impl Told {
    /// Starts to write.
    pub(super) fn start(pool: Pool) -> Arc<Self> {
        let told = Arc::new(Self { pool, tickets: Mutex::default(), bell: Notify::new() });
        tokio::spawn(run(told.clone()));
        told
    }

    /// The client of this command was told what it made. Never waits.
    pub(super) fn note(&self, ticket: Ticket) {
        self.lock().push(ticket);
        self.bell.notify_one();
    }

    /// Writes what is left, within bounds.
    pub(super) async fn finish(&self) {
        if timeout(FINISH, self.write()).await.is_err() {
            warn!("stopped before it was written down that clients were told what they made");
        }
    }

    /// Writes all that there is. What could not be written waits for the next time.
    async fn write(&self) -> bool {
        loop {
            let tickets: Vec<Ticket> = {
                let mut waiting = self.lock();
                let first = waiting.len().min(MOST);
                waiting.drain(..first).collect()
            };
            if tickets.is_empty() {
                return true;
            }
            let written = self.pool.bounded(async |c| verdicts::claim(c, &tickets).await).await;
            if let Err(error) = written {
                warn!(%error, tickets = tickets.len(), "failed to note that clients were told what they made");
                self.lock().extend(tickets);
                return false;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Ticket>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(told: Arc<Told>) {
    loop {
        told.bell.notified().await;
        sleep(GATHER).await;
        let mut delays = Delays::reconnect();
        while !told.write().await {
            delays.pause().await;
        }
    }
}
