//! Which namespaces are loaded on this node.
//!
//! Namespaces that nobody asked for lately are let go, and the ones that were idle longest when there
//! are too many or their rows take too much memory: they are caches, and are read again when they are
//! wanted. One that is in use stays.
//!
//! Callers that want the same namespace at once share one load. A namespace whose incarnation has
//! ended is forgotten and looked up afresh, so a name always leads to its living incarnation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::OnceCell;

use super::{
    context::Context,
    namespace::{Base, Namespace},
};
use crate::{clock::Instant, config::CacheConfig, error::Result, types::NamespaceName};

type Slot = Arc<Entry>;

/// The loaded namespaces by name.
#[derive(Debug)]
pub(super) struct Registry {
    slots: Mutex<HashMap<NamespaceName, Slot>>,
    max_namespaces: usize,
    max_bytes: u64,
    idle_timeout: Duration,
}

/// A namespace that is loaded or about to be.
#[derive(Debug)]
struct Entry {
    namespace: OnceCell<Arc<Namespace>>,
    used: Mutex<Instant>,
}

impl Entry {
    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody but the registry has it, and nothing of it runs.
    fn is_unused(self: &Arc<Self>) -> bool {
        let unused = |namespace: &Arc<Namespace>| Arc::strong_count(namespace) == 1;
        Arc::strong_count(self) == 1 && self.namespace.get().is_none_or(unused)
    }
}

/// A namespace, and whether this call loaded it (so that it is as fresh as a refresh would make it).
pub(super) struct Opened {
    pub namespace: Arc<Namespace>,
    pub just_loaded: bool,
}

impl Registry {
    /// An empty registry.
    pub fn new(config: &CacheConfig) -> Self {
        Self {
            slots: Mutex::default(),
            max_namespaces: config.namespaces,
            max_bytes: config.memory_bytes(),
            idle_timeout: config.idle_timeout,
        }
    }

    /// How long a namespace stays that nobody asks for.
    pub fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Whether the namespace of that name is loaded.
    pub fn is_loaded(&self, name: &NamespaceName) -> bool {
        self.slots().get(name).is_some_and(|slot| slot.namespace.initialized())
    }

    /// The namespace of that name, loaded if need be; `base` is its manifest, if it was just read.
    pub async fn open(
        &self,
        context: &Arc<Context>,
        name: &NamespaceName,
        base: Option<Base>,
    ) -> Result<Opened> {
        let now = context.clock.now();
        let slot = {
            let mut slots = self.slots();
            let entry = || Arc::new(Entry { namespace: OnceCell::new(), used: Mutex::new(now) });
            slots.entry(name.clone()).or_insert_with(entry).clone()
        };
        *slot.used() = now;
        let mut just_loaded = false;
        let load = async || {
            just_loaded = true;
            Namespace::load(context.clone(), name.clone(), base).await
        };
        match slot.namespace.get_or_try_init(load).await {
            Ok(namespace) => {
                let opened = Opened { namespace: namespace.clone(), just_loaded };
                if just_loaded {
                    drop(slot);
                    self.unload(now);
                }
                Ok(opened)
            }
            Err(error) => {
                self.forget_empty(name);
                Err(error)
            }
        }
    }

    /// Lets go of what was idle for too long or is over the budgets.
    pub fn unload(&self, now: Instant) {
        let mut gone = Vec::new();
        let mut slots = self.slots();
        let mut idle: Vec<_> = slots
            .iter()
            .filter(|(_, slot)| slot.is_unused())
            .map(|(name, slot)| (slot.used().age(now), name.clone()))
            .collect();
        idle.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        let held = |slot: &Slot| slot.namespace.get().map_or(0, |namespace| namespace.tail_bytes());
        let mut bytes: u64 = slots.values().map(held).sum();
        for (age, name) in idle {
            if age <= self.idle_timeout && slots.len() <= self.max_namespaces && bytes <= self.max_bytes {
                break;
            }
            if let Some(slot) = slots.remove(&name) {
                bytes -= held(&slot);
                gone.push(slot);
            }
        }
        // Frees memory only after the lock is free.
        drop(slots);
        drop(gone);
    }

    /// Forgets this very incarnation.
    pub fn forget(&self, namespace: &Arc<Namespace>) {
        let mut slots = self.slots();
        let same = |slot: &Slot| slot.namespace.get().is_some_and(|known| Arc::ptr_eq(known, namespace));
        if slots.get(namespace.name()).is_some_and(same) {
            slots.remove(namespace.name());
        }
    }

    /// A name that leads nowhere must not take memory.
    fn forget_empty(&self, name: &NamespaceName) {
        let mut slots = self.slots();
        if slots.get(name).is_some_and(|slot| !slot.namespace.initialized() && Arc::strong_count(slot) <= 2) {
            slots.remove(name);
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<NamespaceName, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
