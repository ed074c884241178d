//! How large the system is in each search.

use crate::{
    model::Model,
    node::Kind::{self, Rows, Seal},
    rules::Rule,
};

const DURABLE: &str = "an acknowledged batch is in the log or in a fold";
const PREFIX: &str = "a fold equals its log prefix";
const ONCE: &str = "no batch twice";
const CURRENT: &str = "a strong read is a current prefix";
const SEALED: &str = "nothing after a SEAL";

fn nodes(nodes: &[(&[Kind], u8)]) -> Model {
    let nodes = nodes.iter().map(|(kinds, reads)| (kinds.to_vec(), *reads)).collect();
    Model { nodes, ring_length: 1, ..Model::default() }
}

fn folding(model: Model, folders: u8, folds: u8) -> Model {
    Model { folders, folds, ..model }
}

fn collecting(model: Model, marks: u8) -> Model {
    Model { collectors: 1, marks, ..model }
}

/// Systems that are searched always.
pub fn usual() -> Vec<(&'static str, Model)> {
    let read_beside = nodes(&[(&[Rows], 1), (&[Rows], 0)]);
    let two = nodes(&[(&[Rows], 0), (&[Rows], 0)]);
    let sealed_beside = nodes(&[(&[Rows], 0), (&[Seal], 0)]);
    let three = nodes(&[(&[Rows], 0), (&[Rows], 0), (&[Rows], 0)]);
    let busy = nodes(&[(&[Rows, Rows], 0), (&[Rows], 0)]);
    vec![
        ("reads beside writes", collecting(folding(read_beside, 1, 1), 1)),
        ("lost replies", Model { faults: 1, give_up: true, ..collecting(folding(two, 1, 1), 1) }),
        ("crashes", Model { faults: 1, crashes: 1, ..folding(busy, 1, 1) }),
        ("racing folds", Model { faults: 1, ..collecting(folding(nodes(&[(&[Rows, Rows], 0)]), 2, 2), 1) }),
        ("fences one after the other", collecting(folding(nodes(&[(&[Rows], 0)]), 2, 2), 2)),
        ("created again", Model { faults: 1, creations: 1, ..collecting(folding(sealed_beside, 1, 1), 1) }),
        ("three nodes", folding(three, 1, 1)),
    ]
}

/// Systems that take minutes.
pub fn large() -> Vec<(&'static str, Model)> {
    let busy = nodes(&[(&[Rows, Rows], 0), (&[Rows], 0)]);
    let three = nodes(&[(&[Rows], 0), (&[Rows], 0), (&[Rows], 1)]);
    let sealed = nodes(&[(&[Rows], 1), (&[Seal], 0)]);
    let sealed_busy = nodes(&[(&[Rows, Rows], 0), (&[Seal], 0)]);
    let read_beside = nodes(&[(&[Rows], 1), (&[Rows], 0)]);
    let collectors = collecting(folding(nodes(&[(&[Rows, Rows], 0)]), 1, 2), 2);
    vec![
        ("crashes, more replies lost", Model { faults: 2, crashes: 1, ..folding(busy, 1, 1) }),
        ("three nodes, with reads", folding(three, 1, 1)),
        ("read while created again", Model { creations: 1, ..collecting(folding(sealed, 1, 1), 1) }),
        ("read while replies are lost", Model { faults: 1, ..collecting(folding(read_beside, 1, 1), 1) }),
        ("racing collectors", Model { collectors: 2, ..collectors }),
        ("busy when sealed", Model { faults: 1, creations: 1, ..collecting(folding(sealed_busy, 1, 1), 1) }),
    ]
}

/// A system that goes wrong without a rule, and the property that then fails.
pub fn that_needs(rule: Rule) -> (Model, &'static str) {
    let one = nodes(&[(&[Rows], 0)]);
    let two_batches = nodes(&[(&[Rows, Rows], 0)]);
    let two = nodes(&[(&[Rows], 0), (&[Rows], 0)]);
    let read_beside = nodes(&[(&[Rows], 1), (&[Rows], 0)]);
    let sealed_beside = nodes(&[(&[Seal], 0), (&[Rows], 0)]);
    match rule {
        Rule::ConfirmBeforeApply => {
            (collecting(folding(read_beside, 1, 1), 1), "no node shows what was not committed")
        }
        Rule::StoreRefusesSecondPut => (two, DURABLE),
        Rule::ConfirmAfterPut => (collecting(folding(two, 1, 1), 1), DURABLE),
        Rule::FoldBelowPlaceCommits => (folding(two_batches, 1, 1), ONCE),
        Rule::RingDecides => (folding(one, 1, 1), ONCE),
        Rule::ForgottenIsUnknown => (folding(two, 1, 1), ONCE),
        Rule::EndedIsUnknown => (Model { creations: 1, ..nodes(&[(&[Rows], 0), (&[Seal], 0)]) }, ONCE),
        Rule::ReadBackAfterConflict | Rule::SamePlaceRetry => (Model { faults: 1, ..one }, ONCE),
        Rule::ConfirmAfterReadBack => (Model { faults: 1, ..collecting(folding(two, 1, 1), 1) }, DURABLE),
        Rule::UnknownOnlyIfSent => {
            (Model { faults: 1, ..one }, "unknown is said only if a PUT may have been sent")
        }
        Rule::JudgeByPlaceRead | Rule::ConfirmAfterRead | Rule::RefreshIsOfOneView => {
            (collecting(folding(read_beside, 1, 1), 1), CURRENT)
        }
        Rule::RefreshBeginsAfterRead => (nodes(&[(&[Rows], 0), (&[], 2)]), CURRENT),
        Rule::SafeAgeBelowGcAge | Rule::MarkMustBeOld => (collecting(folding(two, 1, 1), 1), DURABLE),
        Rule::StoreRefusesStaleSwap => (collecting(folding(two_batches, 2, 2), 1), DURABLE),
        Rule::KeepSegmentsOfUnknownSwap => (Model { faults: 1, ..folding(one, 1, 1) }, PREFIX),
        Rule::FoldRespectsFence | Rule::FenceBeforeMark => (collecting(folding(one, 1, 1), 1), PREFIX),
        Rule::SparedIsNotCondemned => (collecting(folding(one, 1, 1), 1), PREFIX),
        Rule::SparingRevivesNobody | Rule::ExceptionEndsWithItsFence => {
            (collecting(folding(one, 2, 2), 2), PREFIX)
        }
        Rule::ListBeforeManifest => {
            let model = nodes(&[(&[Seal, Seal], 0), (&[Rows], 0)]);
            (Model { creations: 1, ..collecting(model, 1) }, DURABLE)
        }
        Rule::MissingSegmentRefreshes => {
            let model = nodes(&[(&[Rows, Rows], 0), (&[], 1)]);
            (collecting(folding(model, 1, 2), 1), "no healthy namespace is called damaged")
        }
        Rule::RefuseAfterSeal => (nodes(&[(&[Seal, Rows], 0)]), SEALED),
        Rule::FoldStopsAtSeal => (folding(sealed_beside, 1, 1), SEALED),
        Rule::TombstoneFoldsLog => (collecting(sealed_beside, 1), DURABLE),
        Rule::TombstoneIsNoVerdict => (sealed_beside, "what is refused leaves nothing"),
        Rule::NewIncarnation => (Model { creations: 1, ..collecting(sealed_beside, 1) }, DURABLE),
    }
}
