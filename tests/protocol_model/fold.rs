//! The folder (rule F). It may be anyone, and it may stop at any step.

use crate::{
    rules::{Rule, Rules},
    store::{Entry, Manifest, Request, SegmentId, Store},
};

/// Where a fold is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Folder {
    Idle,
    /// Reads the entries after the fold; `entries` begins at place 1.
    Gather {
        base: Manifest,
        entries: Vec<Entry>,
    },
    /// Has written the segment; about to swap the manifest.
    Swap(Fold),
    /// The reply to the swap was lost; about to read the manifest.
    Unsure(Fold),
}

/// A fold that waits for its swap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fold {
    /// The manifest that the swap expects.
    pub expected: Manifest,
    /// Version of the manifest on which the segment was begun.
    pub born: u8,
    pub segment: SegmentId,
    pub entries: Vec<Entry>,
}

impl Folder {
    /// Gets the manifest, or the next entry.
    pub fn gather(&mut self, store: &Store, rules: Rules) {
        match self {
            Self::Idle if store.manifest.live => {
                let base = store.manifest.clone();
                let folded = base.segment.map_or(Some(Vec::new()), |id| store.segments.get(&id).cloned());
                if let Some(entries) = folded {
                    *self = Self::Gather { base, entries };
                }
            }
            Self::Gather { base, entries } => {
                let place = (base.incarnation, entries.len() as u8 + 1);
                let found =
                    store.log.get(&place).filter(|entry| !entry.seal || !rules.hold(Rule::FoldStopsAtSeal));
                match found {
                    Some(entry) => entries.push(*entry),
                    None if entries.len() == usize::from(base.folded) => *self = Self::Idle,
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// Whether there is something to fold.
    pub fn can_write(&self) -> bool {
        matches!(self, Self::Gather { base, entries } if entries.len() > usize::from(base.folded))
    }

    /// Writes the segment.
    pub fn write(&mut self, store: &mut Store) {
        if let Self::Gather { base, entries } = self.clone() {
            let segment = store.put_segment(entries.clone());
            *self = Self::Swap(Fold { born: base.version, expected: base, segment, entries });
        }
    }

    /// Swaps the manifest; whether the reply comes back or not.
    pub fn swap(&mut self, store: &mut Store, rules: Rules, ring_length: usize, replied: bool) {
        let Self::Swap(fold) = self.clone() else { return };
        let manifest = fold.expected.folding(&fold.entries, Some(fold.segment), ring_length);
        if replied {
            let won = store.swap(rules, fold.expected.version, manifest);
            *self = if won { Self::Idle } else { Self::Unsure(fold) };
            return;
        }
        store.send(Request::Swap { expected: fold.expected.version, manifest });
        *self = if rules.hold(Rule::KeepSegmentsOfUnknownSwap) {
            Self::Unsure(fold)
        } else {
            store.segments.remove(&fold.segment);
            Self::Idle
        };
    }

    /// Reads the manifest after a conflict or a lost reply: swaps again if the fold still fits.
    pub fn look_again(&mut self, store: &Store, rules: Rules) {
        let Self::Unsure(mut fold) = self.clone() else { return };
        let present = &store.manifest;
        let fits = present.is_life_of(fold.expected.incarnation)
            && present.folded == fold.expected.folded
            && present.segment == fold.expected.segment;
        let admitted = present.admits(rules, fold.segment, fold.born) || !rules.hold(Rule::FoldRespectsFence);
        *self = if fits && admitted {
            fold.expected = present.clone();
            Self::Swap(fold)
        } else {
            Self::Idle
        };
    }
}
