//! A read-through cache with single flight: concurrent lookups of one key share one read. While Postgres is away, a stale
//! value is served for up to ten minutes; while it or we are only slow, none is.

mod cache;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use database::Error;
use database::tenants::MAX_AGE;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tracing::{Instrument, warn};

use self::cache::Cache;

/// How long a cached value is served without a new read.
const FRESH: Duration = Duration::from_millis(500);
/// How long a stale value is served while Postgres is away.
const HONOURED: Duration = Duration::from_secs(600);
/// How long a request waits for a read, counted from the read's start. This also bounds the age of the value.
const WAIT: Duration = MAX_AGE;
const _: () = assert!(FRESH.as_millis() <= MAX_AGE.as_millis(), "no fresh value is older than MAX_AGE");
/// The maximum number of concurrent reads: requests must not pile up while Postgres hangs.
const MAX_READS: usize = 1_024;

/// Values by key. Each read is a task of its own, so it refreshes the cache even if nothing waits for it any more. Clones
/// share the cache.
pub struct ReadThrough<K, V> {
    /// What is cached, for the log.
    what: &'static str,
    state: Arc<State<K, V>>,
}

struct State<K, V> {
    cache: Mutex<Cache<K, V>>,
    reads: Mutex<HashMap<K, Read<V>>>,
    /// A permit for each read.
    room: Arc<Semaphore>,
    presence: Presence,
}

/// Whether Postgres is away, as seen by a connection that no request waits for. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<AtomicBool>);

impl Presence {
    /// Records whether Postgres is away.
    pub fn set_away(&self, is_away: bool) {
        self.0.store(is_away, Ordering::Relaxed);
    }

    fn is_away(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A read in progress.
#[derive(Clone)]
struct Read<V> {
    began: Instant,
    result: Shared<BoxFuture<'static, Found<V>>>,
}

/// The value, `None` if it does not exist, or why it is not known.
pub type Found<V> = Result<Option<V>, Unread>;

/// Why a value could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Postgres is away, and the value is not cached.
    Away,
    /// It was not read in time.
    Busy,
}

impl From<&Error> for Unread {
    fn from(error: &Error) -> Self {
        if error.is_away() { Self::Away } else { Self::Busy }
    }
}

impl<K, V> Clone for ReadThrough<K, V> {
    fn clone(&self) -> Self {
        Self { what: self.what, state: self.state.clone() }
    }
}

impl<K, V> ReadThrough<K, V>
where
    K: Copy + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty cache of at most `capacity` values.
    #[must_use]
    pub fn new(what: &'static str, capacity: usize, presence: Presence) -> Self {
        let state = State {
            cache: Mutex::new(Cache::new(capacity)),
            reads: Mutex::default(),
            room: Arc::new(Semaphore::new(MAX_READS)),
            presence,
        };
        Self { what, state: Arc::new(state) }
    }

    /// The value of this key, from the cache or through `look_up`.
    ///
    /// # Errors
    /// [`Unread`].
    pub async fn find<F>(&self, key: K, look_up: impl FnOnce() -> F) -> Found<V>
    where
        F: Future<Output = Result<Option<V>, Error>> + Send + 'static,
    {
        if let Some(value) = self.state.cache().certain(&key, FRESH, Instant::now()) {
            return Ok(Some(value));
        }
        let found = match self.read(key, look_up) {
            None => Err(Unread::Busy),
            Some(read) => {
                let until = tokio::time::Instant::from_std(read.began + WAIT);
                tokio::time::timeout_at(until, read.result).await.unwrap_or(Err(Unread::Busy))
            }
        };
        match found {
            Ok(found) => Ok(found),
            // The read may hang because Postgres does, which only the connection for changes can tell.
            Err(Unread::Busy) if !self.state.presence.is_away() => Err(Unread::Busy),
            Err(_) => self.known(&key).map(Some).ok_or(Unread::Away),
        }
    }

