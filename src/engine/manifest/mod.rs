//! The one mutable object of a namespace.
//!
//! It changes by compare-and-swap only. Its content is two lines of JSON, the manifest and its
//! checksum, so that people can read it and no damage goes unnoticed. `version` and `nonce` make
//! every manifest's bytes unique, since some stores derive an object's tag from its content alone
//! and would otherwise let a stale swap pass.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    engine::{
        format::{Hash, checked_json},
        segment::{SegmentRef, hash_as_hex},
    },
    planted::{Bug, planted},
    types::{Distance, IndexSpec},
};

const FORMAT: u32 = 1;
/// Folded entries that are remembered: what a writer may have waited for while others wrote on.
pub const RING: usize = 256;

/// What a namespace is, beyond its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of this object.
    pub format: u32,
    /// Grows by one with every change.
    pub version: u64,
    /// Drawn for every attempt to write: a writer recognises its own manifest by it.
    pub nonce: Uuid,
    /// Which life of the namespace this is; names the prefix of its objects.
    pub incarnation: Uuid,
    /// Whether it lives.
    pub state: State,
    /// What it was created with.
    pub config: NamespaceConfig,
    /// When this incarnation was created.
    pub created_at: Timestamp,
    /// The log entries up to this one are folded into segments.
    pub folded: u64,
    /// The hash of the last folded entry, which the next one names; 0 before the first.
    #[serde(with = "hash_as_hex")]
    pub folded_hash: Hash,
    /// When the last folded entry was committed.
    pub folded_at: Option<Timestamp>,
    /// The ids of the newest folded entries, for writers that lost a reply.
    pub ring: Vec<RingEntry>,
    /// Where the rows are that were folded, the oldest first.
    pub segments: Vec<SegmentRef>,
    /// The indexes that its segments are to have, at most one of a type; none was chosen: what is best
    /// by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indexes: Option<Vec<IndexSpec>>,
    /// What was written for a fold or merge that began on a manifest up to this version, and is not
    /// named here, may be collected: it must not be named any more.
    pub fence: u64,
    /// Segments of which something is being written and that the fence leaves alone: nothing of them was
    /// condemned. They stand here until the next fence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<Spared>,
}

/// An exception to the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spared {
    /// The id of the segment.
    pub segment: Uuid,
    /// The last fence that did not spare it: the exception holds if it was begun after that.
    pub since: u64,
}

/// Whether a namespace lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It can be read and written.
    Live,
    /// It is gone; its objects wait for garbage collection.
    Deleted,
}

/// What a namespace was created with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceConfig {
    /// Values per vector, unless the log fixes it.
    pub dimension: Option<usize>,
    /// The metric.
    pub distance: Distance,
}

/// A folded entry that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingEntry {
    /// Its place in the log.
    pub seq: u64,
    /// Who it was.
    pub entry_id: Uuid,
}

/// What a manifest says about the entry that a writer tried to put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The place is after the fold: what stands in the log decides.
    Open,
    /// The writer's own entry was folded.
    Mine,
    /// Another entry was folded at that place.
    Another,
    /// That place was folded too long ago to say whose entry it was.
    Forgotten,
}

impl Manifest {
    /// The first manifest of an incarnation that follows `previous` (a deleted one, or nothing).
    pub fn create(
        previous: Option<&Manifest>,
        config: NamespaceConfig,
        now: Timestamp,
        mut uuid: impl FnMut() -> Uuid,
    ) -> Self {
        Self {
            format: FORMAT,
            version: previous.map_or(1, |previous| previous.version + 1),
            nonce: uuid(),
            incarnation: previous
                .filter(|_| planted(Bug::ReusesIncarnation))
                .map_or_else(&mut uuid, |previous| previous.incarnation),
            state: State::Live,
            config,
            created_at: now,
            folded: 0,
            folded_hash: 0,
            folded_at: None,
            ring: Vec::new(),
            segments: Vec::new(),
            indexes: None,
            fence: 0,
            spared: Vec::new(),
        }
    }

    /// The tombstone that follows this manifest. It is a fold up to the SEAL, the last entry of
    /// `ring`: writers judge their entries by it as after any fold.
    pub fn tombstone(&self, nonce: Uuid, ring: Vec<RingEntry>) -> Self {
        if planted(Bug::TombstoneForgets) {
            return Self { version: self.version + 1, nonce, state: State::Deleted, ..self.clone() };
        }
        let folded = ring.last().map_or(self.folded, |seal| seal.seq);
        Self { version: self.version + 1, nonce, state: State::Deleted, folded, ring, ..self.clone() }
    }

    /// The manifest after this one, with other segments.
    pub fn with_segments(&self, nonce: Uuid, segments: Vec<SegmentRef>) -> Self {
        Self { version: self.version + 1, nonce, segments, ..self.clone() }
    }

    /// The manifest after this one, which nothing of what was begun before can change but for the
    /// segments `spared`. Any may be spared, as long as the mark that follows condemns nothing of them:
    /// whether an earlier one did is judged by whoever names them.
    pub fn fenced(&self, nonce: Uuid, spared: &[Uuid]) -> Self {
        let spare = |segment: &Uuid| Spared { segment: *segment, since: self.shut_out_by(*segment) };
        let spared = spared.iter().map(spare).collect();
        Self { version: self.version + 1, nonce, fence: self.version, spared, ..self.clone() }
    }

