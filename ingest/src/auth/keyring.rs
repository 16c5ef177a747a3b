//! Judging a presented key: out of the cache while that is fresh, else out of Postgres, one read at a time per key.
//!
//! A key that was right is honoured for ten minutes while Postgres is away; a revoked one is refused within a second.
//! Before it: the credentials. After it: whoever asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use sha2::{Digest as _, Sha256};
use shared::postgres::keys::{self, Key};
use shared::postgres::{Error, Pool};
use subtle::ConstantTimeEq;
use tracing::{Instrument, warn};

use super::cache::{Cache, Digest};

/// How long a key is taken for what it was.
const FRESH: Duration = Duration::from_millis(500);
/// How long a key is honoured while Postgres cannot be asked.
const HONOURED: Duration = Duration::from_secs(600);
/// How long a request waits for Postgres.
const WAIT: Duration = Duration::from_secs(2);
/// The most keys that are remembered.
const CAPACITY: usize = 10_000;
/// The most reads at a time: requests with wrong keys must not pile up on a Postgres that hangs.
const MAX_READS: usize = 1_024;

/// The keys. They are read in tasks of their own: a read that nobody waits for any more still refreshes the cache.
pub(super) struct Keyring {
    pool: Pool,
    state: Arc<State>,
}

struct State {
    cache: Mutex<Cache>,
    reads: Mutex<HashMap<Digest, Read>>,
}

/// A read under way.
#[derive(Clone)]
struct Read {
    began: Instant,
    result: Shared<BoxFuture<'static, Found>>,
}

/// The key, or that there is none; or no answer.
type Found = Result<Option<Arc<Key>>, Away>;

/// Postgres did not tell, and the key is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Away;

impl Keyring {
    pub(super) fn new(pool: Pool) -> Self {
        let state = State { cache: Mutex::new(Cache::new(CAPACITY)), reads: Mutex::default() };
        Self { pool, state: Arc::new(state) }
    }

    /// The key that was presented; `None` if it opens nothing. It may have expired: ask it.
    pub(super) async fn find(&self, presented: &str) -> Found {
        let Some(prefix) = keys::prefix(presented) else { return Ok(None) };
        let digest: Digest = Sha256::digest(presented).into();
        if let Some(key) = self.state.cache().get(&digest, FRESH, Instant::now()) {
            return Ok(Some(key));
        }
        if let Some(read) = self.read(digest, prefix) {
            let until = tokio::time::Instant::from_std(read.began + WAIT);
            if let Ok(Ok(found)) = tokio::time::timeout_at(until, read.result).await {
                return Ok(found);
            }
        }
        self.state.cache().get(&digest, HONOURED, Instant::now()).map(Some).ok_or(Away)
    }

    /// Joins the read of this key, or begins one; `None` if there are too many.
    fn read(&self, digest: Digest, prefix: &str) -> Option<Read> {
        let mut reads = self.state.reads();
        if let Some(read) = reads.get(&digest) {
            return Some(read.clone());
        }
        if reads.len() >= MAX_READS {
            return None;
        }
        let (pool, state, prefix, began) =
            (self.pool.clone(), self.state.clone(), prefix.to_owned(), Instant::now());
        let look_up = async move {
            let landing = Landing { state: &state, digest };
            let found = key_of(&pool, digest, &prefix).await;
            if let Ok(found) = &found {
                state.cache().note(digest, found.clone(), began);
            }
            drop(landing);
            found.map_err(|error| warn!(%error, "failed to check an API key")).map_err(|()| Away)
        };
        let task = tokio::spawn(look_up.in_current_span());
        let result = async move { task.await.unwrap_or(Err(Away)) }.boxed().shared();
        let read = Read { began, result };
        reads.insert(digest, read.clone());
        Some(read)
    }
}

/// The key, if it is there, not revoked, and the very one that was presented.
async fn key_of(pool: &Pool, digest: Digest, prefix: &str) -> Result<Option<Arc<Key>>, Error> {
    let found = pool.bounded(async |connection| keys::by_prefix(connection, prefix).await).await?;
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_the_one = |key: &Key| bool::from(key.sha256.as_bytes().ct_eq(hex.as_bytes()));
    Ok(found.filter(|key| is_the_one(key) && key.revoked_at.is_none()).map(Arc::new))
}

impl State {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reads(&self) -> MutexGuard<'_, HashMap<Digest, Read>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a read off the list when it ends, however it ends.
struct Landing<'a> {
    state: &'a State,
    digest: Digest,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.state.reads().remove(&self.digest);
    }
}
