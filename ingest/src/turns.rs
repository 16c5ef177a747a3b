//! Waiting in order: of each key (a tenant, say) so many at a time, the others in the order in which they came.
//!
//! Before it: whoever must not crowd others out. After it: what it waits for, as long as it holds its turn.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The lines of all keys.
pub struct Turns<K> {
    at_once: usize,
    /// A line lives as long as somebody stands in it.
    lines: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// A turn; over when this is dropped.
pub struct Turn(
    #[expect(dead_code, reason = "it is held, and given back when it is dropped")] OwnedSemaphorePermit,
);

impl<K: Eq + Hash> Turns<K> {
    /// So many turns at a time for each key.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self { at_once, lines: Mutex::default() }
    }

    /// A turn, when it is this one's.
    pub async fn turn(&self, key: K) -> Turn {
        take(self.line(key)).await
    }

    /// The same; `None` if so many stand in the line already, those who have their turn among them.
    pub async fn turn_unless(&self, key: K, standing: usize) -> Option<Turn> {
        let line = self.line(key);
        if Arc::strong_count(&line) > standing {
            return None;
        }
        Some(take(line).await)
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

async fn take(line: Arc<Semaphore>) -> Turn {
    Turn(line.acquire_owned().await.expect("no line is ever closed"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_key_waits_for_itself_only_and_in_order() {
        let turns = Turns::new(1);
        let first = turns.turn(1).await;
        let (mut second, mut third) = (Box::pin(turns.turn(1)), Box::pin(turns.turn(1)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(turns.turn(2).now_or_never().is_some(), "another key");
        drop(first);
        assert!((&mut third).now_or_never().is_none(), "not its turn yet");
        assert!((&mut second).now_or_never().is_some());
        assert!((&mut third).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_left() {
        let turns = Turns::new(1);
        let _first = turns.turn_unless(1, 2).await;
        let mut second = Box::pin(turns.turn_unless(1, 2));
        assert!((&mut second).now_or_never().is_none());
        assert!(matches!(turns.turn_unless(1, 2).now_or_never(), Some(None)));
    }

    #[tokio::test]
    async fn a_line_in_which_nobody_stands_is_forgotten() {
        let turns = Turns::new(1);
        for key in 0..100 {
            turns.turn(key).await;
        }
        assert_eq!(turns.lines.lock().unwrap().len(), 1);
    }
}
