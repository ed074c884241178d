//! The committer of a node: rules 1 to 6. One PUT is under way at a time.

use crate::{
    node::Node,
    rules::{Rule, Rules},
    store::{Entry, Incarnation, Manifest, Request, Seq, Store},
    view::{self, Judgement, Progress, Reading},
};

/// What the client of a batch was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Nothing yet.
    None,
    /// It is in the log, here.
    Committed(Incarnation, Seq),
    /// Nothing was done and nothing will be.
    Refused,
    /// It may or may not be in the log.
    Unknown { maybe_sent: bool },
    /// The node died before it answered.
    Hung,
}

/// A batch at a place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    pub incarnation: Incarnation,
    pub seq: Seq,
    pub entry: Entry,
    pub validated_on: Vec<Entry>,
    /// Whether a PUT of it may have reached the store.
    pub maybe_sent: bool,
}

/// What the committer does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Committer {
    /// Between batches.
    Idle,
    /// About to send the PUT.
    Put(Attempt),
    /// The store said that the PUT took effect.
    Took(Attempt),
    /// About to get what stands at the place.
    ReadBack(Attempt),
    /// Knows what stands there; about to get the manifest.
    Judge(Attempt, Option<Entry>),
    /// Lost the place; reads on before the next attempt of that number.
    CatchUp(u8, Reading),
}

/// How the store treats a PUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It takes effect or conflicts, and says so.
    Replied,
    /// The sender gives up waiting; it may land later.
    Unanswered,
    /// It was never sent, and the sender knows.
    NotSent,
}

/// What the manifest and the log say of an attempt.
enum Fate {
    Mine,
    Another,
    Missing,
    Unknown,
}

impl Committer {
    /// Whether a batch is in hand.
    pub fn is_busy(&self) -> bool {
        *self != Self::Idle
    }

    /// Whether a view is needed for the next step.
    pub fn needs_view(&self) -> bool {
        matches!(self, Self::Idle | Self::CatchUp(..))
    }
}

impl Node {
    /// Begins an attempt on the present view, or refuses the batch.
    pub fn prepare(&mut self, rules: Rules, attempt: u8) {
        let Some(view) = &self.view else { return };
        if view.sealed && rules.hold(Rule::RefuseAfterSeal) {
            return self.answer(Answer::Refused);
        }
        let batch = self.batch();
        let seal = self.batches[usize::from(self.answered())].0 == crate::node::Kind::Seal;
        self.committer = Committer::Put(Attempt {
            incarnation: view.manifest.incarnation,
            seq: view.next(),
            entry: Entry { batch, attempt, seal },
            validated_on: view.entries.clone(),
            maybe_sent: false,
        });
    }

    /// Rule 4: the PUT.
    pub fn put(&mut self, store: &mut Store, rules: Rules, delivery: Delivery) {
        let Committer::Put(mut attempt) = self.committer.clone() else { return };
        let place = (attempt.incarnation, attempt.seq);
        match delivery {
            Delivery::NotSent if attempt.maybe_sent => {}
            Delivery::NotSent if rules.hold(Rule::UnknownOnlyIfSent) => self.answer(Answer::Refused),
            Delivery::NotSent => self.answer(Answer::Unknown { maybe_sent: false }),
            Delivery::Unanswered => {
                attempt.maybe_sent = true;
                store.send(Request::Put {
                    incarnation: place.0,
                    seq: place.1,
                    entry: attempt.entry,
                    validated_on: attempt.validated_on.clone(),
                });
                self.committer = Committer::ReadBack(attempt);
            }
            Delivery::Replied => {
                attempt.maybe_sent = true;
                let won = store.put(rules, place, attempt.entry, &attempt.validated_on);
                self.committer = if won {
                    Committer::Took(attempt)
                } else if rules.hold(Rule::ReadBackAfterConflict) {
                    Committer::ReadBack(attempt)
                } else {
                    start_over(&attempt)
                };
            }
        }
    }

    /// Rules 5 and 8: whether the place of a PUT that took effect still counts.
    pub fn after_put(&mut self, store: &Store, rules: Rules, judgement: Judgement) {
        let Committer::Took(attempt) = self.committer.clone() else { return };
        if !rules.hold(Rule::ConfirmAfterPut) {
            return self.commit(&attempt);
        }
        let seen_before = self.view.as_ref().map_or(0, |view| view.manifest.folded);
        let manifest = match &self.view {
            Some(view) if judgement == Judgement::Fresh => view.manifest.clone(),
            _ => self.look(store),
        };
        let moved = manifest.folded != seen_before && manifest.folded < attempt.seq;
        if moved && !rules.hold(Rule::FoldBelowPlaceCommits) {
            self.committer = start_over(&attempt);
            return;
        }
        self.settle(attempt.clone(), rules, fate(&manifest, &attempt, Some(attempt.entry), rules));
    }

