//! The whole system as a transition system: every step is at most one request to the store.

use stateright::Property;

use crate::{
    collect::{self, Collector, Garbage, Spared},
    commit::{Answer, Committer, Delivery},
    fold::Folder,
    node::{Floor, Kind, Node, Shown},
    properties::{ALWAYS, SOMETIMES, is_current},
    rules::{Rule, Rules},
    store::{Manifest, OLDEST, Store},
    view::{Judgement, Reading, grow_older},
};

/// Which rules hold, and how large the system is.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub rules: Rules,
    /// Each node's batches and number of strong reads.
    pub nodes: Vec<(Vec<Kind>, u8)>,
    /// Entries that the manifest's ring holds.
    pub ring_length: usize,
    /// Replies that get lost, and PUTs that are never sent.
    pub faults: u8,
    /// Crashes of nodes.
    pub crashes: u8,
    /// Processes that fold, and segments that they may write in all.
    pub folders: u8,
    pub folds: u8,
    /// Processes that collect garbage, and marks that they may put in all.
    pub collectors: u8,
    pub marks: u8,
    /// Incarnations that may be created after the first.
    pub creations: u8,
    /// Whether committers may run out of time.
    pub give_up: bool,
}

/// Everything: the store, the processes, and what may still happen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub store: Store,
    pub nodes: Vec<Node>,
    pub folders: Vec<Folder>,
    pub collectors: Vec<Collector>,
    pub faults: u8,
    pub crashes: u8,
    pub folds: u8,
    pub marks: u8,
    /// History: a strong read missed an acknowledged batch or showed what is not committed.
    pub stale_read: bool,
}

/// A step. The first number says of whom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    Tick,
    Land(usize),
    Load(usize),
    Prepare(usize),
    Put(usize, Delivery),
    AfterPut(usize, Judgement),
    ReadBack(usize),
    Judge(usize),
    CatchUp(usize, Judgement),
    GiveUp(usize),
    BeginRead(usize),
    Refresh(usize, Judgement),
    Crash(usize),
    PutTombstone(usize),
    Create,
    Gather(usize),
    WriteSegment(usize),
    Swap(usize, bool),
    LookAgain(usize),
    Mark(usize, Spared),
    Ripen(usize),
    Delete(Garbage),
    FinishSweep(usize),
}

impl Model {
    /// The age at which a mark allows deletion: T_gc, in ticks of T_safe.
    fn gc_age(&self) -> u8 {
        match () {
            () if !self.rules.hold(Rule::MarkMustBeOld) => 0,
            () if !self.rules.hold(Rule::SafeAgeBelowGcAge) => 1,
            () => OLDEST,
        }
    }

    fn node_actions(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[index];
        if node.needs_load() {
            actions.push(Action::Load(index));
        }
        if node.readers.left > 0 && node.readers.waiting.is_none() {
            actions.push(Action::BeginRead(index));
        }
        if let Some((_, reading)) = node.readers.running
            && node.view.is_some()
        {
            let judgements = judgements_of_reading(node, reading);
            actions.extend(judgements.iter().map(|judgement| Action::Refresh(index, *judgement)));
        }
        if state.crashes > 0 && node.is_awake() {
            actions.push(Action::Crash(index));
        }
        let sealed = node.view.as_ref().filter(|view| view.sealed);
        if sealed.is_some_and(|view| state.store.manifest.is_life_of(view.manifest.incarnation)) {
            actions.push(Action::PutTombstone(index));
        }
        self.committer_actions(state, index, actions);
    }

    fn committer_actions(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[index];
        match &node.committer {
            Committer::Idle if node.has_batch() && node.view.is_some() => {
                actions.push(Action::Prepare(index))
            }
            Committer::Idle => {}
            Committer::Put(attempt) => {
                actions.push(Action::Put(index, Delivery::Replied));
                if state.faults > 0 {
                    actions.push(Action::Put(index, Delivery::Unanswered));
                    if !attempt.maybe_sent {
                        actions.push(Action::Put(index, Delivery::NotSent));
                    }
                }
            }
            Committer::Took(_) => {
                let judgements = judgements(node);
                actions.extend(judgements.iter().map(|judgement| Action::AfterPut(index, *judgement)));
            }
            Committer::ReadBack(_) => actions.push(Action::ReadBack(index)),
            Committer::Judge(..) => actions.push(Action::Judge(index)),
            Committer::CatchUp(_, reading) if node.view.is_some() => {
                let judgements = judgements_of_reading(node, *reading);
                actions.extend(judgements.iter().map(|judgement| Action::CatchUp(index, *judgement)));
            }
            Committer::CatchUp(..) => {}
        }
        let waits = matches!(node.committer, Committer::ReadBack(_) | Committer::Judge(..));
        if self.give_up && waits {
            actions.push(Action::GiveUp(index));
        }
    }

