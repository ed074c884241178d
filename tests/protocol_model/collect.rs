//! The garbage collector (rule C). It may be anyone, and it may stop at any step.
//!
//! It may spare whatever segments it likes: nothing depends on what it was told of work under way.

use crate::{
    rules::{Rule, Rules},
    store::{Incarnation, Manifest, Mark, SegmentId, Seq, Store},
};

/// A set of segments: a bit for each id.
pub type Spared = u8;

/// What was found by listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Listing {
    pub segments: Vec<SegmentId>,
    pub incarnations: Vec<Incarnation>,
}

/// An object that may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Garbage {
    Entry(Incarnation, Seq),
    Segment(SegmentId),
}

/// Where a collection is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Collector {
    Idle,
    /// Has listed everything; about to read the manifest and to fence it.
    Listed(Listing),
    /// Has read the manifest before it lists: only when a rule is removed.
    Hasty(Manifest),
    /// Knows what to condemn; about to put the mark.
    Condemning(Mark),
    /// Has read a mark that is old enough; deletes what it condemned.
    Deleting(Mark),
}

impl Collector {
    /// What may be spared at the next step: any set of segments that the manifest does not name, those
    /// included that were condemned or deleted already.
    pub fn choices(&self, store: &Store) -> Vec<Spared> {
        match self {
            Self::Listed(_) => {
                subsets((0..store.next_segment).filter(|id| store.manifest.segment != Some(*id)))
            }
            _ => vec![0],
        }
    }

    /// The steps up to the mark.
    pub fn mark(&mut self, store: &mut Store, rules: Rules, spared: Spared) {
        *self = match std::mem::replace(self, Self::Idle) {
            Self::Idle if rules.hold(Rule::ListBeforeManifest) => Self::Listed(list(store)),
            Self::Idle => Self::Hasty(store.manifest.clone()),
            Self::Listed(listing) => {
                let spared: Vec<_> = (0..store.next_segment).filter(|id| spared >> id & 1 == 1).collect();
                let left_out = if rules.hold(Rule::SparedIsNotCondemned) { &spared[..] } else { &[] };
                let mark = condemn(listing, store.manifest.clone(), left_out);
                fence(store, rules, &mark, &spared);
                Self::Condemning(mark)
            }
            Self::Hasty(seen) => Self::Condemning(condemn(list(store), seen, &[])),
            Self::Condemning(mark) => {
                store.mark = Some(mark);
                Self::Idle
            }
            other => other,
        };
    }

    /// Reads the mark, if it is old by the store's clock.
    pub fn ripen(&mut self, store: &Store) {
        if let Some(mark) = &store.mark {
            *self = Self::Deleting(Mark { age: 0, ..mark.clone() });
        }
    }

    /// What may be deleted now. What was condemned stays so: no look at the manifest is needed.
    pub fn garbage(&self, store: &Store) -> Vec<Garbage> {
        let Self::Deleting(mark) = self else { return Vec::new() };
        let entries = store.log.keys().filter(|place| is_condemned(mark, **place));
        let segments = mark.segments.iter().filter(|id| store.segments.contains_key(id));
        let entries = entries.map(|(incarnation, seq)| Garbage::Entry(*incarnation, *seq));
        entries.chain(segments.map(|id| Garbage::Segment(*id))).collect()
    }

    /// Ends a sweep.
    pub fn finish(&mut self, store: &mut Store) {
        store.mark = None;
        *self = Self::Idle;
    }
}

/// Deletes an object.
pub fn delete(store: &mut Store, garbage: Garbage) {
    match garbage {
        Garbage::Entry(incarnation, seq) => {
            store.log.remove(&(incarnation, seq));
        }
        Garbage::Segment(id) => {
            store.segments.remove(&id);
        }
    }
}

fn list(store: &Store) -> Listing {
    let mut incarnations: Vec<_> = store.log.keys().map(|(incarnation, _)| *incarnation).collect();
    incarnations.dedup();
    Listing { segments: store.segments.keys().copied().collect(), incarnations }
}

/// Every set of some segments.
fn subsets(segments: impl Iterator<Item = SegmentId>) -> Vec<Spared> {
    segments.fold(vec![0], |sets, id| sets.iter().flat_map(|set| [*set, set | 1 << id]).collect())
}

/// What a manifest condemns among what was listed.
fn condemn(listing: Listing, seen: Manifest, spared: &[SegmentId]) -> Mark {
    let garbage = |id: &SegmentId| seen.segment != Some(*id) && !spared.contains(id);
    let segments = listing.segments.into_iter().filter(garbage).collect();
    let incarnations = listing.incarnations.into_iter().filter(|it| !seen.is_life_of(*it)).collect();
    Mark { seen, segments, incarnations, age: 0 }
}

/// Swaps in a manifest with a fence if segments are condemned: no swap that began before can bring
/// them back. The swap is repeated from the reading of the manifest on until it succeeds, so it is
/// one step here.
fn fence(store: &mut Store, rules: Rules, mark: &Mark, spared: &[SegmentId]) {
    if !mark.segments.is_empty() && rules.hold(Rule::FenceBeforeMark) {
        store.manifest = mark.seen.fenced(rules, spared);
    }
}

/// Whether a log entry was condemned.
fn is_condemned(mark: &Mark, (incarnation, seq): (Incarnation, Seq)) -> bool {
    let over = mark.incarnations.contains(&incarnation);
    over || mark.seen.is_life_of(incarnation) && seq <= mark.seen.folded
}
