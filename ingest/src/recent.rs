//! What was read from Postgres lately: out of a cache while that is fresh, else read again, one read at a time per key;
//! while Postgres is away what was known is honoured for ten minutes.
//!
//! Before it: a request that needs to know a key or a tenant. After it: Postgres, seldom.

mod cache;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use shared::postgres::Error;
use shared::postgres::tenants::MAX_AGE;
use tracing::{Instrument, warn};

use self::cache::Cache;

/// How long a value is taken for what it was.
const FRESH: Duration = Duration::from_millis(500);
/// How long a value is honoured while Postgres cannot be asked.
const HONOURED: Duration = Duration::from_secs(600);
/// How long a request waits for Postgres; with a read that it joined, that is how old a value may be.
const WAIT: Duration = MAX_AGE;
const _: () = assert!(FRESH.as_millis() <= MAX_AGE.as_millis(), "nothing is older than MAX_AGE");
/// The most reads at a time: requests must not pile up on a Postgres that hangs.
const MAX_READS: usize = 1_024;

/// Values by key. They are read in tasks of their own: a read that nobody waits for any more still refreshes the cache.
pub struct Recent<K, V> {
    /// What is read, for the log.
    what: &'static str,
    state: Arc<State<K, V>>,
}

struct State<K, V> {
    cache: Mutex<Cache<K, V>>,
    reads: Mutex<HashMap<K, Read<V>>>,
}

/// A read under way.
#[derive(Clone)]
struct Read<V> {
    began: Instant,
    result: Shared<BoxFuture<'static, Found<V>>>,
}

/// The value, or that there is none; or no answer.
pub type Found<V> = Result<Option<V>, Away>;

/// Postgres did not tell, and the value is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away;

impl<K, V> Recent<K, V>
where
    K: Copy + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Nothing known yet; at most `capacity` values are remembered.
    #[must_use]
    pub fn new(what: &'static str, capacity: usize) -> Self {
        let state = State { cache: Mutex::new(Cache::new(capacity)), reads: Mutex::default() };
        Self { what, state: Arc::new(state) }
    }

    /// The value of this key, which `look_up` reads.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn find<F>(&self, key: K, look_up: impl FnOnce() -> F) -> Found<V>
    where
        F: Future<Output = Result<Option<V>, Error>> + Send + 'static,
    {
        if let Some(value) = self.state.cache().get(&key, FRESH, Instant::now()) {
            return Ok(Some(value));
        }
        if let Some(read) = self.read(key, look_up) {
            let until = tokio::time::Instant::from_std(read.began + WAIT);
            if let Ok(Ok(found)) = tokio::time::timeout_at(until, read.result).await {
                return Ok(found);
            }
        }
        self.state.cache().get(&key, HONOURED, Instant::now()).map(Some).ok_or(Away)
    }

    /// The value as it was when it was read last, while it would be honoured.
    pub fn known(&self, key: &K) -> Option<V> {
        self.state.cache().get(key, HONOURED, Instant::now())
    }

    /// Joins the read of this key, or begins one; `None` if there are too many.
    fn read<F>(&self, key: K, look_up: impl FnOnce() -> F) -> Option<Read<V>>
    where
        F: Future<Output = Result<Option<V>, Error>> + Send + 'static,
    {
        let mut reads = self.state.reads();
        if let Some(read) = reads.get(&key) {
            return Some(read.clone());
        }
        if reads.len() >= MAX_READS {
            return None;
        }
        let (state, what, began, look_up) = (self.state.clone(), self.what, Instant::now(), look_up());
        let read = async move {
            let landing = Landing { state: &state, key };
            let found = look_up.await;
            if let Ok(found) = &found {
                state.cache().note(key, found.clone(), began);
            }
            drop(landing);
            found
                .map_err(|error| warn!(%error, what, "failed to read what requests depend on"))
                .map_err(|()| Away)
        };
        let task = tokio::spawn(read.in_current_span());
        let result = async move { task.await.unwrap_or(Err(Away)) }.boxed().shared();
        let read = Read { began, result };
        reads.insert(key, read.clone());
        Some(read)
    }
}

impl<K, V> State<K, V> {
    fn cache(&self) -> MutexGuard<'_, Cache<K, V>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reads(&self) -> MutexGuard<'_, HashMap<K, Read<V>>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a read off the list when it ends, however it ends.
struct Landing<'a, K: Copy + Eq + Hash, V> {
    state: &'a State<K, V>,
    key: K,
}

impl<K: Copy + Eq + Hash, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        self.state.reads().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    async fn away() -> Result<Option<u8>, Error> {
        Err(Error::Unavailable("it is away".to_owned()))
    }

    #[tokio::test]
    async fn requests_at_the_same_time_read_once() {
        let (recent, reads) = (Recent::new("a number", 10), Arc::new(AtomicUsize::new(0)));
        let find = |key: u8| {
            let reads = reads.clone();
            recent.find(key, move || async move {
                reads.fetch_add(1, Ordering::SeqCst);
                Ok(Some(key + 1))
            })
        };
        let found = join_all((0..20).map(|n| find(n % 2))).await;
        assert!(
            found.iter().enumerate().all(|(n, found)| *found == Ok(Some(if n % 2 == 0 { 1 } else { 2 })))
        );
        assert_eq!(reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_is_not_known_and_cannot_be_read_is_away() {
        let recent = Recent::new("a number", 10);
        assert_eq!(recent.find(1, away).await, Err(Away));
        assert_eq!(recent.find(1, || async { Ok(None) }).await, Ok(None), "nothing of a failure is kept");
        assert_eq!(recent.find(1, || async { Ok(Some(7)) }).await, Ok(Some(7)), "nor that there was none");
        assert_eq!(recent.find(1, away).await, Ok(Some(7)), "still fresh");
    }
}