    fn folder_actions(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let folder = &state.folders[index];
        match folder {
            Folder::Idle if state.folds > 0 && state.store.manifest.live => {
                actions.push(Action::Gather(index))
            }
            Folder::Idle => {}
            Folder::Gather { .. } => {
                actions.push(Action::Gather(index));
                if folder.can_write() && state.folds > 0 {
                    actions.push(Action::WriteSegment(index));
                }
            }
            Folder::Swap(_) => {
                actions.push(Action::Swap(index, true));
                if state.faults > 0 {
                    actions.push(Action::Swap(index, false));
                }
            }
            Folder::Unsure(_) => actions.push(Action::LookAgain(index)),
        }
    }

    fn collector_actions(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let collector = &state.collectors[index];
        match collector {
            Collector::Idle => {
                if state.marks > 0 {
                    actions.push(Action::Mark(index, 0));
                }
                if state.store.mark.as_ref().is_some_and(|mark| mark.age >= self.gc_age()) {
                    actions.push(Action::Ripen(index));
                }
            }
            Collector::Listed(_) | Collector::Hasty(_) | Collector::Condemning(_) => {
                let choices = collector.choices(&state.store).into_iter();
                actions.extend(choices.map(|spared| Action::Mark(index, spared)));
            }
            Collector::Deleting(_) => {
                actions.extend(collector.garbage(&state.store).into_iter().map(Action::Delete));
                actions.push(Action::FinishSweep(index));
            }
        }
    }

    fn apply(&self, state: &mut State, action: Action) {
        let rules = self.rules;
        let State { store, nodes, folders, collectors, .. } = state;
        let mut shown = Vec::new();
        match action {
            Action::Tick => tick(state),
            Action::Land(index) => store.land(rules, index),
            Action::Load(index) => shown = nodes[index].load(store, rules),
            Action::Prepare(index) => nodes[index].prepare(rules, 0),
            Action::Put(index, delivery) => {
                state.faults -= u8::from(delivery != Delivery::Replied);
                nodes[index].put(store, rules, delivery);
            }
            Action::AfterPut(index, judgement) => nodes[index].after_put(store, rules, judgement),
            Action::ReadBack(index) => nodes[index].read_back(store, rules),
            Action::Judge(index) => nodes[index].judge(store, rules),
            Action::CatchUp(index, judgement) => nodes[index].catch_up(store, rules, judgement),
            Action::GiveUp(index) => nodes[index].give_up(),
            Action::BeginRead(index) => {
                let floor = newest_acknowledged(nodes);
                nodes[index].begin_read(floor);
            }
            Action::Refresh(index, judgement) => shown = nodes[index].refresh(store, rules, judgement),
            Action::Crash(index) => {
                state.crashes -= 1;
                nodes[index].crash();
            }
            Action::PutTombstone(index) => self.put_tombstone(store, &mut nodes[index]),
            Action::Create => self.create(store),
            Action::Gather(index) => folders[index].gather(store, rules),
            Action::WriteSegment(index) => {
                state.folds -= 1;
                folders[index].write(store);
            }
            Action::Swap(index, replied) => {
                state.faults -= u8::from(!replied);
                folders[index].swap(store, rules, self.ring_length, replied);
            }
            Action::LookAgain(index) => folders[index].look_again(store, rules),
            Action::Mark(index, spared) => {
                state.marks -= u8::from(collectors[index] == Collector::Idle);
                collectors[index].mark(store, rules, spared);
            }
            Action::Ripen(index) => collectors[index].ripen(store),
            Action::Delete(garbage) => collect::delete(store, garbage),
            Action::FinishSweep(index) => collectors[index].finish(store),
        }
        state.stale_read |= shown.iter().any(|shown: &Shown| !is_current(&state.store, shown));
    }

