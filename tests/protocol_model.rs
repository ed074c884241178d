//! The commit protocol, model-checked.
//!
//! `tests/protocol_model/` states the protocol of `ARCHITECTURE.md` as a transition system: nodes
//! with a committer and a refresh that share one view, folders, garbage collectors, a store that
//! delays and loses replies, clocks that may run at half speed. Every interleaving is visited. The
//! first test finds no violation in the whole protocol; the second takes each rule away and demands
//! the violation that the rule is there to prevent.
//!
//! Left out: damaged objects, back-pressure and the expiry of rows, which no race decides.

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
#[path = "protocol_model/scenarios.rs"]
mod scenarios;
#[path = "protocol_model/store.rs"]
mod store;
#[path = "protocol_model/view.rs"]
mod view;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use model::{Model, State};
use properties::{ALWAYS, SOMETIMES};
use rules::{Rule, Rules};
use stateright::{Checker, HasDiscoveries, Model as _};

/// States of the whole protocol that must be visited.
const MIN_STATES: usize = 1_000_000;
/// A search that takes longer is given up, which fails the test.
const PATIENCE: Duration = Duration::from_secs(600);

fn search(model: Model, until: HasDiscoveries) -> impl Checker<Model> {
    model.checker().threads(2).timeout(PATIENCE).finish_when(until).spawn_bfs().join()
}

/// The steps to a violation, one a line.
fn steps(path: stateright::Path<State, model::Action>) -> String {
    path.into_actions().iter().map(|action| format!("\n    {action:?}")).collect()
}

#[test]
fn the_whole_protocol_is_safe() {
    let only = std::env::var("QUIVER_MODEL_SCENARIO").ok();
    let mut scenarios = scenarios::usual();
    if std::env::var_os("QUIVER_MODEL_LARGE").is_some() {
        scenarios.extend(scenarios::large());
    }
    let mut reached = BTreeSet::new();
    let mut visited = 0;
    for (name, model) in scenarios {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let began = Instant::now();
        let checker = search(model, HasDiscoveries::AnyFailures);
        let (states, seconds) = (checker.unique_state_count(), began.elapsed().as_secs_f64());
        println!("{name}: {states} states, depth {}, {seconds:.1} s", checker.max_depth());
        for (property, path) in checker.discoveries() {
            assert!(
                ALWAYS.iter().all(|(always, _)| *always != property),
                "{name}: {property:?} is violated:{}",
                steps(path)
            );
            reached.insert(property);
        }
        assert!(checker.is_done() && began.elapsed() < PATIENCE, "{name}: not every state was visited");
        visited += states;
    }
    println!("{visited} states in all");
    if only.is_none() {
        assert!(visited >= MIN_STATES, "only {visited} states");
        for (property, _) in SOMETIMES {
            assert!(reached.contains(property), "no scenario reaches {property:?}");
        }
    }
}

#[test]
fn every_rule_is_needed() {
    let only = std::env::var("QUIVER_MODEL_RULE").ok();
    let mut missed = Vec::new();
    for rule in Rule::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{rule:?}")) {
            continue;
        }
        let (model, property) = scenarios::that_needs(*rule);
        let began = Instant::now();
        let removed = Model { rules: Rules::without(*rule), ..model };
        let checker = search(removed, HasDiscoveries::AnyOf(BTreeSet::from([property])));
        let (states, seconds) = (checker.unique_state_count(), began.elapsed().as_secs_f64());
        match checker.discovery(property) {
            Some(path) => {
                println!(
                    "without {rule:?}: {property:?} fails ({states} states, {seconds:.1} s){}",
                    steps(path)
                );
            }
            None => missed.push(format!("without {rule:?}, {property:?} holds ({states} states)")),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
