//! What a node knows of the namespace, and how it reads on. Its committer and its reader share it.

use crate::{
    rules::{Rule, Rules},
    store::{Entry, Incarnation, Manifest, OLDEST, Seq, Store},
};

/// A prefix of the log, with the manifest that was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    pub manifest: Manifest,
    /// Ticks since the look at the manifest.
    pub age: u8,
    /// Everything from place 1, folded or not.
    pub entries: Vec<Entry>,
    /// Whether a SEAL was read. A fold does not tell: it holds rows, no entries.
    pub sealed: bool,
}

/// How a node judges the age of its last look.
///
/// A node's clock may run at half the store's speed: one tick after the look it may still take it
/// for fresh, or not; two ticks after, it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Judgement {
    Fresh,
    Stale,
}

impl Judgement {
    /// The possible judgements of an age.
    pub fn of(age: u8) -> &'static [Self] {
        match age {
            0 => &[Self::Fresh],
            1 => &[Self::Fresh, Self::Stale],
            _ => &[Self::Stale],
        }
    }
}

/// Where a refresh is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// About to get the entry after the newest known one.
    Get,
    /// Has the answer of the store.
    Got(Incarnation, Seq, Option<Entry>),
    /// Has applied an entry without a look at the manifest: only when a rule is removed.
    Unconfirmed(Seq),
}

/// What a step of a refresh led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    On(Reading),
    /// Everything that was committed before the refresh began is in the view.
    Current,
}

impl View {
    /// The first view from a manifest, with the content of its segment.
    pub fn new(manifest: Manifest, age: u8, folded: Vec<Entry>) -> Self {
        Self { manifest, age, entries: folded, sealed: false }
    }

    /// The place after the newest known entry.
    pub fn next(&self) -> Seq {
        self.entries.len() as Seq + 1
    }

    /// Appends the entry of the next place; others are passed over.
    pub fn apply(&mut self, seq: Seq, entry: Entry) {
        if seq == self.next() && !self.sealed {
            self.entries.push(entry);
            self.sealed = entry.seal;
        }
    }

    /// Takes note of the present manifest. Whether the view still stands: not if its incarnation
    /// is over, or if the fold has passed `place`, where what the log shows means nothing any more.
    fn confirm(&mut self, manifest: &Manifest, place: Seq) -> bool {
        let stands = manifest.is_life_of(self.manifest.incarnation) && manifest.folded < place;
        self.manifest = manifest.clone();
        self.age = 0;
        stands
    }
}

/// Looks at the manifest and drops the view if it no longer stands.
pub fn confirm(view: &mut Option<View>, store: &Store, place: Seq) {
    if view.as_mut().is_some_and(|known| !known.confirm(&store.manifest, place)) {
        *view = None;
    }
}

/// One step of a refresh. `None`: the view is gone and must be loaded first.
pub fn read_on(
    view: &mut Option<View>,
    store: &Store,
    rules: Rules,
    reading: Reading,
    judgement: Judgement,
) -> Option<Progress> {
    let known = view.as_mut()?;
    let next = known.next();
    match reading {
        Reading::Get if known.sealed => Some(Progress::Current),
        Reading::Get => {
            let place = (known.manifest.incarnation, next);
            Some(Progress::On(Reading::Got(place.0, next, store.log.get(&place).copied())))
        }
        // The other thread has moved the view to another incarnation.
        Reading::Got(incarnation, ..) if incarnation != known.manifest.incarnation => {
            Some(Progress::On(Reading::Get))
        }
        Reading::Got(_, seq, Some(entry)) if !rules.hold(Rule::ConfirmBeforeApply) => {
            known.apply(seq, entry);
            Some(Progress::On(Reading::Unconfirmed(seq)))
        }
        Reading::Got(_, seq, found) => {
            let trusted = found.is_none() && !rules.hold(Rule::ConfirmAfterRead);
            let lenient = found.is_some() && !rules.hold(Rule::JudgeByPlaceRead);
            if judgement == Judgement::Stale && !trusted {
                confirm(view, store, seq + u8::from(lenient));
            }
            let known = view.as_mut()?;
            // If the other thread has loaded the view anew meanwhile, what it lacks is not at our place.
            let loaded_anew = known.next() < seq || known.manifest.folded >= seq;
            if loaded_anew && rules.hold(Rule::RefreshIsOfOneView) && !trusted && !lenient {
                return Some(Progress::On(Reading::Get));
            }
            let Some(entry) = found else {
                return Some(Progress::Current);
            };
            known.apply(seq, entry);
            Some(Progress::On(Reading::Get))
        }
        Reading::Unconfirmed(seq) => {
            if judgement == Judgement::Stale {
                confirm(view, store, seq);
            }
            view.as_ref().map(|_| Progress::On(Reading::Get))
        }
    }
}

/// Makes a view one tick older.
pub fn grow_older(age: &mut u8) {
    *age = (*age + 1).min(OLDEST);
}
