//! What must be true in every state, each a pure function.

use crate::{
    commit::Answer,
    fold::Folder,
    model::{Model, State},
    node::{Node, Shown},
    store::{Entry, Incarnation, Seq, Store},
};

/// A property: its name and its predicate.
pub type Named = (&'static str, fn(&Model, &State) -> bool);

/// What must always be true.
pub const ALWAYS: &[Named] = &[
    ("an acknowledged batch is in the log or in a fold", acknowledged_is_durable),
    ("one winner per place", one_winner_per_place),
    ("a fold equals its log prefix", fold_is_log_prefix),
    ("no batch twice", no_batch_twice),
    ("a batch is validated on exactly the prefix before it", validated_on_its_prefix),
    ("a strong read is a current prefix", strong_reads_are_current),
    ("no node shows what was not committed", views_are_prefixes),
    ("nothing after a SEAL", nothing_after_seal),
    ("unknown is said only if a PUT may have been sent", unknown_only_if_sent),
    ("what is refused leaves nothing", refused_leaves_nothing),
    ("no healthy namespace is called damaged", no_false_alarm),
];

fn answers(state: &State) -> impl Iterator<Item = (u8, Answer)> {
    let of_node = |node: &'_ Node| {
        let first = node.first_batch;
        node.batches.clone().into_iter().zip(first..).map(|((_, answer), batch)| (batch, answer))
    };
    state.nodes.iter().flat_map(of_node)
}

fn committed_at(store: &Store, incarnation: Incarnation, seq: Seq) -> Option<&Entry> {
    store.committed[usize::from(incarnation)].get(usize::from(seq) - 1)
}

/// What a reader who begins now finds at a place.
fn readable_at(store: &Store, incarnation: Incarnation, seq: Seq) -> Option<&Entry> {
    if store.manifest.folded < seq {
        return store.log.get(&(incarnation, seq));
    }
    store.segments.get(&store.manifest.segment?)?.get(usize::from(seq) - 1)
}

fn acknowledged_is_durable(_: &Model, state: &State) -> bool {
    let store = &state.store;
    answers(state).all(|(batch, answer)| {
        let Answer::Committed(incarnation, seq) = answer else { return true };
        let is_it = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.batch == batch);
        is_it(committed_at(store, incarnation, seq))
            && (is_over(store, incarnation) || is_it(readable_at(store, incarnation, seq)))
    })
}

/// Whether an incarnation was ended by its SEAL, so that its objects may go.
fn is_over(store: &Store, incarnation: Incarnation) -> bool {
    let sealed = store.committed[usize::from(incarnation)].iter().any(|entry| entry.seal);
    sealed && !store.manifest.is_life_of(incarnation)
}

fn one_winner_per_place(_: &Model, state: &State) -> bool {
    let store = &state.store;
    let counts = |(incarnation, seq): &(Incarnation, Seq)| {
        store.manifest.is_life_of(*incarnation) && *seq > store.manifest.folded
    };
    let mut places: Vec<_> = answers(state)
        .filter_map(|(_, answer)| match answer {
            Answer::Committed(incarnation, seq) => Some((incarnation, seq)),
            _ => None,
        })
        .collect();
    let acknowledged = places.len();
    places.sort_unstable();
    places.dedup();
    places.len() == acknowledged
        && store
            .log
            .iter()
            .filter(|(place, _)| counts(place))
            .all(|(place, entry)| committed_at(store, place.0, place.1) == Some(entry))
}

fn fold_is_log_prefix(_: &Model, state: &State) -> bool {
    let (store, manifest) = (&state.store, &state.store.manifest);
    let log = &store.committed[usize::from(manifest.incarnation)];
    if !manifest.live {
        return true;
    }
    let folded: &[Entry] = match manifest.segment {
        None => &[],
        Some(id) => match store.segments.get(&id) {
            Some(entries) => entries,
            None => return false,
        },
    };
    folded.len() == usize::from(manifest.folded) && log.starts_with(folded)
}

fn no_batch_twice(_: &Model, state: &State) -> bool {
    let mut batches: Vec<_> = state.store.committed.iter().flatten().map(|entry| entry.batch).collect();
    let entries = batches.len();
    batches.sort_unstable();
    batches.dedup();
    batches.len() == entries
}

