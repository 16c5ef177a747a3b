//! The bounded map behind [`super::ReadThrough`]. Absent values are not cached.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The values.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    capacity: usize,
    /// What was read before is in doubt.
    doubted: Option<Instant>,
    entries: HashMap<K, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// When the read began. The entry may miss later changes.
    read: Instant,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty cache for `capacity` values.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, doubted: None, entries: HashMap::new() }
    }

    /// The value, if it was read at most `age` before `now`.
    pub(super) fn get(&self, key: &K, age: Duration, now: Instant) -> Option<V> {
        let entry = self.entries.get(key)?;
        (now.saturating_duration_since(entry.read) <= age).then(|| entry.value.clone())
    }

    /// The same, unless it is in doubt.
    pub(super) fn certain(&self, key: &K, age: Duration, now: Instant) -> Option<V> {
        let entry = self.entries.get(key)?;
        self.doubted.is_none_or(|doubted| entry.read >= doubted).then(|| self.get(key, age, now)).flatten()
    }

    /// Doubts what was read before this time.
    pub(super) fn doubt(&mut self, before: Instant) {
        self.doubted = Some(before);
    }

    /// Removes the entries with such values.
    pub(super) fn forget(&mut self, is_such: impl Fn(&V) -> bool) {
        self.entries.retain(|_, entry| !is_such(&entry.value));
    }

    /// Stores the result of a read that began at `read`. `None` removes the entry. An older read never replaces a newer
    /// one.
    pub(super) fn note(&mut self, key: K, found: Option<V>, read: Instant) {
        if self.entries.get(&key).is_some_and(|entry| entry.read > read) {
            return;
        }
        match found {
            None => {
                self.entries.remove(&key);
            }
            Some(value) => {
                if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
                    self.forget_oldest();
                }
                self.entries.insert(key, Entry { value, read });
            }
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.read).map(|(key, _)| *key);
        oldest.map(|key| self.entries.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_millis(500);

    #[test]
    fn entry_is_returned_up_to_its_age() {
        let (mut cache, began) = (Cache::new(10), Instant::now());
        cache.note(1, Some("a"), began);
        assert_eq!(cache.get(&1, AGE, began + AGE), Some("a"));
        assert_eq!(cache.get(&1, AGE, began + AGE + Duration::from_millis(1)), None);
        assert_eq!(cache.get(&2, AGE, began), None);
    }

    #[test]
    fn absent_value_is_removed_unless_its_read_is_older() {
        let (mut cache, began) = (Cache::new(10), Instant::now());
        cache.note(1, Some("a"), began + AGE);
        cache.note(1, None, began);
        assert!(cache.get(&1, AGE, began).is_some(), "the newer read wins");
        cache.note(1, None, began + 2 * AGE);
        assert!(cache.get(&1, 100 * AGE, began).is_none());
    }

    #[test]
    fn doubted_entry_is_not_certain_until_it_is_read_again() {
        let (mut cache, began) = (Cache::new(10), Instant::now());
        cache.note(1, Some("a"), began);
        cache.doubt(began + AGE / 2);
        assert_eq!(cache.certain(&1, AGE, began + AGE), None);
        assert_eq!(cache.get(&1, AGE, began + AGE), Some("a"));
        cache.note(1, Some("b"), began + AGE);
        assert_eq!(cache.certain(&1, AGE, began + AGE), Some("b"));
    }

    #[test]
    fn forgotten_values_are_removed() {
        let (mut cache, began) = (Cache::new(10), Instant::now());
        cache.note(1, Some("a"), began);
        cache.note(2, Some("b"), began);
        cache.forget(|value| *value == "a");
        assert_eq!([1, 2].map(|key| cache.get(&key, AGE, began)), [None, Some("b")]);
    }

    #[test]
    fn full_cache_evicts_the_entry_with_the_oldest_read() {
        let (mut cache, began) = (Cache::new(2), Instant::now());
        for n in 0..3_u8 {
            cache.note(n, Some("a"), began + u32::from(n) * AGE);
        }
        let is_there = |n: u8| cache.get(&n, 100 * AGE, began).is_some();
        assert_eq!((is_there(0), is_there(1), is_there(2)), (false, true, true));
    }
}