    /// Rule 6: what stands at the place?
    pub fn read_back(&mut self, store: &Store, rules: Rules) {
        let Committer::ReadBack(attempt) = self.committer.clone() else { return };
        let found = store.log.get(&(attempt.incarnation, attempt.seq)).copied();
        if rules.hold(Rule::ConfirmAfterReadBack) {
            self.committer = Committer::Judge(attempt, found);
        } else {
            let fate = by_log(&attempt, found);
            self.settle(attempt, rules, fate);
        }
    }

    /// Rule 6: and what does the manifest say of it?
    pub fn judge(&mut self, store: &Store, rules: Rules) {
        let Committer::Judge(attempt, found) = self.committer.clone() else { return };
        let manifest = self.look(store);
        let fate = fate(&manifest, &attempt, found, rules);
        self.settle(attempt, rules, fate);
    }

    /// Reads on after a lost place, then tries again.
    pub fn catch_up(&mut self, store: &Store, rules: Rules, judgement: Judgement) {
        let Committer::CatchUp(attempt, reading) = self.committer else { return };
        match view::read_on(&mut self.view, store, rules, reading, judgement) {
            None => self.committer = Committer::CatchUp(attempt, Reading::Get),
            Some(Progress::On(reading)) => self.committer = Committer::CatchUp(attempt, reading),
            Some(Progress::Current) => self.prepare(rules, attempt),
        }
    }

    /// Gives up on an attempt whose fate the store does not tell in time.
    pub fn give_up(&mut self) {
        self.answer(Answer::Unknown { maybe_sent: true });
    }

    fn look(&mut self, store: &Store) -> Manifest {
        let next = self.view.as_ref().map_or(1, view::View::next);
        view::confirm(&mut self.view, store, next);
        store.manifest.clone()
    }

    fn settle(&mut self, mut attempt: Attempt, rules: Rules, fate: Fate) {
        match fate {
            Fate::Mine => self.commit(&attempt),
            Fate::Another => self.committer = start_over(&attempt),
            Fate::Unknown => self.answer(Answer::Unknown { maybe_sent: attempt.maybe_sent }),
            Fate::Missing if rules.hold(Rule::SamePlaceRetry) => {
                attempt.maybe_sent = true;
                self.committer = Committer::Put(attempt);
            }
            Fate::Missing => self.committer = start_over(&attempt),
        }
    }

    fn commit(&mut self, attempt: &Attempt) {
        if let Some(view) = &mut self.view
            && view.manifest.incarnation == attempt.incarnation
        {
            view.apply(attempt.seq, attempt.entry);
        }
        self.answer(Answer::Committed(attempt.incarnation, attempt.seq));
    }
}

fn start_over(attempt: &Attempt) -> Committer {
    Committer::CatchUp(attempt.entry.attempt + 1, Reading::Get)
}

/// Rule 5: what a manifest says of an attempt, given what stands at its place.
fn fate(manifest: &Manifest, attempt: &Attempt, standing: Option<Entry>, rules: Rules) -> Fate {
    if manifest.incarnation != attempt.incarnation {
        return if rules.hold(Rule::EndedIsUnknown) { Fate::Unknown } else { Fate::Another };
    }
    if !manifest.live && !rules.hold(Rule::TombstoneIsNoVerdict) {
        return Fate::Another;
    }
    if manifest.folded < attempt.seq {
        return by_log(attempt, standing);
    }
    if !rules.hold(Rule::RingDecides) {
        return Fate::Another;
    }
    match manifest.ring.iter().find(|(seq, _)| *seq == attempt.seq) {
        Some((_, entry)) if *entry == attempt.entry => Fate::Mine,
        Some(_) => Fate::Another,
        None if rules.hold(Rule::ForgottenIsUnknown) => Fate::Unknown,
        None => Fate::Another,
    }
}

fn by_log(attempt: &Attempt, standing: Option<Entry>) -> Fate {
    match standing {
        Some(entry) if entry == attempt.entry => Fate::Mine,
        Some(_) => Fate::Another,
        None => Fate::Missing,
    }
}