    /// Rule S: whoever has read a SEAL ends the incarnation.
    fn put_tombstone(&self, store: &mut Store, node: &mut Node) {
        let Some(view) = node.view.take() else { return };
        let present = &store.manifest;
        store.manifest = if self.rules.hold(Rule::TombstoneFoldsLog) {
            present.folding(&view.entries, None, self.ring_length)
        } else {
            Manifest { version: present.version + 1, segment: None, ..present.clone() }
        };
        store.manifest.live = false;
    }

    fn create(&self, store: &mut Store) {
        let (version, mut incarnation) = (store.manifest.version + 1, store.manifest.incarnation);
        if self.rules.hold(Rule::NewIncarnation) {
            incarnation += 1;
            store.committed.push(Vec::new());
        }
        store.manifest =
            Manifest { version, incarnation, fence: store.manifest.fence, ..Store::new().manifest };
    }

    fn may_create(&self, store: &Store) -> bool {
        // Every incarnation so far took two versions at least, whether its number is new or not.
        let created = if self.rules.hold(Rule::NewIncarnation) {
            store.committed.len() - 1
        } else {
            usize::from(store.committed[0].iter().any(|entry| entry.seal) && store.manifest.live)
        };
        !store.manifest.live && created < usize::from(self.creations)
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut first = 0;
        let nodes = self.nodes.iter().map(|(kinds, reads)| {
            let node = Node::new(first, kinds, *reads);
            first += kinds.len() as u8;
            node
        });
        vec![State {
            store: Store::new(),
            nodes: nodes.collect(),
            folders: vec![Folder::Idle; usize::from(self.folders)],
            collectors: vec![Collector::Idle; usize::from(self.collectors)],
            faults: self.faults,
            crashes: self.crashes,
            folds: self.folds,
            marks: self.marks,
            stale_read: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if has_young(state) {
            actions.push(Action::Tick);
        }
        actions.extend((0..state.store.in_flight.len()).map(Action::Land));
        (0..state.nodes.len()).for_each(|index| self.node_actions(state, index, actions));
        (0..state.folders.len()).for_each(|index| self.folder_actions(state, index, actions));
        (0..state.collectors.len()).for_each(|index| self.collector_actions(state, index, actions));
        if self.may_create(&state.store) {
            actions.push(Action::Create);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = ALWAYS.iter().map(|(name, holds)| Property::always(name, *holds));
        let sometimes = SOMETIMES.iter().map(|(name, holds)| Property::sometimes(name, *holds));
        always.chain(sometimes).collect()
    }
}

fn judgements(node: &Node) -> &'static [Judgement] {
    node.view.as_ref().map_or(&[Judgement::Stale], |view| Judgement::of(view.age))
}

fn judgements_of_reading(node: &Node, reading: Reading) -> &'static [Judgement] {
    match reading {
        Reading::Get => &[Judgement::Stale],
        Reading::Got(..) | Reading::Unconfirmed(_) => judgements(node),
    }
}

fn newest_acknowledged(nodes: &[Node]) -> Floor {
    let answers = nodes.iter().flat_map(|node| &node.batches);
    let places = answers.filter_map(|(_, answer)| match answer {
        Answer::Committed(incarnation, seq) => Some((*incarnation, *seq)),
        _ => None,
    });
    places.max()
}

/// Whether anything is not yet as old as it can become.
fn has_young(state: &State) -> bool {
    let views = state.nodes.iter().filter_map(|node| node.view.as_ref().map(|view| view.age));
    let loads = state.nodes.iter().filter_map(|node| node.loading.as_ref().map(|(_, age)| *age));
    let mark = state.store.mark.as_ref().map(|mark| mark.age);
    views.chain(loads).chain(mark).any(|age| age < OLDEST)
}

fn tick(state: &mut State) {
    state.nodes.iter_mut().for_each(Node::tick);
    if let Some(mark) = &mut state.store.mark {
        grow_older(&mut mark.age);
    }
}
