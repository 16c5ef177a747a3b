//! What this worker does at the moment, as its row in `workers` tells: for `rollcall top`. Never in the way of work: a row that
//! cannot be written now is written a second later.
//!
//! Before: [`crate::consumer`] and [`crate::apply`] note what they do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::sql_query;
use diesel::sql_types::{BigInt, Jsonb, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::{Value, json};
use shared::postgres::{Error, Pool};
use shared::shutdown;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

/// How often the row is renewed.
const EVERY: Duration = Duration::from_secs(1);

/// Both times are the database's: whoever looks compares them with its clock.
const UPSERT: &str = "insert into workers (id, host, pid, version, started_at, seen_at, queues) \
    values ($1, $2, $3, $4, now(), now(), $5) \
    on conflict (id) do update set seen_at = excluded.seen_at, queues = excluded.queues";

/// What is done for one queue. Clones share it.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<State>>);

/// As it stands in the column `queues`.
#[derive(Clone, Debug, Serialize)]
struct State {
    queue: &'static str,
    doing: Doing,
    /// Since when.
    #[serde(with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
    /// How many commands are in hand.
    in_hand: usize,
    /// When the oldest command in hand was issued.
    #[serde(with = "time::serde::rfc3339::option")]
    oldest: Option<OffsetDateTime>,
    /// How many commands have their verdict from this worker, since it started.
    decided: u64,
    batches: u64,
    dead: u64,
    /// When the first one had it.
    #[serde(with = "time::serde::rfc3339::option")]
    first_decided_at: Option<OffsetDateTime>,
}

/// What a worker does for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Doing {
    /// For messages.
    #[serde(rename = "waiting")]
    Waiting,
    /// A batch.
    #[serde(rename = "applying")]
    Applying,
    /// A batch is in hand, and Postgres is away.
    #[serde(rename = "waiting for Postgres")]
    WaitingForPostgres,
}

impl Progress {
    /// Nothing done yet.
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

    /// So many commands are in hand since `now`, the oldest of them issued at `oldest`.
    pub fn begin(&self, in_hand: usize, oldest: Option<OffsetDateTime>, now: OffsetDateTime) {
        let mut state = self.state();
        *state = State { doing: Doing::Applying, since: Some(now), in_hand, oldest, ..state.clone() };
    }

    /// So many commands have their verdict.
    pub fn decided(&self, commands: usize, now: OffsetDateTime) {
        let mut state = self.state();
        state.decided += commands as u64;
        if commands > 0 {
            state.first_decided_at.get_or_insert(now);
        }
    }

    /// The batch is acknowledged, or was given back; `dead` messages of it are dead.
    pub fn end(&self, dead: usize, now: OffsetDateTime) {
        let mut state = self.state();
        state.dead += dead as u64;
        state.batches += 1;
        *state = State { doing: Doing::Waiting, since: Some(now), in_hand: 0, oldest: None, ..state.clone() };
    }

    /// Postgres went away or came back, with a batch in hand.
    pub fn postgres_is_away(&self, away: bool) {
        self.state().doing = if away { Doing::WaitingForPostgres } else { Doing::Applying };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews the row of this worker until `stop`, then takes it away.
pub async fn run(worker: Uuid, pool: Pool, queues: Vec<Progress>, stop: CancellationToken) {
    let host = host();
    loop {
        let states: Vec<State> = queues.iter().map(|queue| queue.state().clone()).collect();
        if let Err(error) = report(&pool, worker, &host, json!(states)).await {
            debug!(%error, "what this worker does could not be told");
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
