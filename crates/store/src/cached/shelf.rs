//! A bounded map.

use std::collections::BTreeMap;

/// Things kept under one kind of key: far more than an installation uses at once.
const ROOM: usize = 4_096;

/// Things by key. A full shelf is emptied: that is rare, and what is still used comes back.
pub(super) struct Shelf<K, V> {
    things: BTreeMap<K, V>,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self {
            things: BTreeMap::new(),
        }
    }
}

impl<K: Ord, V> Shelf<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.things.get(key)
    }

    pub(super) fn put(&mut self, key: K, thing: V) {
        if self.things.len() >= ROOM {
            self.things.clear();
        }
        self.things.insert(key, thing);
    }
}
