//! When a key was last used: written in the background, at most once a minute per key.
//!
//! Before it: the gate. After it: the table `key_uses`, which the operator's CLI shows.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;
use shared::clock::Clock;
use shared::postgres::schema::key_uses::dsl::{key_id, key_uses, last_used_at};
use shared::postgres::{Error, Pool};
use tokio::sync::mpsc;
use tracing::warn;
use uuid::Uuid;

/// How often the use of one key is written.
const EVERY: Duration = Duration::from_secs(60);
/// The most uses that wait to be written; more are dropped, and noted again a minute later.
const BACKLOG: usize = 1_024;

/// What has been written lately, and the way to the writer.
pub(super) struct Uses {
    written: Mutex<HashMap<Uuid, Instant>>,
    writer: mpsc::Sender<Uuid>,
}

impl Uses {
    /// Starts the writer, which ends when this is dropped.
    pub(super) fn start(pool: Pool, clock: Clock) -> Self {
        let (writer, uses) = mpsc::channel(BACKLOG);
        tokio::spawn(run(uses, pool, clock));
        Self { written: Mutex::default(), writer }
    }

    /// Notes that a key was used now. Never waits.
    pub(super) fn note(&self, key: Uuid) {
        let now = Instant::now();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = written.get(&key).is_none_or(|last| now.duration_since(*last) >= EVERY);
        if is_due {
            // Keys that are not used any more need not be remembered.
            written.retain(|_, last| now.duration_since(*last) < EVERY);
            written.insert(key, now);
            // A full backlog means that Postgres is away: the time of use is not worth waiting for.
            let _ = self.writer.try_send(key);
        }
    }
}

async fn run(mut uses: mpsc::Receiver<Uuid>, pool: Pool, clock: Clock) {
    while let Some(key) = uses.recv().await {
        if let Err(error) = write(&pool, key, &clock).await {
            warn!(%error, key.id = %key, "failed to note the use of an API key");
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
