//! A keyed semaphore: limits the holders per key (a tenant, for example) and serves waiters in FIFO order.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore for each key.
pub struct KeyedSemaphore<K> {
    at_once: usize,
    /// A semaphore exists as long as it has a holder or a waiter.
    lines: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// A permit. Dropping this releases it.
pub struct KeyedPermit(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

impl<K: Eq + Hash> KeyedSemaphore<K> {
    /// At most `at_once` permits for each key.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self { at_once, lines: Mutex::default() }
    }

    /// Waits for a permit.
    pub async fn acquire(&self, key: K) -> KeyedPermit {
        acquire(self.line(key)).await
    }

    /// Waits for a permit; `None` if the key already has `standing` holders and waiters.
    pub async fn acquire_unless(&self, key: K, standing: usize) -> Option<KeyedPermit> {
        let line = self.line(key);
        if Arc::strong_count(&line) > standing {
            return None;
        }
        Some(acquire(line).await)
    }

    fn line(&self, key: K) -> Arc<Semaphore> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&key).and_then(Weak::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::new(Semaphore::new(self.at_once));
        lines.insert(key, Arc::downgrade(&line));
        line
    }
}

async fn acquire(line: Arc<Semaphore>) -> KeyedPermit {
    KeyedPermit(line.acquire_owned().await.expect("the semaphores are never closed"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn waiters_of_one_key_are_served_in_order() {
        let semaphore = KeyedSemaphore::new(1);
        let first = semaphore.acquire(1).await;
        let (mut second, mut third) = (Box::pin(semaphore.acquire(1)), Box::pin(semaphore.acquire(1)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(semaphore.acquire(2).now_or_never().is_some(), "another key");
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "the second waiter comes first");
        assert!((&mut second).now_or_never().is_some());
        assert!((&mut third).now_or_never().is_some());
    }

    #[tokio::test]
    async fn full_queue_is_refused() {
        let semaphore = KeyedSemaphore::new(1);
        let _first = semaphore.acquire_unless(1, 2).await;
        let mut second = Box::pin(semaphore.acquire_unless(1, 2));
        assert!((&mut second).now_or_never().is_none());
        assert!(matches!(semaphore.acquire_unless(1, 2).now_or_never(), Some(None)));
    }

    #[tokio::test]
    async fn unused_semaphores_are_removed() {
        let semaphore = KeyedSemaphore::new(1);
        for key in 0..100 {
            semaphore.acquire(key).await;
        }
        assert_eq!(semaphore.lines.lock().unwrap().len(), 1);
    }
}
