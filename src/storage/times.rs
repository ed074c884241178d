//! When the objects of the memory backend were written, which OpenDAL's memory service does not keep.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Key, Listed};
use crate::clock::{SharedClock, Timestamp};

#[derive(Debug)]
pub(super) struct Times {
    clock: SharedClock,
    written: Mutex<HashMap<Arc<str>, Timestamp>>,
}

impl Times {
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, written: Mutex::default() }
    }

    pub fn wrote(&self, key: &Key) {
        let mut written = self.lock();
        written.insert(key.shared(), self.clock.now().wall);
    }

    pub fn deleted(&self, keys: &[Key]) {
        let mut written = self.lock();
        for key in keys {
            written.remove(key.as_str());
        }
    }

    /// Adds the times to a listing. An object without one is being written at this moment, or was
    /// by a caller that did not wait for the end.
    pub fn tell(&self, listed: &mut [Listed]) {
        let mut written = self.lock();
        for entry in listed {
            let now = || self.clock.now().wall;
            entry.modified = Some(*written.entry(entry.key.shared()).or_insert_with(now));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Timestamp>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
