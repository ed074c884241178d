//! The garbage collector (rule C). It may be anyone, and it may stop at any step.

use crate::{
    rules::{Rule, Rules},
    store::{Incarnation, Manifest, Mark, SegmentId, Seq, Store},
};

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
    /// The steps up to the mark.
    pub fn mark(&mut self, store: &mut Store, rules: Rules) {
        *self = match std::mem::replace(self, Self::Idle) {
            Self::Idle if rules.hold(Rule::ListBeforeManifest) => Self::Listed(list(store)),
            Self::Idle => Self::Hasty(store.manifest.clone()),
            Self::Listed(listing) => {
                let mark = condemn(listing, store.manifest.clone());
                fence(store, rules, &mark);
                Self::Condemning(mark)
            }
            Self::Hasty(seen) => Self::Condemning(condemn(list(store), seen)),
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

/// What a manifest condemns among what was listed.
fn condemn(listing: Listing, seen: Manifest) -> Mark {
    let segments = listing.segments.into_iter().filter(|id| seen.segment != Some(*id)).collect();
    let incarnations = listing.incarnations.into_iter().filter(|it| !seen.is_life_of(*it)).collect();
    Mark { seen, segments, incarnations, age: 0 }
}

/// Swaps in a manifest with a fence if segments are condemned: no swap that began before can bring
/// them back. The swap is repeated from the reading of the manifest on until it succeeds, so it is
/// one step here.
fn fence(store: &mut Store, rules: Rules, mark: &Mark) {
    if !mark.segments.is_empty() && rules.hold(Rule::FenceBeforeMark) {
        let (version, fence) = (mark.seen.version + 1, mark.seen.version);
        store.manifest = Manifest { version, fence, ..mark.seen.clone() };
    }
}

/// Whether a log entry was condemned.
fn is_condemned(mark: &Mark, (incarnation, seq): (Incarnation, Seq)) -> bool {
    let over = mark.incarnations.contains(&incarnation);
    over || mark.seen.is_life_of(incarnation) && seq <= mark.seen.folded
}
