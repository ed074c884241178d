//! The garbage collector: rule 10. It may be anyone, and it may stop at any step.

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
    /// Has listed everything; about to read the manifest.
    Listed(Listing),
    /// Knows what to condemn; about to put the mark.
    Condemning(Mark),
    /// Has read a mark that is old enough; about to read the manifest, or to put the fence in.
    Ripe(Mark),
    /// Deletes what both agree on.
    Deleting {
        mark: Mark,
        judged_by: Manifest,
    },
}

impl Collector {
    /// The steps up to the mark.
    pub fn mark(&mut self, store: &mut Store, rules: Rules) {
        *self = match std::mem::replace(self, Self::Idle) {
            Self::Idle if rules.hold(Rule::ListBeforeManifest) => Self::Listed(list(store)),
            Self::Idle => Self::Condemning(Mark {
                seen: store.manifest.clone(),
                segments: Vec::new(),
                incarnations: Vec::new(),
                age: 0,
            }),
            Self::Listed(listing) => Self::Condemning(condemn(listing, store.manifest.clone())),
            Self::Condemning(mark) => {
                let mark =
                    if rules.hold(Rule::ListBeforeManifest) { mark } else { condemn(list(store), mark.seen) };
                store.mark = Some(mark);
                Self::Idle
            }
            other => other,
        };
    }

    /// Reads the mark, if it is old by the store's clock.
    pub fn ripen(&mut self, store: &Store) {
        if let Some(mark) = &store.mark {
            *self = Self::Ripe(Mark { age: 0, ..mark.clone() });
        }
    }

    /// Judges the condemned by the present manifest. If segments are to go, it first moves the
    /// manifest, with a fence: from here on no swap that began before the mark can bring them back.
    pub fn judge(&mut self, store: &mut Store, rules: Rules) {
        let Self::Ripe(mark) = self.clone() else { return };
        if !rules.hold(Rule::RecheckBeforeDelete) {
            *self = Self::Deleting { judged_by: mark.seen.clone(), mark };
            return;
        }
        let unreferenced = mark.segments.iter().any(|id| Some(*id) != store.manifest.segment);
        if unreferenced && rules.hold(Rule::FenceBeforeDelete) {
            let fence = mark.seen.version.max(store.manifest.fence);
            let version = store.manifest.version + 1;
            store.manifest = Manifest { version, fence, ..store.manifest.clone() };
        }
        *self = Self::Deleting { mark, judged_by: store.manifest.clone() };
    }

    /// What may be deleted now.
    pub fn garbage(&self, store: &Store) -> Vec<Garbage> {
        let Self::Deleting { mark, judged_by } = self else { return Vec::new() };
        let entries = store.log.keys().map(|(incarnation, seq)| Garbage::Entry(*incarnation, *seq));
        let segments = mark.segments.iter().filter(|id| store.segments.contains_key(id)).copied();
        entries
            .chain(segments.map(Garbage::Segment))
            .filter(|it| is_condemned(mark, judged_by, *it))
            .collect()
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

/// Whether the mark and the manifest that judges it agree that an object is garbage.
fn is_condemned(mark: &Mark, judge: &Manifest, garbage: Garbage) -> bool {
    match garbage {
        Garbage::Segment(id) => judge.segment != Some(id),
        Garbage::Entry(incarnation, _) if mark.incarnations.contains(&incarnation) => {
            !judge.is_life_of(incarnation)
        }
        Garbage::Entry(incarnation, seq) => {
            mark.seen.is_life_of(incarnation)
                && seq <= mark.seen.folded
                && (!judge.is_life_of(incarnation) || seq <= judge.folded)
        }
    }
}
