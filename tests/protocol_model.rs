//! The commit protocol, model-checked.
#[path = "protocol_model/collect.rs"]
mod collect;
#[path = "protocol_model/commit.rs"]
mod commit;
#[path = "protocol_model/fold.rs"]
mod fold;
#[path = "protocol_model/model.rs"]
mod model;
#[path = "protocol_model/node.rs"]
mod node;
#[path = "protocol_model/properties.rs"]
mod properties;
#[path = "protocol_model/rules.rs"]
mod rules;
#[path = "protocol_model/store.rs"]
mod store;
#[path = "protocol_model/view.rs"]
mod view;

use std::time::Instant;
use node::Kind::{Rows, Seal};
use model::Model;
use rules::{Rule, Rules};
use stateright::{Checker, HasDiscoveries, Model as _};

fn run(label: &str, model: Model) {
    let t = Instant::now();
    let c = model.checker().threads(2).timeout(std::time::Duration::from_secs(100)).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{label}: unique {} total {} depth {} done {} {:.1}s", c.unique_state_count(), c.state_count(), c.max_depth(), c.is_done(), t.elapsed().as_secs_f64());
    for (name, path) in c.discoveries() {
        if properties::ALWAYS.iter().any(|p| p.0 == name) {
            println!("  VIOLATED {name}");
            for a in path.into_actions() { println!("      {a:?}"); }
        } else { println!("  reached {name}"); }
    }
}

#[test]
fn explore() {
    let which = std::env::var("WHICH").unwrap_or_default();
    let base = Model { ring_length: 1, folders: 1, collectors: 1, ..Model::default() };
    let configs = [
        ("a", Model { nodes: vec![(vec![Rows], 1), (vec![Rows], 0)], faults: 1, folds: 1, marks: 1, ..base.clone() }),
        ("b", Model { nodes: vec![(vec![Rows, Rows], 0), (vec![Rows], 0)], faults: 1, folds: 2, ..base.clone() }),
        ("c", Model { nodes: vec![(vec![Rows, Rows], 0), (vec![Rows], 1)], faults: 0, folds: 1, marks: 1, ..base.clone() }),
        ("d", Model { nodes: vec![(vec![Rows], 0), (vec![Seal, Rows], 0)], faults: 1, folds: 0, marks: 1, creations: 1, ..base.clone() }),
        ("e", Model { nodes: vec![(vec![Rows, Rows], 0)], faults: 1, folds: 2, marks: 2, folders: 2, ..base.clone() }),
        ("f", Model { nodes: vec![(vec![Rows], 0), (vec![Rows], 0)], faults: 1, crashes: 1, give_up: true, folds: 1, marks: 1, ..base.clone() }),
        ("g", Model { nodes: vec![(vec![Rows], 0), (vec![Rows], 0), (vec![Rows], 0)], faults: 0, folds: 0, marks: 0, ..base.clone() }),
    ];
    for (l, m) in configs { if which.contains(l) { run(l, m); } }
    let _ = (Seal, Rules::without(Rule::RingDecides));
}
