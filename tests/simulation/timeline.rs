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
    condition::value_in,
    history::{Cell, Contents, Moment},
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
    /// What it changed, one after the other: the requests of one entry see each other.
    pub changes: Vec<Applied>,
}

/// One change of an entry, and the rows right before it.
#[derive(Debug, Clone)]
pub struct Applied {
    pub before: Contents,
    pub what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Put(u8, Cell),
    Gone(u8),
    /// The marker of a delete, which is the last of its request.
    Marker,
    Clear,
}

impl Step {
    fn new(seen: Moment, seq: u64, contents: Option<Contents>) -> Self {
        Self { seen, seq, contents, changes: Vec::new() }
    }

    /// The rows at each point at which a request may have been decided, with the changes that follow. Within
    /// the rows of one upsert there is none.
    pub fn stages(&self) -> impl Iterator<Item = (&Contents, &[Applied])> {
        let value = |change: &Applied| match change.what {
            What::Put(_, cell) => Some(cell.value),
            _ => None,
        };
        let is_between = move |at: &usize| {
            *at == 0 || value(&self.changes[*at]).is_none() || {
                value(&self.changes[*at]) != value(&self.changes[*at - 1])
            }
        };
        let inner = (0..self.changes.len()).filter(is_between);
        let inner = inner.map(|at| (&self.changes[at].before, &self.changes[at..]));
        inner.chain(self.contents.iter().map(|contents| (contents, &self.changes[self.changes.len()..])))
    }
}

/// Where changes stand in the log that have a mark: the rows of an upsert, or the marker of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub step: usize,
    /// The first of them.
    pub first: usize,
    pub count: usize,
}

/// Every life of the namespace, one after the other.
#[derive(Debug, Default)]
pub struct Timeline {
    pub steps: Vec<Step>,
    /// By the values of upserts and the markers of deletes.
    pub places: BTreeMap<u32, Vec<Place>>,
    pub clears: Vec<Place>,
    pub births: Vec<usize>,
    pub seals: Vec<usize>,
    /// Writes that came too late to count.
    pub ghosts: usize,
    pub violations: Vec<String>,
}

impl Timeline {
    pub fn new(archive: &Archive) -> Self {
        let mut timeline = Self { violations: archive.damaged.clone(), ..Self::default() };
        timeline.steps.push(Step::new(Moment::default(), 0, None));
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
        self.steps.push(Step::new(seen, 0, Some(Contents::new())));
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
        let mut vectors = entry.changes.vectors.chunks(entry.changes.dimension.max(1));
        let mut changes: Vec<Applied> = Vec::new();
        let mut places: BTreeMap<u32, Place> = BTreeMap::new();
        for (index, (kind, id)) in entry.changes.kinds.iter().zip(&entry.changes.ids).enumerate() {
            let before = contents.clone();
            let (what, mark) = match (kind, row_number(id)) {
                (Change::Upsert | Change::UpsertWithoutVector, row) => {
                    let has_vector = *kind == Change::Upsert;
                    let vector =
                        has_vector.then(|| value_of(vectors.next().expect("a vector for each such upsert")));
                    let value = entry.changes.metadata[index].as_deref().and_then(value_in);
                    let (Some(row), Some(value)) = (row, value) else {
                        self.violations.push(format!("a row that nobody wrote: {id:?}"));
                        continue;
                    };
                    let cell = Cell { value, vector };
                    contents.insert(row, cell);
                    (What::Put(row, cell), Some(value))
                }
                (Change::Delete, Some(row)) => {
                    contents.remove(&row);
                    (What::Gone(row), None)
                }
                (Change::Delete, None) => {
                    (What::Marker, Some(marker_number(id).expect("no other rows are deleted")))
                }
                (Change::Clear, _) => {
                    self.clears.push(Place { step, first: changes.len(), count: 1 });
                    contents.clear();
                    (What::Clear, None)
                }
            };
            if let Some(mark) = mark {
                let first = changes.len();
                places.entry(mark).or_insert(Place { step, first, count: 0 }).count += 1;
            }
            changes.push(Applied { before, what });
        }
        for (mark, place) in places {
            self.places.entry(mark).or_default().push(place);
        }
        let sealed = entry.header.kind == EntryKind::Seal;
        if sealed {
            self.seals.push(step);
        }
        let contents = (!sealed).then_some(contents);
        self.steps.push(Step { seen, seq: entry.header.seq, contents, changes });
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
