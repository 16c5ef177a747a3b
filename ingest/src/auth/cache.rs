//! The keys that were right lately, bounded in number.
//!
//! They are told apart by the SHA-256 of all that was presented: a wrong key never meets the entry of the right one.
//! What was refused is not kept. Before it and after it: the keyring.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::postgres::keys::Key;

/// SHA-256 of a key as it was presented.
pub(super) type Digest = [u8; 32];

/// The keys.
#[derive(Debug)]
pub(super) struct Cache {
    capacity: usize,
    entries: HashMap<Digest, Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Arc<Key>,
    /// When the read began that found it: what happened after that, the entry does not know.
    verified: Instant,
}

impl Cache {
    /// An empty cache for so many keys.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: HashMap::new() }
    }

    /// The key, if it was verified at most `age` before `now`.
    pub(super) fn get(&self, digest: &Digest, age: Duration, now: Instant) -> Option<Arc<Key>> {
        let entry = self.entries.get(digest)?;
        (now.saturating_duration_since(entry.verified) <= age).then(|| entry.key.clone())
    }

    /// Notes what a read that began at `verified` found: a key, or that this is none (any more).
    pub(super) fn note(&mut self, digest: Digest, found: Option<Arc<Key>>, verified: Instant) {
        if self.entries.get(&digest).is_some_and(|entry| entry.verified > verified) {
            return;
        }
        match found {
            None => {
                self.entries.remove(&digest);
            }
            Some(key) => {
                if self.entries.len() >= self.capacity && !self.entries.contains_key(&digest) {
                    self.forget_oldest();
                }
                self.entries.insert(digest, Entry { key, verified });
            }
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.verified).map(|(digest, _)| *digest);
        oldest.map(|digest| self.entries.remove(&digest));
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn key() -> Option<Arc<Key>> {
        Some(Arc::new(Key {
            id: Uuid::nil(),
            tenant: Uuid::nil(),
            tenant_name: "acme".to_owned(),
            prefix: "abcdefghijkl".to_owned(),
            sha256: String::new(),
            scopes: Vec::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
        }))
    }

    const AGE: Duration = Duration::from_millis(500);

    #[test]
    fn an_entry_is_used_up_to_its_age() {
        let (mut cache, began) = (Cache::new(10), Instant::now());
        cache.note([1; 32], key(), began);
        assert!(cache.get(&[1; 32], AGE, began + AGE).is_some());
        assert!(cache.get(&[1; 32], AGE, began + AGE + Duration::from_millis(1)).is_none());
        assert!(cache.get(&[2; 32], AGE, began).is_none());
    }

    #[test]
    fn a_revoked_key_is_forgotten_though_an_older_read_comes_in_late() {
        let (mut cache, began) = (Cache::new(10), Instant::now());
        cache.note([1; 32], key(), began + AGE);
        cache.note([1; 32], None, began);
        assert!(cache.get(&[1; 32], AGE, began).is_some(), "the newer read stands");
        cache.note([1; 32], None, began + 2 * AGE);
        assert!(cache.get(&[1; 32], 100 * AGE, began).is_none());
    }

    #[test]
    fn a_full_cache_forgets_the_key_not_seen_for_longest() {
        let (mut cache, began) = (Cache::new(2), Instant::now());
        for n in 0..3_u8 {
            cache.note([n; 32], key(), began + u32::from(n) * AGE);
        }
        let is_there = |n: u8| cache.get(&[n; 32], 100 * AGE, began).is_some();
        assert_eq!((is_there(0), is_there(1), is_there(2)), (false, true, true));
    }
}
