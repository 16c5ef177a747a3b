//! A read-through cache with single flight: concurrent lookups of one key share one read. While Postgres is
//! unavailable, a stale value is served for up to ten minutes.

mod cache;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use database::Error;
use database::tenants::MAX_AGE;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tracing::{Instrument, warn};

use self::cache::Cache;

/// How long a cached value is served without a new read.
const FRESH: Duration = Duration::from_millis(500);
/// How long a stale value is served while Postgres is unavailable.
const HONOURED: Duration = Duration::from_secs(600);
/// How long a request waits for a read, counted from the read's start. This also bounds the age of the value.
const WAIT: Duration = MAX_AGE;
const _: () = assert!(FRESH.as_millis() <= MAX_AGE.as_millis(), "no fresh value is older than MAX_AGE");
/// The maximum number of concurrent reads: requests must not pile up while Postgres hangs.
const MAX_READS: usize = 1_024;

/// Values by key. Each read is a task of its own, so it refreshes the cache even if nothing waits for it any more.
pub struct ReadThrough<K, V> {
    /// What is cached, for the log.
    what: &'static str,
    state: Arc<State<K, V>>,
}

struct State<K, V> {
    cache: Mutex<Cache<K, V>>,
    reads: Mutex<HashMap<K, Read<V>>>,
}

/// A read in progress.
#[derive(Clone)]
struct Read<V> {
    began: Instant,
    result: Shared<BoxFuture<'static, Found<V>>>,
}

/// The value, `None` if it does not exist, or [`Away`].
pub type Found<V> = Result<Option<V>, Away>;

/// Postgres is unavailable, and the value is not cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away;

impl<K, V> ReadThrough<K, V>
where
    K: Copy + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty cache of at most `capacity` values.
    #[must_use]
    pub fn new(what: &'static str, capacity: usize) -> Self {
        let state = State { cache: Mutex::new(Cache::new(capacity)), reads: Mutex::default() };
        Self { what, state: Arc::new(state) }
    }

    /// The value of this key, from the cache or through `look_up`.
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

    /// The cached value, fresh or stale.
    pub fn known(&self, key: &K) -> Option<V> {
        self.state.cache().get(key, HONOURED, Instant::now())
    }

    /// Joins the read of this key, or starts one; `None` if there are too many reads.
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
            found.map_err(|error| warn!(%error, what, "failed to refresh a cached value")).map_err(|()| Away)
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

/// Removes a read from the map when it ends, also if it panics.
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
        Err(Error::Unavailable("unavailable".to_owned()))
    }

    #[tokio::test]
    async fn concurrent_lookups_share_one_read() {
        let (recent, reads) = (ReadThrough::new("a number", 10), Arc::new(AtomicUsize::new(0)));
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
    async fn unreadable_value_is_away_unless_it_is_cached() {
        let recent = ReadThrough::new("a number", 10);
        assert_eq!(recent.find(1, away).await, Err(Away));
        assert_eq!(recent.find(1, || async { Ok(None) }).await, Ok(None), "a failure is not cached");
        assert_eq!(recent.find(1, || async { Ok(Some(7)) }).await, Ok(Some(7)), "an absence is not cached");
        assert_eq!(recent.find(1, away).await, Ok(Some(7)), "still fresh");
    }
}