fn validated_on_its_prefix(_: &Model, state: &State) -> bool {
    !state.store.misvalidated
}

fn strong_reads_are_current(_: &Model, state: &State) -> bool {
    !state.stale_read
}

/// Whether what a read shows includes everything that was acknowledged before it began, and
/// nothing that is not committed.
pub fn is_current(store: &Store, shown: &Shown) -> bool {
    match (&shown.rows, shown.floor) {
        (Some((incarnation, rows)), floor) => {
            let includes = floor.is_none_or(|floor| (*incarnation, rows.len() as Seq) >= floor);
            includes && store.committed[usize::from(*incarnation)].starts_with(rows)
        }
        // Gone is true if the SEAL that ended it is committed.
        (None, Some((incarnation, _))) => {
            store.committed[usize::from(incarnation)].iter().any(|entry| entry.seal)
        }
        (None, None) => true,
    }
}

fn views_are_prefixes(_: &Model, state: &State) -> bool {
    let views = state.nodes.iter().filter_map(|node| node.view.as_ref());
    views
        .into_iter()
        .all(|view| state.store.committed[usize::from(view.manifest.incarnation)].starts_with(&view.entries))
}

fn nothing_after_seal(_: &Model, state: &State) -> bool {
    state.store.committed.iter().all(|log| log.iter().rev().skip(1).all(|entry| !entry.seal))
}

fn unknown_only_if_sent(_: &Model, state: &State) -> bool {
    answers(state).all(|(_, answer)| answer != Answer::Unknown { maybe_sent: false })
}

fn refused_leaves_nothing(_: &Model, state: &State) -> bool {
    answers(state)
        .filter(|(_, answer)| *answer == Answer::Refused)
        .all(|(batch, _)| state.store.committed.iter().flatten().all(|entry| entry.batch != batch))
}

fn no_false_alarm(_: &Model, state: &State) -> bool {
    state.nodes.iter().all(|node| !node.false_alarm)
}

/// What must be reachable, or the model proves nothing.
pub const SOMETIMES: &[Named] = &[
    ("a ghost stands at a place that was folded and deleted", ghost_stands),
    ("a folded entry is deleted", folded_entry_is_deleted),
    ("a replaced or orphaned segment is deleted", |_, state| {
        state.store.segments.len() < usize::from(state.store.next_segment)
    }),
    ("a fence is in the manifest", |_, state| state.store.manifest.fence > 0),
    ("a fold that was begun before a fence passes it", spared_fold_passes),
    ("the ring forgets", |_, state| {
        state.store.manifest.ring.len() < usize::from(state.store.manifest.folded)
    }),
    ("an outcome is unknown", |_, state| {
        answers(state).any(|(_, answer)| matches!(answer, Answer::Unknown { .. }))
    }),
    ("a batch is refused", |_, state| answers(state).any(|(_, answer)| answer == Answer::Refused)),
    ("a client hangs", |_, state| answers(state).any(|(_, answer)| answer == Answer::Hung)),
    ("the second incarnation is written", |_, state| {
        answers(state).any(|(_, answer)| matches!(answer, Answer::Committed(1, _)))
    }),
    ("everything is acknowledged and folded", |_, state| {
        let folded = usize::from(state.store.manifest.folded);
        answers(state).all(|(_, answer)| matches!(answer, Answer::Committed(..)))
            && folded == state.store.committed.iter().flatten().count()
    }),
];

fn ghost_stands(_: &Model, state: &State) -> bool {
    let store = &state.store;
    store.log.iter().any(|(place, entry)| committed_at(store, place.0, place.1) != Some(entry))
}

fn spared_fold_passes(_: &Model, state: &State) -> bool {
    let manifest = &state.store.manifest;
    state.folders.iter().any(|folder| match folder {
        Folder::Swap(fold) => fold.expected == *manifest && fold.born <= manifest.fence,
        _ => false,
    })
}

fn folded_entry_is_deleted(_: &Model, state: &State) -> bool {
    let manifest = &state.store.manifest;
    (1..=manifest.folded).any(|seq| !state.store.log.contains_key(&(manifest.incarnation, seq)))
}
