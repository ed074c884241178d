//! Which namespaces are loaded on this node.
//!
//! Callers that want the same namespace at once share one load. A namespace whose incarnation has
//! ended is forgotten and looked up afresh, so a name always leads to its living incarnation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::{context::Context, namespace::Namespace};
use crate::{error::Result, types::NamespaceName};

type Slot = Arc<OnceCell<Arc<Namespace>>>;

/// The loaded namespaces by name.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<HashMap<NamespaceName, Slot>>);

/// A namespace, and whether this call loaded it (so that it is as fresh as a refresh would make it).
pub(super) struct Opened {
    pub namespace: Arc<Namespace>,
    pub just_loaded: bool,
}

impl Registry {
    /// The namespace of that name, loaded if need be.
    pub async fn open(&self, context: &Arc<Context>, name: &NamespaceName) -> Result<Opened> {
        let slot = self.slots().entry(name.clone()).or_default().clone();
        let mut just_loaded = false;
        let load = async || {
            just_loaded = true;
            Namespace::load(context.clone(), name.clone()).await
        };
        match slot.get_or_try_init(load).await {
            Ok(namespace) => Ok(Opened { namespace: namespace.clone(), just_loaded }),
            Err(error) => {
                self.forget_empty(name);
                Err(error)
            }
        }
    }

    /// Forgets this very incarnation.
    pub fn forget(&self, namespace: &Arc<Namespace>) {
        let mut slots = self.slots();
        let same = |slot: &Slot| slot.get().is_some_and(|known| Arc::ptr_eq(known, namespace));
        if slots.get(namespace.name()).is_some_and(same) {
            slots.remove(namespace.name());
        }
    }

    /// A name that leads nowhere must not take memory.
    fn forget_empty(&self, name: &NamespaceName) {
        let mut slots = self.slots();
        if slots.get(name).is_some_and(|slot| !slot.initialized() && Arc::strong_count(slot) <= 2) {
            slots.remove(name);
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<NamespaceName, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
