//! The status of this worker in the table `workers`, for `rollcall top`. It never delays work: a row that cannot be
//! written is written a second later. [`crate::consumer`] and [`crate::apply`] update it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use database::{Error, Pool};
use diesel::sql_query;
use diesel::sql_types::{BigInt, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use platform::shutdown;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

/// How often the row is written.
const EVERY: Duration = Duration::from_secs(1);

/// Both times come from the database, so that readers can compare them with its clock.
const UPSERT: &str = "insert into workers (id, host, pid, version, started_at, seen_at, queues) \
    values ($1, $2, $3, $4, now(), now(), $5) \
    on conflict (id) do update set seen_at = excluded.seen_at, queues = excluded.queues";

/// The progress on one queue. Clones share it.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<State>>);

/// An element of the column `queues`.
#[derive(Clone, Debug, Serialize)]
struct State {
    queue: &'static str,
    doing: Doing,
    /// When the current activity began.
    #[serde(with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
    /// How many commands are in progress.
    in_hand: usize,
    /// When the oldest command in progress was issued.
    #[serde(with = "time::serde::rfc3339::option")]
    oldest: Option<OffsetDateTime>,
    /// How many commands this worker has decided since it started.
    decided: u64,
    batches: u64,
    dead: u64,
    /// When the first command was decided.
    #[serde(with = "time::serde::rfc3339::option")]
    first_decided_at: Option<OffsetDateTime>,
}

/// What a worker does on a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Doing {
    /// It waits for messages.
    #[serde(rename = "waiting")]
    Waiting,
    /// It applies a batch.
    #[serde(rename = "applying")]
    Applying,
    /// It holds a batch, and Postgres is unavailable.
    #[serde(rename = "waiting for Postgres")]
    WaitingForPostgres,
}

impl Progress {
    /// A new worker's progress.
    #[must_use]
    pub fn new(queue: &'static str) -> Self {
        Self(Arc::new(Mutex::new(State {
            queue,
            doing: Doing::Waiting,
            since: None,
            in_hand: 0,
            oldest: None,
            decided: 0,
            batches: 0,
            dead: 0,
            first_decided_at: None,
        })))
    }

    /// Records that this many commands are in progress since `now`. The oldest was issued at `oldest`.
    pub fn begin(&self, in_hand: usize, oldest: Option<OffsetDateTime>, now: OffsetDateTime) {
        let mut state = self.state();
        *state = State { doing: Doing::Applying, since: Some(now), in_hand, oldest, ..state.clone() };
    }

    /// Records that this many commands were decided.
    pub fn decided(&self, commands: usize, now: OffsetDateTime) {
        let mut state = self.state();
        state.decided += commands as u64;
        if commands > 0 {
            state.first_decided_at.get_or_insert(now);
        }
    }

    /// Records that this many messages were dead-lettered.
    pub fn dead(&self, messages: usize) {
        self.state().dead += messages as u64;
    }

    /// Records that the batch was acknowledged, set aside or returned.
    pub fn end(&self, now: OffsetDateTime) {
        let mut state = self.state();
        state.batches += 1;
        *state = State { doing: Doing::Waiting, since: Some(now), in_hand: 0, oldest: None, ..state.clone() };
    }

    /// Records that Postgres became unavailable or available while a batch is in progress.
    pub fn postgres_is_away(&self, away: bool) {
        let mut state = self.state();
        state.doing = match (away, state.in_hand) {
            (true, _) => Doing::WaitingForPostgres,
            (false, 0) => Doing::Waiting,
            (false, _) => Doing::Applying,
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes this worker's row periodically until `stop`, then deletes it.
pub async fn run(worker: Uuid, pool: Pool, queues: Vec<Progress>, stop: CancellationToken) {
    let host = host();
    loop {
        let states: Vec<State> = queues.iter().map(|queue| queue.state().clone()).collect();
        if let Err(error) = report(&pool, worker, &host, json!(states)).await {
            debug!(%error, "failed to write the worker's status");
        }
        if !shutdown::pause(&stop, EVERY).await {
            break;
        }
    }
    let _ = tokio::time::timeout(EVERY, withdraw(&pool, worker)).await;
}

async fn report(pool: &Pool, worker: Uuid, host: &str, queues: Value) -> Result<(), Error> {
    let query = sql_query(UPSERT)
        .bind::<SqlUuid, _>(worker)
        .bind::<Text, _>(host)
        .bind::<BigInt, _>(i64::from(std::process::id()))
        .bind::<Text, _>(env!("CARGO_PKG_VERSION"))
        .bind::<Jsonb, _>(queues);
    pool.bounded(async |connection| Ok(query.execute(connection).await.map(drop)?)).await
}

async fn withdraw(pool: &Pool, worker: Uuid) -> Result<(), Error> {
    let query = sql_query("delete from workers where id = $1").bind::<SqlUuid, _>(worker);
    pool.bounded(async |connection| Ok(query.execute(connection).await.map(drop)?)).await
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "unknown".to_owned() } else { name.trim().to_owned() }
}
