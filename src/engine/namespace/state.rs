//! What is known of a namespace: its manifest, its segments, and its log up to an entry.
//!
//! Invariant: the state is always that of a prefix of the log, folded or not. An entry is applied only at its
//! place: right number, right incarnation, and naming the hash of the entry before it.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    clock::{Instant, Timestamp},
    engine::{
        contents::Contents,
        format::{Entry, EntryKind, Hash, Header},
        manifest::{Manifest, RING, RingEntry, State as Life},
        segment::SegmentView,
    },
    error::Error,
    planted::{Bug, planted},
    storage::Tag,
};

/// A prefix of the log as a state.
#[derive(Debug)]
pub(in crate::engine) struct State {
    /// The newest manifest that was read, and its version in the store.
    pub manifest: Arc<Manifest>,
    pub manifest_tag: Tag,
    /// The manifest whose segments the contents stand on.
    pub base: Arc<Manifest>,
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
    /// Whether the manifest says that this incarnation is over.
    pub lapsed: bool,
    /// Whether entries were folded that are not applied: the log alone leads no further.
    pub behind: bool,
    /// Grows when the state is replaced by one that was read from a newer manifest.
    pub view: u64,
    /// The rows.
    pub contents: Contents,
    /// The ids of the newest entries, at most [`RING`].
    pub ring: VecDeque<RingEntry>,
    /// Bytes and number of the entries that are not folded.
    pub log_bytes: u64,
    pub log_entries: u64,
    /// The damaged object that keeps us from reading on.
    pub fault: Option<Error>,
    awaited: Option<Awaited>,
    kept: Option<Vec<Arc<Entry>>>,
}

/// An entry of our own that may be applied by whoever reads it first.
#[derive(Debug)]
struct Awaited {
    entry: Arc<Entry>,
    found: Option<Vec<u64>>,
}

/// Why an entry was not applied.
#[derive(Debug)]
pub(in crate::engine) enum Misfit {
    /// It is damaged or not in its place.
    Entry(String),
    /// Something else is damaged.
    Other(Error),
}

impl State {
    /// The state at the fold of `manifest`, whose segments are these, before any entry of the log.
    pub fn new(
        manifest: Arc<Manifest>,
        manifest_tag: Tag,
        segments: Vec<SegmentView>,
        read_at: Instant,
    ) -> Self {
        Self {
            manifest_tag,
            confirmed_at: read_at,
            current_at: read_at,
            seq: manifest.folded,
            hash: manifest.folded_hash,
            updated_at: manifest.folded_at.unwrap_or(manifest.created_at),
            dimension: manifest.config.dimension,
            sealed: false,
            lapsed: false,
            behind: false,
            view: 0,
            contents: Contents::new(manifest.config.dimension, segments),
            ring: manifest.ring.iter().copied().collect(),
            log_bytes: 0,
            log_entries: 0,
            fault: None,
            awaited: None,
            kept: None,
            base: manifest.clone(),
            manifest,
        }
    }

    /// Whether this incarnation is over.
    pub fn has_ended(&self) -> bool {
        self.sealed || self.lapsed
    }

    /// Remembers the outcome of an entry, whoever applies it.
    pub fn await_entry(&mut self, entry: Arc<Entry>) {
        self.awaited = Some(Awaited { entry, found: None });
    }

    /// What [`Contents::apply`] said of the awaited entry.
    pub fn take_outcome(&mut self) -> Option<Vec<u64>> {
        self.awaited.take().and_then(|awaited| awaited.found)
    }

