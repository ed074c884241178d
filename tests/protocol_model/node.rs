//! A node: one cached view, one committer, one refresh that readers share.

use crate::{
    commit::{Answer, Committer},
    rules::{Rule, Rules},
    store::{Entry, Incarnation, Manifest, OLDEST, Seq, Store},
    view::{self, Judgement, Progress, Reading, View},
};

/// What a client asks a node to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Rows,
    Seal,
}

/// The last commit that was acknowledged when a read began: it must be in the answer.
pub type Floor = Option<(Incarnation, Seq)>;

/// The refresh that runs, and the read that came after it began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Readers {
    pub running: Option<(Floor, Reading)>,
    pub waiting: Option<Floor>,
    /// Reads that may still begin.
    pub left: u8,
}

/// What a read showed its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub floor: Floor,
    /// `None`: there is no such namespace.
    pub rows: Option<(Incarnation, Vec<Entry>)>,
}

/// A node and its clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    pub view: Option<View>,
    /// A manifest whose segment is being fetched, and its age.
    pub loading: Option<(Manifest, u8)>,
    pub committer: Committer,
    pub readers: Readers,
    /// Batches in order, with what their clients were told.
    pub batches: Vec<(Kind, Answer)>,
    /// Number of this node's first batch.
    pub first_batch: u8,
    /// History: a missing segment was reported as damage.
    pub false_alarm: bool,
}

impl Node {
    /// A node that has just started.
    pub fn new(first_batch: u8, kinds: &[Kind], reads: u8) -> Self {
        Self {
            view: None,
            loading: None,
            committer: Committer::Idle,
            readers: Readers { left: reads, ..Readers::default() },
            batches: kinds.iter().map(|kind| (*kind, Answer::None)).collect(),
            first_batch,
            false_alarm: false,
        }
    }

    /// Index of the batch in hand or next.
    pub fn answered(&self) -> u8 {
        self.batches.iter().take_while(|(_, answer)| *answer != Answer::None).count() as u8
    }

    /// Whether a batch waits or is in hand.
    pub fn has_batch(&self) -> bool {
        usize::from(self.answered()) < self.batches.len()
    }

    /// Number of the batch in hand or next.
    pub fn batch(&self) -> u8 {
        self.first_batch + self.answered()
    }

    /// Tells the client of the batch in hand.
    pub fn answer(&mut self, answer: Answer) {
        let index = usize::from(self.answered());
        self.batches[index].1 = answer;
        self.committer = Committer::Idle;
    }

    /// Whether someone waits for a view.
    pub fn needs_load(&self) -> bool {
        let writer = self.has_batch() && self.committer.needs_view();
        self.view.is_none() && (writer || self.readers.running.is_some())
    }

    /// Rule 1: gets the manifest, then its segment. Returns what a read showed, if one ended.
    pub fn load(&mut self, store: &Store, rules: Rules) -> Vec<Shown> {
        let Some((manifest, age)) = self.loading.take() else {
            return self.load_manifest(&store.manifest);
        };
        match manifest.segment.and_then(|id| store.segments.get(&id)) {
            Some(folded) => self.view = Some(View::new(manifest, age, folded.clone())),
            // Old manifests may refer to what is gone: the next step looks again.
            None if age == OLDEST && rules.hold(Rule::MissingSegmentRefreshes) => {}
            None => self.false_alarm = true,
        }
        Vec::new()
    }

    fn load_manifest(&mut self, manifest: &Manifest) -> Vec<Shown> {
        if manifest.live {
            if manifest.segment.is_some() {
                self.loading = Some((manifest.clone(), 0));
            } else {
                self.view = Some(View::new(manifest.clone(), 0, Vec::new()));
            }
            return Vec::new();
        }
        if self.has_batch() && self.committer.needs_view() {
            self.answer(Answer::Refused);
        }
        self.finish_read(None, true)
    }

    /// A read arrives. If a refresh runs, it waits for the next one.
    pub fn begin_read(&mut self, floor: Floor) {
        self.readers.left -= 1;
        if self.readers.running.is_none() {
            self.readers.running = Some((floor, Reading::Get));
        } else {
            self.readers.waiting = Some(floor);
        }
    }

    /// Rule 7: a step of the refresh. Returns what reads showed, if it ended.
    pub fn refresh(&mut self, store: &Store, rules: Rules, judgement: Judgement) -> Vec<Shown> {
        let Some((_, reading)) = &mut self.readers.running else { return Vec::new() };
        match view::read_on(&mut self.view, store, rules, *reading, judgement) {
            None => *reading = Reading::Get,
            Some(Progress::On(next)) => *reading = next,
            Some(Progress::Current) => {
                let view = self.view.as_ref().filter(|view| !view.sealed);
                let rows = view.map(|view| (view.manifest.incarnation, view.entries.clone()));
                return self.finish_read(rows, rules.hold(Rule::RefreshBeginsAfterRead));
            }
        }
        Vec::new()
    }

    fn finish_read(&mut self, rows: Option<(Incarnation, Vec<Entry>)>, waiters_refresh: bool) -> Vec<Shown> {
        let Some((floor, _)) = self.readers.running.take() else { return Vec::new() };
        let mut shown = vec![Shown { floor, rows: rows.clone() }];
        if let Some(floor) = self.readers.waiting.take() {
            if waiters_refresh {
                self.readers.running = Some((floor, Reading::Get));
            } else {
                shown.push(Shown { floor, rows });
            }
        }
        shown
    }

    /// The process dies and comes back: memory is gone, clients hang.
    pub fn crash(&mut self) {
        if self.committer.is_busy() {
            self.answer(Answer::Hung);
        }
        self.view = None;
        self.loading = None;
        self.readers = Readers { left: self.readers.left, ..Readers::default() };
    }

    /// Whether there is anything in memory that a crash would lose.
    pub fn is_awake(&self) -> bool {
        self.view.is_some() || self.loading.is_some() || self.committer.is_busy()
    }

    /// Time passes.
    pub fn tick(&mut self) {
        if let Some(view) = &mut self.view {
            view::grow_older(&mut view.age);
        }
        if let Some((_, age)) = &mut self.loading {
            view::grow_older(age);
        }
    }
}
