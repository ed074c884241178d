//! Which of many weighted things were used least recently.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// Things by name, each with a weight, in the order of their last use.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    order: BTreeMap<u64, K>,
    clock: u64,
    weight: u64,
}

#[derive(Debug)]
struct Entry<V> {
    used: u64,
    weight: u64,
    value: V,
}

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), clock: 0, weight: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// The weight of all things together.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Notes a use, if there is such a thing.
    pub fn touch(&mut self, key: &K) -> bool {
        let Some(entry) = self.entries.get_mut(key) else { return false };
        self.clock += 1;
        self.order.remove(&entry.used);
        self.order.insert(self.clock, key.clone());
        entry.used = self.clock;
        true
    }

    /// Adds a thing as the one used last. Returns what it replaces.
    pub fn insert(&mut self, key: K, weight: u64, value: V) -> Option<V> {
        self.clock += 1;
        self.order.insert(self.clock, key.clone());
        self.weight += weight;
        let replaced = self.entries.insert(key, Entry { used: self.clock, weight, value })?;
        self.order.remove(&replaced.used);
        self.weight -= replaced.weight;
        Some(replaced.value)
    }

    /// Takes out the thing whose last use is the longest ago, with its weight.
    pub fn pop(&mut self) -> Option<(u64, V)> {
        let (_, key) = self.order.pop_first()?;
        let entry = self.entries.remove(&key)?;
        self.weight -= entry.weight;
        Some((entry.weight, entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_goes_first() {
        let mut lru = Lru::default();
        for (key, weight) in [("a", 1), ("b", 20), ("c", 300)] {
            assert_eq!(lru.insert(key, weight, key), None);
        }
        assert!(lru.touch(&"a"));
        assert!(!lru.touch(&"x"));
        assert_eq!(lru.insert("b", 50, "b2"), Some("b"));
        assert_eq!(lru.weight(), 351);
        assert_eq!(lru.pop(), Some((300, "c")));
        assert_eq!(lru.pop(), Some((1, "a")));
        assert_eq!(lru.pop(), Some((50, "b2")));
        assert_eq!((lru.pop(), lru.weight()), (None, 0));
    }
}
