//! Receipts: records in `receipts`, in batches, that clients received the outcome of their create. Without a receipt, a
//! worker cannot tell a retry of a lost response from an intentional second POST.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use database::{Pool, verdicts};
use domain::ticket::Ticket;
use platform::retry::Delays;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// How long tickets are collected: well below the second after which a worker assumes that the outcome was not
/// received.
const GATHER: Duration = Duration::from_millis(100);
/// The maximum number of rows of one statement.
const MAX_ROWS: usize = 2_000;
/// How long shutdown waits for Postgres.
const FINISH: Duration = Duration::from_secs(2);

/// The receipts that are not yet written.
pub(super) struct Receipts {
    pool: Pool,
    tickets: Mutex<Vec<Ticket>>,
    wake: Notify,
}

impl Receipts {
    /// Starts the writer.
    pub(super) fn start(pool: Pool) -> Arc<Self> {
        let receipts = Arc::new(Self { pool, tickets: Mutex::default(), wake: Notify::new() });
        tokio::spawn(run(receipts.clone()));
        receipts
    }

    /// Records that the client of this command received its outcome. Never blocks.
    pub(super) fn note(&self, ticket: Ticket) {
        self.lock().push(ticket);
        self.wake.notify_one();
    }

    /// Writes the remaining receipts, within bounds.
    pub(super) async fn finish(&self) {
        if timeout(FINISH, self.write()).await.is_err() {
            warn!("stopped before all receipts were written");
        }
    }

    /// Writes all receipts. Returns false if that failed; the receipts are kept for the next attempt.
    async fn write(&self) -> bool {
        loop {
            let tickets: Vec<Ticket> = {
                let mut waiting = self.lock();
                let first = waiting.len().min(MAX_ROWS);
                waiting.drain(..first).collect()
            };
            if tickets.is_empty() {
                return true;
            }
            let written = self.pool.bounded(async |c| verdicts::write_receipts(c, &tickets).await).await;
            if let Err(error) = written {
                warn!(%error, tickets = tickets.len(), "failed to write receipts");
                self.lock().extend(tickets);
                return false;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Ticket>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(receipts: Arc<Receipts>) {
    loop {
        receipts.wake.notified().await;
        sleep(GATHER).await;
        let mut delays = Delays::reconnect();
        while !receipts.write().await {
            delays.pause().await;
        }
    }
}
