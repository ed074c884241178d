//! The log as it was written, and what it adds up to: the witness for what clients were told.
//!
//! Building it checks what must hold for the objects themselves: one winner per place, no gap, each
//! entry validated on exactly the one before, no entry twice, nothing after a SEAL, and folds that
//! equal their prefix of the log as far as a manifest tells.

use std::collections::{BTreeMap, BTreeSet};

use quiver::engine::{
    format::{Change, Entry, EntryKind},
    manifest::State,
};
use uuid::Uuid;

use super::{
    archive::{Archive, Seen},
    history::{Contents, Moment},
    workload::{marker_number, row_number, value_of},
};

/// The namespace after one step of its history.
#[derive(Debug, Clone)]
pub struct Step {
    /// When it was known to be done at the latest.
    pub seen: Moment,
    /// The number of the log entry; 0 for the creation.
    pub seq: u64,
    /// The rows; `None` while there is no such namespace.
    pub contents: Option<Contents>,
    /// Rows that were there before it or in between: the requests of one entry see each other.
    pub held: BTreeSet<u8>,
}

/// What a request did, as the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    pub step: usize,
    pub changes: u64,
    pub found: u64,
}

/// Every life of the namespace, one after the other.
#[derive(Debug, Default)]
pub struct Timeline {
    pub steps: Vec<Step>,
    /// By the values of upserts and the markers of deletes.
    pub effects: BTreeMap<u32, Vec<Effect>>,
    pub clears: Vec<Effect>,
    pub births: Vec<usize>,
    pub seals: Vec<usize>,
    /// Writes that came too late to count.
    pub ghosts: usize,
    pub violations: Vec<String>,
}

impl Timeline {
    pub fn new(archive: &Archive) -> Self {
        let mut timeline = Self { violations: archive.damaged.clone(), ..Self::default() };
        timeline.steps.push(Step { seen: Moment::default(), seq: 0, contents: None, held: BTreeSet::new() });
        let mut incarnations: Vec<(Uuid, Moment)> = Vec::new();
        for (manifest, seen) in &archive.manifests {
            if incarnations.iter().all(|(known, _)| *known != manifest.incarnation) {
                incarnations.push((manifest.incarnation, *seen));
            }
        }
        for (incarnation, seen) in &incarnations {
            timeline.live(archive, *incarnation, *seen);
        }
        for (incarnation, seq) in archive.places.keys() {
            if incarnations.iter().all(|(known, _)| known != incarnation) {
                timeline.violations.push(format!("entry {seq} belongs to {incarnation}, which never was"));
            }
        }
        timeline.check_folds(archive);
        timeline
    }

    /// The last step.
    pub fn end(&self) -> &Step {
        self.steps.last().expect("there is a first one")
    }

    fn live(&mut self, archive: &Archive, incarnation: Uuid, seen: Moment) {
        if self.end().contents.is_some() {
            self.violations.push(format!("{incarnation} began before the one before it was sealed"));
        }
        self.births.push(self.steps.len());
        self.steps.push(Step { seen, seq: 0, contents: Some(Contents::new()), held: BTreeSet::new() });
        let (mut previous, mut dimension, mut sealed) = (0, None, false);
        let places = archive.places.range((incarnation, 0)..=(incarnation, u64::MAX));
        for (((_, seq), place), expected) in places.zip(1..) {
            self.ghosts += place.ghosts.len();
            let [Seen { entry, at }] = place.entries.as_slice() else {
                let count = place.entries.len();
                self.violations.push(format!("{count} entries stood at place {seq}, one after the other"));
                return;
            };
            let header = &entry.header;
            let fixed = *dimension.get_or_insert(entry.changes.dimension);
            let wrong = [
                (*seq != expected || header.seq != expected, "it is not in its place"),
                (header.incarnation != incarnation, "it belongs to another incarnation"),
                (header.previous != previous, "it was validated on another prefix"),
                (sealed, "it follows a SEAL"),
                (
                    entry.changes.dimension != 0 && fixed != entry.changes.dimension,
                    "its dimension is another",
                ),
            ];
            let wrong = wrong.iter().filter(|(wrong, _)| *wrong);
            self.violations.extend(wrong.map(|(_, what)| format!("entry {seq} of {incarnation}: {what}")));
            dimension = dimension.filter(|fixed| *fixed != 0);
            previous = entry.hash;
            sealed = header.kind == EntryKind::Seal;
            self.apply(entry, *at);
        }
    }