    /// The indexes that segments are to have.
    pub fn wanted_indexes(&self) -> &[IndexSpec] {
        self.indexes.as_deref().unwrap_or(&IndexSpec::DEFAULTS)
    }

    /// The manifest after this one, whose segments are to have these indexes, and have no others.
    pub fn with_indexes(&self, nonce: Uuid, indexes: Vec<IndexSpec>) -> Self {
        let mut next = self.with_segments(nonce, self.segments.clone());
        for segment in &mut next.segments {
            segment.indexes.retain(|index| indexes.iter().any(|spec| spec.is_served_by(&index.spec)));
        }
        Self { indexes: Some(indexes), ..next }
    }

    /// Whether what was written of this segment by a merge, or by the building of an index, that began
    /// on the manifest of version `born` may still be named by the manifest after this.
    pub fn admits(&self, segment: Uuid, born: u64) -> bool {
        born > self.shut_out_by(segment)
    }

    /// The last fence that counts for a segment.
    fn shut_out_by(&self, segment: Uuid) -> u64 {
        let spared = self.spared.iter().find(|spared| spared.segment == segment);
        spared.map_or(self.fence, |spared| spared.since)
    }

    /// Rule 5 of the commit protocol: whose entry is at `seq`, as far as this manifest knows?
    pub fn fate_of(&self, seq: u64, entry_id: Uuid) -> Fate {
        if self.folded < seq {
            return Fate::Open;
        }
        match self.ring.iter().find(|entry| entry.seq == seq) {
            Some(entry) if entry.entry_id == entry_id => Fate::Mine,
            Some(_) => Fate::Another,
            None => Fate::Forgotten,
        }
    }

    /// The object's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        checked_json::encode(self)
    }

    /// Reads a manifest, or says what is wrong with its bytes.
    pub fn decode(object: &[u8]) -> Result<Self, String> {
        checked_json::decode(object, "manifest", FORMAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let mut next = 0;
        let config = NamespaceConfig { dimension: Some(384), distance: Distance::Cosine };
        Manifest::create(None, config, Timestamp(1_700_000_000_000), || {
            next += 1;
            Uuid::from_u128(next)
        })
    }

    #[test]
    fn round_trip_and_every_damage_is_noticed() {
        let bytes = manifest().encode().unwrap();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest());
        for end in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..end]).is_err(), "truncated at {end}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match Manifest::decode(&damaged) {
                Err(_) => {}
                // White space and upper-case digits of the checksum line may change unnoticed: harmless.
                Ok(read) => assert_eq!(read, manifest(), "flipped bit {bit}"),
            }
        }
    }

    #[test]
    fn the_ring_decides_the_fate_of_a_folded_entry() {
        let mine = Uuid::from_u128(9);
        let mut manifest = manifest();
        assert_eq!(manifest.fate_of(1, mine), Fate::Open);
        manifest.folded = 3;
        manifest.ring =
            vec![RingEntry { seq: 2, entry_id: mine }, RingEntry { seq: 3, entry_id: Uuid::from_u128(7) }];
        assert_eq!(manifest.fate_of(4, mine), Fate::Open);
        assert_eq!(manifest.fate_of(3, mine), Fate::Another);
        assert_eq!(manifest.fate_of(2, mine), Fate::Mine);
        assert_eq!(manifest.fate_of(1, mine), Fate::Forgotten);
    }

    #[test]
    fn a_fence_shuts_out_what_was_begun_before_unless_it_is_spared() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let first = manifest();
        assert!(first.admits(one, 1) && first.admits(two, 1));
        // Begun on version 1, and only one of them is spared by the fence.
        let second = first.fenced(Uuid::from_u128(50), &[one]);
        assert_eq!((second.version, second.fence), (2, 1));
        assert!(second.admits(one, 1) && !second.admits(two, 1) && second.admits(two, 2));
        // Who was shut out stays so, whoever spares it later; who was spared must be so again.
        let third = second.fenced(Uuid::from_u128(51), &[one, two]);
        assert!(third.admits(one, 1) && !third.admits(two, 1) && third.admits(two, 2));
        let fourth = second.fenced(Uuid::from_u128(52), &[two]);
        assert!(!fourth.admits(one, 1) && !fourth.admits(one, 2) && fourth.admits(one, 3));
        assert_eq!(Manifest::decode(&fourth.encode().unwrap()).unwrap(), fourth);
    }

    #[test]
    fn a_successor_is_newer_and_never_equal() {
        let first = manifest();
        let seal = RingEntry { seq: 9, entry_id: Uuid::from_u128(60) };
        let tombstone = first.tombstone(Uuid::from_u128(50), vec![seal]);
        assert_eq!(tombstone.fate_of(9, seal.entry_id), Fate::Mine);
        assert_eq!(tombstone.fate_of(9, Uuid::from_u128(61)), Fate::Another);
        assert_eq!(tombstone.fate_of(10, seal.entry_id), Fate::Open);
        assert_eq!((tombstone.version, tombstone.state), (2, State::Deleted));
        assert_eq!(tombstone.incarnation, first.incarnation);
    }
}
