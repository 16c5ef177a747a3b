//! Records when a key was last used, in the table `key_uses`: in the background, at most once a minute per key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use database::schema::key_uses::dsl::{key_id, key_uses, last_used_at};
use database::{Error, Pool};
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use platform::clock::Clock;
use tokio::sync::mpsc;
use tracing::warn;
use uuid::Uuid;

/// The minimum time between two writes for one key.
const EVERY: Duration = Duration::from_secs(60);
/// The maximum number of uses that wait to be written. Further ones are dropped; the key's next use is recorded
/// instead.
const BACKLOG: usize = 1_024;

/// The recently written keys, and the channel to the writer.
pub(super) struct Uses {
    written: Mutex<HashMap<Uuid, Instant>>,
    writer: mpsc::Sender<Uuid>,
}

impl Uses {
    /// Starts the writer. It ends when this is dropped.
    pub(super) fn start(pool: Pool, clock: Clock) -> Self {
        let (writer, uses) = mpsc::channel(BACKLOG);
        tokio::spawn(run(uses, pool, clock));
        Self { written: Mutex::default(), writer }
    }

    /// Records that a key was used now. Never blocks.
    pub(super) fn note(&self, key: Uuid) {
        let now = Instant::now();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = written.get(&key).is_none_or(|last| now.duration_since(*last) >= EVERY);
        if is_due {
            // Forget keys that are no longer used.
            written.retain(|_, last| now.duration_since(*last) < EVERY);
            written.insert(key, now);
            // The backlog is full because Postgres is unavailable. The time of use is not worth waiting for.
            let _ = self.writer.try_send(key);
        }
    }
}

async fn run(mut uses: mpsc::Receiver<Uuid>, pool: Pool, clock: Clock) {
    while let Some(key) = uses.recv().await {
        if let Err(error) = write(&pool, key, &clock).await {
            warn!(%error, key.id = %key, "failed to record the use of an API key");
        }
    }
}

async fn write(pool: &Pool, key: Uuid, clock: &Clock) -> Result<(), Error> {
    let row = (key_id.eq(key), last_used_at.eq(clock.now()));
    pool.bounded(async |connection| {
        let newer = last_used_at.eq(excluded(last_used_at));
        let upsert = diesel::insert_into(key_uses).values(row).on_conflict(key_id).do_update().set(newer);
        Ok(upsert.execute(connection).await.map(drop)?)
    })
    .await
}
