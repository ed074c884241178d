//! What is known of a namespace: its manifest, and its log up to an entry.
//!
//! Invariant: the state is always that of a prefix of the log. An entry is applied only at its
//! place: right number, right incarnation, and naming the hash of the entry before it.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    clock::{Instant, Timestamp},
    engine::{
        format::{Entry, EntryKind, Hash, Header},
        log::Tail,
        manifest::{Manifest, State as Life},
    },
    error::Error,
    storage::Tag,
};

/// A prefix of the log as a state.
#[derive(Debug)]
pub(in crate::engine) struct State {
    /// The manifest that was read last, and its version in the store.
    pub manifest: Arc<Manifest>,
    pub manifest_tag: Tag,
    /// When the newest look at the manifest began.
    pub confirmed_at: Instant,
    /// When the newest complete refresh began: what was acknowledged before is in here.
    pub current_at: Instant,
    /// The newest entry that is applied: its number and hash.
    pub seq: u64,
    pub hash: Hash,
    /// When it was committed, by the clock of the node that did.
    pub updated_at: Timestamp,
    /// Values per vector, once fixed.
    pub dimension: Option<usize>,
    /// Whether a SEAL was applied.
    pub sealed: bool,
    /// Whether the manifest says that this incarnation is over, or has moved on without us.
    pub lapsed: bool,
    /// The rows.
    pub tail: Tail,
    /// Bytes and number of the entries that are not folded.
    pub log_bytes: u64,
    pub log_entries: u64,
    /// The damaged object that keeps us from reading on.
    pub fault: Option<Error>,
    awaited: Option<Awaited>,
}

/// An entry of our own that may be applied by whoever reads it first.
#[derive(Debug)]
struct Awaited {
    entry_id: Uuid,
    found: Option<Vec<u64>>,
}

impl State {
    /// The state at the fold of `manifest`, before any entry of the log.
    pub fn new(manifest: Manifest, manifest_tag: Tag, read_at: Instant) -> Self {
        Self {
            manifest_tag,
            confirmed_at: read_at,
            current_at: read_at,
            seq: manifest.folded,
            hash: 0,
            updated_at: manifest.created_at,
            dimension: manifest.config.dimension,
            sealed: false,
            lapsed: false,
            tail: Tail::default(),
            log_bytes: 0,
            log_entries: 0,
            fault: None,
            awaited: None,
            manifest: Arc::new(manifest),
        }
    }

    /// Whether this incarnation is over.
    pub fn has_ended(&self) -> bool {
        self.sealed || self.lapsed
    }

    /// Remembers the outcome of an entry, whoever applies it.
    pub fn await_entry(&mut self, entry_id: Uuid) {
        self.awaited = Some(Awaited { entry_id, found: None });
    }

    /// What [`Tail::apply`] said of the awaited entry.
    pub fn take_outcome(&mut self) -> Option<Vec<u64>> {
        self.awaited.take().and_then(|awaited| awaited.found)
    }

    /// Applies the next entry. One that is applied already is passed over; one that is not in its
    /// place is refused with what is wrong.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        let header = &entry.header;
        if header.seq <= self.seq {
            return Ok(());
        }
        self.check_place(header)?;
        let dimension = self.checked_dimension(entry)?;
        let found = self.tail.apply(&entry.changes, header.committed_at);
        if let Some(awaited) = &mut self.awaited
            && awaited.entry_id == header.entry_id
        {
            awaited.found = Some(found);
        }
        self.dimension = dimension;
        self.sealed = header.kind == EntryKind::Seal;
        self.seq = header.seq;
        self.hash = entry.hash;
        self.updated_at = header.committed_at;
        self.log_bytes += entry.bytes as u64;
        self.log_entries += 1;
        Ok(())
    }

    /// Takes note of a newer manifest.
    pub fn adopt(&mut self, manifest: Manifest, tag: Tag, read_at: Instant) {
        let continues = manifest.state == Life::Live
            && manifest.incarnation == self.manifest.incarnation
            && manifest.folded == self.manifest.folded;
        if continues {
            self.confirmed_at = read_at;
        } else {
            self.lapsed = true;
        }
        self.manifest = Arc::new(manifest);
        self.manifest_tag = tag;
    }

    fn check_place(&self, header: &Header) -> Result<(), String> {
        if self.sealed {
            return Err(format!("it follows the entry {} that seals the log", self.seq));
        }
        if header.incarnation != self.manifest.incarnation {
            return Err(format!("it belongs to incarnation {}", header.incarnation));
        }
        if header.seq != self.seq + 1 {
            return Err(format!("its number is {} at place {}", header.seq, self.seq + 1));
        }
        // What a fold ended with is not known; the chain is checked from the first entry after it.
        let first_after_fold = self.log_entries == 0 && self.seq > 0;
        if header.previous != self.hash && !first_after_fold {
            return Err(format!("it does not follow entry {} as that stands in the log", self.seq));
        }
        Ok(())
    }

    fn checked_dimension(&self, entry: &Entry) -> Result<Option<usize>, String> {
        let fixed = entry.header.dimension.or(self.dimension);
        match (self.dimension, entry.changes.dimension) {
            (Some(ours), _) if fixed != Some(ours) => Err("it changes the dimension".into()),
            (_, 0) => Ok(fixed),
            (_, used) if fixed == Some(used) => Ok(fixed),
            (_, used) => Err(format!("its vectors have dimension {used}, not {fixed:?}")),
        }
    }
}