    /// Keeps the entries that are applied from now on, for [`State::take_kept`].
    pub fn keep_entries(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// The entries kept so far, which are kept no longer; those to come are.
    pub fn take_kept(&mut self) -> Vec<Arc<Entry>> {
        self.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Keeps no more entries.
    pub fn stop_keeping(&mut self) {
        self.kept = None;
    }

    /// Applies the next entry. One that is applied already is passed over; one that is not in its
    /// place is refused with what is wrong, and nothing of it is applied.
    pub fn apply(&mut self, entry: &Arc<Entry>) -> Result<(), Misfit> {
        let header = &entry.header;
        if header.seq <= self.seq {
            return Ok(());
        }
        self.check_place(header).map_err(Misfit::Entry)?;
        let dimension = self.checked_dimension(entry).map_err(Misfit::Entry)?;
        let found = self.contents.apply(&entry.changes, header.committed_at).map_err(Misfit::Other)?;
        if let Some(awaited) = &mut self.awaited
            && awaited.entry.header.entry_id == header.entry_id
        {
            awaited.found = Some(found);
        }
        if let Some(kept) = &mut self.kept {
            kept.push(entry.clone());
        }
        self.remember(RingEntry { seq: header.seq, entry_id: header.entry_id });
        self.dimension = dimension;
        self.sealed = header.kind == EntryKind::Seal;
        self.seq = header.seq;
        self.hash = entry.hash;
        // The clocks of nodes differ, and expiry must not run backwards.
        self.updated_at = self.updated_at.max(header.committed_at);
        self.log_bytes += entry.bytes as u64;
        self.log_entries += 1;
        Ok(())
    }

    /// Takes note of the manifest that stands now.
    pub fn adopt(&mut self, manifest: Manifest, tag: Tag, read_at: Instant) {
        // Looks may return in another order than they were answered.
        if manifest.version < self.manifest.version {
            return;
        }
        let continues = manifest.state == Life::Live && manifest.incarnation == self.base.incarnation;
        if continues {
            self.confirmed_at = read_at;
        } else {
            self.lapsed = true;
        }
        self.behind = continues && manifest.folded > self.seq;
        self.manifest = Arc::new(manifest);
        self.manifest_tag = tag;
        // A fence, for one, leaves the segments as they are.
        if continues
            && self.manifest.folded == self.base.folded
            && self.manifest.segments == self.base.segments
        {
            self.base = self.manifest.clone();
        }
    }

    /// Whether the segments are those of an older manifest.
    pub fn is_outdated(&self) -> bool {
        self.base.version != self.manifest.version && !self.has_ended()
    }

    /// Stands on the segments of a newer manifest of the same fold, which hold the same rows.
    pub fn stand_on(&mut self, base: Arc<Manifest>, segments: Vec<SegmentView>) {
        self.contents.stand_on(segments);
        self.base = base;
    }

    /// Replaces everything by a state that stands on a newer manifest and is at least as far.
    /// Returns whether it is; if not, it has to read on.
    pub fn succeed(&mut self, mut newer: Self) -> Result<(), Box<Self>> {
        if newer.seq < self.seq {
            return Err(Box::new(newer));
        }
        newer.awaited = self.awaited.take().map(|awaited| self.judge(awaited, &newer));
        newer.kept = self.kept.take();
        if newer.manifest.version < self.manifest.version {
            newer.behind = self.manifest.folded > newer.seq;
            newer.manifest = self.manifest.clone();
            newer.manifest_tag = self.manifest_tag.clone();
            newer.confirmed_at = self.confirmed_at;
        }
        newer.lapsed |= self.lapsed;
        newer.view = self.view + 1;
        *self = newer;
        Ok(())
    }

    /// What the awaited entry finds, if `newer` has it and we are at the entry before it: then only
    /// we can tell.
    fn judge(&mut self, awaited: Awaited, newer: &Self) -> Awaited {
        let header = &awaited.entry.header;
        let committed = RingEntry { seq: header.seq, entry_id: header.entry_id };
        if awaited.found.is_some() || self.seq + 1 != header.seq || !newer.ring.contains(&committed) {
            return awaited;
        }
        let found = self.contents.apply(&awaited.entry.changes, header.committed_at).ok();
        Awaited { found, ..awaited }
    }

    fn remember(&mut self, entry: RingEntry) {
        self.ring.push_back(entry);
        if self.ring.len() > RING {
            self.ring.pop_front();
        }
    }

    fn check_place(&self, header: &Header) -> Result<(), String> {
        if self.sealed && !planted(Bug::WritesAfterSeal) {
            return Err(format!("it follows the entry {} that seals the log", self.seq));
        }
        // The newest manifest may be that of a successor already.
        if header.incarnation != self.base.incarnation {
            return Err(format!("it belongs to incarnation {}", header.incarnation));
        }
        if header.seq != self.seq + 1 {
            return Err(format!("its number is {} at place {}", header.seq, self.seq + 1));
        }
        if header.previous != self.hash {
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
