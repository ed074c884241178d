//! One live incarnation of a namespace on this node: a cache of its log, and the protocol that
//! keeps it true.
//!
//! Nothing in here is durable. [`state`] is what the log says as far as it was read, [`refresh`]
//! reads on through [`following`] (rules 1, 2, 7 and 8 of the protocol in `ARCHITECTURE.md`), [`queue`] gathers requests,
//! [`decide`] and [`select`] say what those do that depend on what is stored, [`commit`] writes them as entries
//! and [`settle`] learns an entry's fate (rules 4 to 6).
//! [`fold`] and [`merge`] turn the log into segments, [`maintain`] does so in the background, and
//! [`lease`] keeps nodes from doing it twice.

mod commit;
mod decide;
mod documents;
mod fold;
mod following;
mod index;
mod lease;
mod load;
mod maintain;
mod manifests;
mod merge;
mod queue;
mod realign;
mod refresh;
mod select;
mod settle;
mod state;

use std::sync::{
    Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use uuid::Uuid;

pub(super) use self::{
    fold::{Frozen, Motive, Outcome, encode_tail},
    following::{Ahead, Following},
    load::{Base, judged, moved, open_view, read_blob, read_deletes, read_head},
    manifests::{corrupt, read_manifest, swap_manifest},
    queue::{Write, Written},
    select::{Progress, RowChange, SHOWN, Selection},
    state::{Misfit, State},
};
use self::{lease::Leases, queue::Queue, refresh::Refresh};
use super::context::Context;
use crate::{
    clock::Instant,
    engine::{contents::Snapshot, manifest::RingEntry, segment::Owner},
    error::Error,
    storage::{Key, keys},
    types::NamespaceName,
};

/// A namespace that is loaded on this node.
#[derive(Debug)]
pub(super) struct Namespace {
    name: NamespaceName,
    context: Arc<Context>,
    incarnation: Uuid,
    state: RwLock<State>,
    refresh: Refresh,
    queue: Mutex<Queue>,
    /// Held by the fold that runs, and by whoever else swaps the manifest or replaces the state.
    compacting: tokio::sync::Mutex<()>,
    leases: Leases,
    /// Held by the merge that runs, or by the building of an index.
    merging: tokio::sync::Mutex<()>,
    /// Whether the task runs that folds in the background.
    folds: AtomicBool,
    /// Whether the task runs that merges and indexes in the background.
    merges: AtomicBool,
    /// Bytes that the metrics count for this namespace.
    held: AtomicU64,
}

impl Namespace {
    /// Its name.
    pub fn name(&self) -> &NamespaceName {
        &self.name
    }

    /// Which life of the namespace this is.
    pub fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    /// This incarnation, as the owner of the objects under its prefix.
    pub fn home(&self) -> Owner {
        Owner { namespace: self.name.clone(), incarnation: self.incarnation }
    }

    /// Whether this incarnation has ended: its log is sealed or its manifest says so.
    pub fn has_ended(&self) -> bool {
        self.state().has_ended()
    }

    /// Whether its log is sealed.
    pub fn is_sealed(&self) -> bool {
        self.state().sealed
    }

    /// The newest entries, the SEAL last if the log is sealed.
    pub fn ring(&self) -> Vec<RingEntry> {
        self.state().ring.iter().copied().collect()
    }

    /// Whether no damaged object was met.
    pub fn is_intact(&self) -> bool {
        self.state().fault.is_none()
    }

    /// When the newest refresh began.
    pub fn current_at(&self) -> Instant {
        self.state().current_at
    }

    /// The rows as they are known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        if let Some(snapshot) = self.state().contents.ready_snapshot() {
            return snapshot;
        }
        self.state_mut().contents.snapshot()
    }

    /// The state, and the snapshot of its rows.
    fn state_and_snapshot(&self) -> (RwLockReadGuard<'_, State>, Arc<Snapshot>) {
        loop {
            let state = self.state();
            if let Some(snapshot) = state.contents.ready_snapshot() {
                return (state, snapshot);
            }
            drop(state);
            self.snapshot();
        }
    }

    /// The error that stands for the end of this incarnation.
    pub fn not_found(&self) -> Error {
        Error::NamespaceNotFound { namespace: self.name.to_string() }
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        // A panic while the lock is held happens in no known path; the state stays as consistent
        // as the entry that was being applied, and refusing every later request would not mend it.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the rows that are not folded.
    pub fn tail_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn log_key(&self, seq: u64) -> Key {
        keys::log(&self.name, self.incarnation, seq)
    }

    /// Brings the metric of held memory up to date.
    fn account(&self) {
        let bytes = self.state().contents.tail().bytes();
        let before = self.held.swap(bytes, Ordering::Relaxed);
        let gauge = &self.context.metrics.log.memory_bytes;
        gauge.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
        gauge.dec_by(i64::try_from(before).unwrap_or(i64::MAX));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let metrics = &self.context.metrics.log;
        metrics.namespaces_loaded.dec();
        metrics.memory_bytes.dec_by(i64::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
    }
}