    /// The cached value, fresh or stale.
    pub fn known(&self, key: &K) -> Option<V> {
        self.state.cache().get(key, HONOURED, Instant::now())
    }

    /// Stores a value that was read elsewhere; the read began at `read`.
    pub fn note(&self, key: K, value: V, read: Instant) {
        self.state.cache().note(key, Some(value), read);
    }

    /// Forgets such values: they have changed.
    pub fn forget(&self, is_such: impl Fn(&V) -> bool) {
        // Whoever asks from now on does not join a read that may have missed the change.
        self.state.reads().clear();
        self.state.cache().forget(is_such);
    }

    /// Reads every value again before it is used, as long as Postgres is there: it may have changed.
    pub fn doubt(&self) {
        self.state.reads().clear();
        self.state.cache().doubt(Instant::now());
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
        let room = self.state.room.clone().try_acquire_owned().ok()?;
        let (state, what, began, look_up) = (self.state.clone(), self.what, Instant::now(), look_up());
        let read = async move {
            let landing = Landing { state: &state, key, began };
            let found = look_up.await;
            if let Ok(found) = &found {
                state.cache().note(key, found.clone(), began);
            }
            drop((landing, room));
            found.map_err(|error| {
                warn!(%error, what, "failed to refresh a cached value");
                Unread::from(&error)
            })
        };
        let task = tokio::spawn(read.in_current_span());
        let result = async move { task.await.unwrap_or(Err(Unread::Busy)) }.boxed().shared();
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
    began: Instant,
}

impl<K: Copy + Eq + Hash, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        let mut reads = self.state.reads();
        // A later read may have taken its place.
        if reads.get(&self.key).is_some_and(|read| read.began == self.began) {
            reads.remove(&self.key);
        }
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

    async fn busy() -> Result<Option<u8>, Error> {
        Err(Error::Busy("no connection of the pool was free"))
    }

    fn numbers() -> (ReadThrough<u8, u8>, Presence) {
        let presence = Presence::default();
        (ReadThrough::new("a number", 10, presence.clone()), presence)
    }

    #[tokio::test]
    async fn concurrent_lookups_share_one_read() {
        let ((recent, _), reads) = (numbers(), Arc::new(AtomicUsize::new(0)));
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
        let (recent, _) = numbers();
        assert_eq!(recent.find(1, away).await, Err(Unread::Away));
        assert_eq!(recent.find(1, || async { Ok(None) }).await, Ok(None), "a failure is not cached");
        assert_eq!(recent.find(1, || async { Ok(Some(7)) }).await, Ok(Some(7)), "an absence is not cached");
        assert_eq!(recent.find(1, away).await, Ok(Some(7)), "still fresh");
    }

    #[tokio::test]
    async fn stale_value_is_served_only_while_postgres_is_away() {
        let (recent, presence) = numbers();
        recent.note(1, 7, Instant::now());
        recent.doubt();
        assert_eq!(recent.find(1, busy).await, Err(Unread::Busy));
        assert_eq!(recent.find(1, away).await, Ok(Some(7)));
        presence.set_away(true);
        assert_eq!(recent.find(1, busy).await, Ok(Some(7)));
        presence.set_away(false);
        assert_eq!(recent.find(1, busy).await, Err(Unread::Busy));
        assert_eq!(recent.find(1, || async { Ok(Some(8)) }).await, Ok(Some(8)));
    }

    #[tokio::test]
    async fn read_that_may_have_missed_a_change_is_not_joined() {
        let (recent, _) = numbers();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let early = recent.find(1, || async { Ok(receiver.await.ok()) });
        let mut early = Box::pin(early);
        assert!((&mut early).now_or_never().is_none());
        recent.forget(|_| true);
        assert_eq!(recent.find(1, || async { Ok(None) }).await, Ok(None));
        sender.send(7).unwrap();
        assert_eq!(early.await, Ok(Some(7)));
    }
}
