//! A deterministic simulation: several nodes, which are the real engine, on one store, in virtual time.
//!
//! Everything that happens follows from a seed: what clients ask, which requests and answers are
//! lost, late or slow, when nodes pause, crash and come back, and how wrong their clocks are. What
//! clients were told is then held against the log ([`simulation::witness`]), against itself
//! ([`simulation::registers`]), and against what the objects say ([`simulation::timeline`]).
//!
//! ```text
//! make sim SEEDS=10000                                        many seeds
//! QUIVER_SIM_SEED=7 cargo test --test simulation -- replay --nocapture     one seed, with its history
//! ```

#![recursion_limit = "256"] // The futures of the engine nest deeply.

mod simulation {
    pub mod archive;
    #[cfg(debug_assertions)]
    pub mod bugs;
    pub mod clock;
    pub mod condition;
    pub mod decisions;
    pub mod history;
    pub mod nemesis;
    pub mod network;
    pub mod node;
    pub mod registers;
    pub mod run;
    pub mod scenario;
    pub mod timeline;
    pub mod witness;
    pub mod workload;
    pub mod world;
}

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use simulation::run::{Outcome, simulate};

/// Seeds of an ordinary run.
const SEEDS: u64 = 200;
/// Failures after which a run ends.
const ENOUGH: usize = 3;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} = {text:?} is no number")))
}

/// Runs seeds on all cores until enough of them failed.
fn run_all(seeds: u64, each: impl Fn(&Outcome) + Sync) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let work = || {
        #[cfg(debug_assertions)]
        simulation::bugs::plant_named();
        while failures.lock().unwrap().len() < ENOUGH {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= seeds {
                return;
            }
            let outcome = simulate(seed);
            each(&outcome);
            if !outcome.violations.is_empty() {
                failures.lock().unwrap().push(outcome);
            }
        }
    };
    on_all_cores(work);
    failures.into_inner().unwrap()
}

fn on_all_cores(work: impl Fn() + Sync) {
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(&work))));
}

fn report(outcome: &Outcome) -> String {
    let Outcome { seed, violations, .. } = outcome;
    format!(
        "seed {seed}:\n  {}\n  replay: QUIVER_SIM_SEED={seed} cargo test --locked --test simulation -- replay --nocapture",
        violations.join("\n  ")
    )
}

#[test]
fn every_seed_keeps_the_promises() {
    let seeds = setting("QUIVER_SIM_SEEDS").unwrap_or(SEEDS);
    let (began, done) = (Instant::now(), AtomicU64::new(0));
    let totals = Mutex::new([0; 8]);
    let failures = run_all(seeds, |outcome| {
        let Outcome { requests, acknowledged, entries, collected, ghosts, spared, indexes, unlisted, .. } =
            outcome;
        let unlisted = usize::from(*unlisted);
        let one = [*requests, *acknowledged, *entries, *collected, *ghosts, *spared, *indexes, unlisted];
        totals.lock().unwrap().iter_mut().zip(one).for_each(|(total, one)| *total += one);
        let done = done.fetch_add(1, Ordering::SeqCst) + 1;
        if done.is_multiple_of(seeds.div_ceil(20)) {
            println!("{done} of {seeds} seeds after {:?}", began.elapsed());
        }
    });
    let [requests, acknowledged, entries, collected, ghosts, spared, indexes, unlisted] =
        totals.into_inner().unwrap();
    println!("{requests} requests, {acknowledged} answered, after {:?}", began.elapsed());
    println!(
        "{entries} entries, {collected} collected, {ghosts} ghosts, {spared} merges spared, {indexes} indexes, {unlisted} namespaces live unlisted"
    );
    assert!(failures.is_empty(), "{}", failures.iter().map(report).collect::<Vec<_>>().join("\n"));
    assert!(
        acknowledged > requests / 2
            && entries > requests / 8
            && collected > entries / 50
            && indexes > entries / 1000,
        "too little happened to prove anything"
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..30 {
        // The second one on another thread, whose hash maps are in another order.
        let first = simulate(seed);
        let second = thread::spawn(move || simulate(seed)).join().unwrap();
        let differs = first.history.lines().zip(second.history.lines()).find(|(left, right)| left != right);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.history.len(), second.history.len(), "seed {seed}");
    }
}

/// A checker that finds nothing proves nothing: each rule that is taken away must be missed.
#[cfg(debug_assertions)]
#[test]
fn every_planted_bug_is_found() {
    use quiver::planted::{Bug, plant};
    use simulation::bugs::{PATIENCE, theme};
    let next = std::sync::atomic::AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let work = || {
        while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::SeqCst)) {
            plant(Some(*bug));
            let began = Instant::now();
            let mut outcomes = theme(*bug).seeds().take(PATIENCE).map(simulate);
            match outcomes.find(|outcome| !outcome.violations.is_empty()) {
                Some(Outcome { seed, violations, .. }) => {
                    println!("{bug:?}: seed {seed} after {:?}: {}", began.elapsed(), violations[0]);
                }
                None => missed.lock().unwrap().push(bug),
            }
            plant(None);
        }
    };
    on_all_cores(work);
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found within {PATIENCE} seeds: {missed:?}");
}

/// Runs the seed that `QUIVER_SIM_SEED` names, and prints what happened.
#[test]
fn replay() {
    let Some(seed) = setting("QUIVER_SIM_SEED") else { return };
    #[cfg(debug_assertions)]
    simulation::bugs::plant_named();
    let outcome = simulate(seed);
    println!("{}", outcome.history);
    assert!(outcome.violations.is_empty(), "{}", report(&outcome));
}
