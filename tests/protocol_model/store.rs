//! The object store, and beside it the history that only the checker can see.

use std::collections::BTreeMap;

use crate::rules::{Rule, Rules};

/// A place in the log, from 1.
pub type Seq = u8;
/// A life of the namespace, from 0.
pub type Incarnation = u8;
/// A segment's unique id.
pub type SegmentId = u8;

/// Ages are counted in ticks of T_safe and saturate here.
pub const OLDEST: u8 = 2;

/// A log entry. Batch and attempt together are its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    pub batch: u8,
    pub attempt: u8,
    pub seal: bool,
}

/// The one mutable object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Manifest {
    pub version: u8,
    pub incarnation: Incarnation,
    pub live: bool,
    pub folded: Seq,
    /// The newest folded entries with their places.
    pub ring: Vec<(Seq, Entry)>,
    /// The fold: one segment with all rows, for a fold here always rewrites the one before.
    pub segment: Option<SegmentId>,
    /// Segments that were begun on a manifest of this version or an older one are void.
    pub fence: u8,
    /// Exceptions: segments, each with the last fence that did not spare it.
    pub spared: Vec<(SegmentId, u8)>,
}

impl Manifest {
    /// This manifest after a fold of everything up to the end of `entries`, which starts at place 1.
    pub fn folding(&self, entries: &[Entry], segment: Option<SegmentId>, ring_length: usize) -> Self {
        let ring = (1..).zip(entries.iter().copied()).skip(entries.len().saturating_sub(ring_length));
        Self {
            version: self.version + 1,
            folded: entries.len() as Seq,
            ring: ring.collect(),
            segment,
            ..self.clone()
        }
    }

    /// This manifest with a fence that spares these segments.
    pub fn fenced(&self, rules: Rules, spared: &[SegmentId]) -> Self {
        let mut exceptions: Vec<_> = spared.iter().map(|id| (*id, self.shut_out_by(*id))).collect();
        if !rules.hold(Rule::ExceptionEndsWithItsFence) {
            exceptions.extend(self.spared.iter().filter(|(id, _)| !spared.contains(id)));
        }
        Self { version: self.version + 1, fence: self.version, spared: exceptions, ..self.clone() }
    }

    /// Whether a segment that was begun on the manifest of this version may still be named.
    pub fn admits(&self, rules: Rules, segment: SegmentId, born: u8) -> bool {
        let spared = self.spared.iter().any(|(id, _)| *id == segment);
        born > self.shut_out_by(segment) || spared && !rules.hold(Rule::SparingRevivesNobody)
    }

    /// The last fence that counts for a segment.
    fn shut_out_by(&self, segment: SegmentId) -> u8 {
        self.spared.iter().find(|(id, _)| *id == segment).map_or(self.fence, |(_, since)| *since)
    }

    /// Whether this incarnation can still be written.
    pub fn is_life_of(&self, incarnation: Incarnation) -> bool {
        self.live && self.incarnation == incarnation
    }
}

/// What the collector condemned, as an object of its own whose age the store's clock tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The manifest that was read after everything was listed.
    pub seen: Manifest,
    pub segments: Vec<SegmentId>,
    pub incarnations: Vec<Incarnation>,
    pub age: u8,
}

/// A PUT whose sender has stopped waiting. It may land at any later moment, or never.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    Put { incarnation: Incarnation, seq: Seq, entry: Entry, validated_on: Vec<Entry> },
    Swap { expected: u8, manifest: Manifest },
}

/// Objects, requests under way, and the history.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Store {
    pub log: BTreeMap<(Incarnation, Seq), Entry>,
    pub manifest: Manifest,
    pub segments: BTreeMap<SegmentId, Vec<Entry>>,
    pub mark: Option<Mark>,
    pub in_flight: Vec<Request>,
    pub next_segment: SegmentId,
    /// History: each incarnation's log as it was committed, whatever was deleted since.
    pub committed: Vec<Vec<Entry>>,
    /// History: an entry was committed on another prefix than it was validated on.
    pub misvalidated: bool,
}

impl Store {
    /// A namespace that was just created.
    pub fn new() -> Self {
        let manifest = Manifest {
            version: 1,
            incarnation: 0,
            live: true,
            folded: 0,
            ring: Vec::new(),
            segment: None,
            fence: 0,
            spared: Vec::new(),
        };
        Self {
            log: BTreeMap::new(),
            manifest,
            segments: BTreeMap::new(),
            mark: None,
            in_flight: Vec::new(),
            next_segment: 0,
            committed: vec![Vec::new()],
            misvalidated: false,
        }
    }

    /// Put-if-absent of a log entry; returns whether it won.
    pub fn put(
        &mut self,
        rules: Rules,
        place: (Incarnation, Seq),
        entry: Entry,
        validated_on: &[Entry],
    ) -> bool {
        if self.log.contains_key(&place) && rules.hold(Rule::StoreRefusesSecondPut) {
            return false;
        }
        self.log.insert(place, entry);
        let log = &mut self.committed[usize::from(place.0)];
        // A place that was taken before and then deleted gives a ghost, not a commit.
        if usize::from(place.1) > log.len() {
            self.misvalidated |= log[..] != validated_on[..];
            log.push(entry);
        }
        true
    }

    /// Compare-and-swap of the manifest; returns whether it won.
    pub fn swap(&mut self, rules: Rules, expected: u8, manifest: Manifest) -> bool {
        let wins = self.manifest.version == expected || !rules.hold(Rule::StoreRefusesStaleSwap);
        if wins {
            self.manifest = manifest;
        }
        wins
    }

    /// Leaves a request under way. Their order has no meaning.
    pub fn send(&mut self, request: Request) {
        self.in_flight.push(request);
        self.in_flight.sort();
    }

    /// Lets a request take effect.
    pub fn land(&mut self, rules: Rules, index: usize) {
        match self.in_flight.remove(index) {
            Request::Put { incarnation, seq, entry, validated_on } => {
                self.put(rules, (incarnation, seq), entry, &validated_on);
            }
            Request::Swap { expected, manifest } => {
                self.swap(rules, expected, manifest);
            }
        }
    }

    /// Writes a segment under a new id.
    pub fn put_segment(&mut self, entries: Vec<Entry>) -> SegmentId {
        let id = self.next_segment;
        self.next_segment += 1;
        self.segments.insert(id, entries);
        id
    }
}