    fn apply(&mut self, entry: &Entry, seen: Moment) {
        let step = self.steps.len();
        let mut contents = self.end().contents.clone().unwrap_or_default();
        let mut held: BTreeSet<u8> = contents.keys().copied().collect();
        let mut vectors = entry.changes.vectors.chunks(entry.changes.dimension.max(1));
        let mut deleted = Effect { step, changes: 0, found: 0 };
        let mut written: BTreeMap<u32, Effect> = BTreeMap::new();
        for (kind, id) in entry.changes.kinds.iter().zip(&entry.changes.ids) {
            match (kind, row_number(id)) {
                (Change::Upsert, Some(row)) => {
                    let value = value_of(vectors.next().expect("a vector for each upsert"));
                    let replaced = contents.insert(row, value).is_some();
                    held.insert(row);
                    let effect = written.entry(value).or_insert(Effect { step, changes: 0, found: 0 });
                    effect.changes += 1;
                    effect.found += u64::from(replaced);
                }
                (Change::Delete, Some(row)) => {
                    deleted.changes += 1;
                    deleted.found += u64::from(contents.remove(&row).is_some());
                }
                // The marker is the last of its request.
                (Change::Delete, None) => {
                    deleted.changes += 1;
                    let marker = marker_number(id).expect("no other rows are deleted");
                    written.insert(marker, deleted);
                    deleted = Effect { step, changes: 0, found: 0 };
                }
                (Change::Clear, _) => {
                    let found = contents.len() as u64;
                    self.clears.push(Effect { step, changes: 1, found });
                    contents.clear();
                }
                (Change::UpsertWithoutVector, _) | (Change::Upsert, None) => {
                    self.violations.push(format!("a row that nobody wrote: {id:?}"))
                }
            }
        }
        for (mark, effect) in written {
            self.effects.entry(mark).or_default().push(effect);
        }
        let sealed = entry.header.kind == EntryKind::Seal;
        if sealed {
            self.seals.push(step);
        }
        let contents = (!sealed).then_some(contents);
        self.steps.push(Step { seen, seq: entry.header.seq, contents, held });
    }

    fn check_folds(&mut self, archive: &Archive) {
        let mut ids = BTreeSet::new();
        for place in archive.places.values().flat_map(|place| place.entries.first()) {
            if !ids.insert(place.entry.header.entry_id) {
                self.violations.push(format!("entry {} is in the log twice", place.entry.header.entry_id));
            }
        }
        for (manifest, _) in &archive.manifests {
            let entry = |seq| {
                archive.places.get(&(manifest.incarnation, seq)).and_then(|place| place.entries.first())
            };
            let (version, folded) = (manifest.version, manifest.folded);
            if manifest.state == State::Live
                && folded > 0
                && entry(folded).is_none_or(|seen| seen.entry.hash != manifest.folded_hash)
            {
                self.violations
                    .push(format!("manifest {version} folds another log than the one up to {folded}"));
            }
            for ring in &manifest.ring {
                if entry(ring.seq).is_none_or(|seen| seen.entry.header.entry_id != ring.entry_id) {
                    self.violations
                        .push(format!("the ring of manifest {version} is wrong about {}", ring.seq));
                }
            }
        }
        for ((incarnation, seq), place) in &archive.places {
            let Some(emptied) = place.emptied else { continue };
            let covers = |manifest: &quiver::engine::manifest::Manifest| {
                manifest.incarnation != *incarnation || manifest.folded >= *seq
            };
            let mut before = archive.manifests.iter().filter(|(_, seen)| *seen < emptied);
            if !before.any(|(manifest, _)| covers(manifest)) {
                self.violations.push(format!("entry {seq} was deleted before it was folded"));
            }
        }
    }
}
