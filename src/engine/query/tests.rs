//! Searches against sorting all visible rows by a naive score in double precision.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    engine::{contents::Contents, format::Changes},
    types::{Rows, VectorId},
};

const DISTANCES: [Distance; 3] = [Distance::Cosine, Distance::DotProduct, Distance::Euclidean];
/// When the searches look.
const NOW: Timestamp = Timestamp(5000);

/// The visible rows by id.
type Model = BTreeMap<String, Vec<f32>>;

/// Rows of a large namespace, made from few numbers so that proptest can shrink them.
#[derive(Debug, Clone)]
struct Case {
    dimension: usize,
    rows: usize,
    /// Values are drawn from this many; few make ties.
    distinct: u64,
    seed: u64,
    targets: Vec<(Distance, usize)>,
}

fn case() -> impl Strategy<Value = Case> {
    let top_k = prop_oneof![4 => 1_usize..30, 1 => 1000_usize..6000];
    let target = (prop::sample::select(DISTANCES.to_vec()), top_k);
    (
        prop_oneof![1_usize..20, 60_usize..70],
        prop_oneof![1 => 0_usize..40, 2 => 0_usize..5000],
        prop_oneof![Just(3_u64), Just(1 << 20)],
        any::<u64>(),
        prop::collection::vec(target, 0..20),
    )
        .prop_map(|(dimension, rows, distinct, seed, targets)| Case {
            dimension,
            rows,
            distinct,
            seed,
            targets,
        })
}

/// A fixed sequence of numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Whole multiples of a power of two around zero: with few distinct ones, sums are exact.
    fn vector(&mut self, dimension: usize, distinct: u64) -> Vec<f32> {
        if self.below(20) == 0 {
            return vec![0.0; dimension];
        }
        let half = (distinct / 2) as f32;
        (0..dimension).map(|_| (self.below(distinct) as f32 - half) / 4.0).collect()
    }
}

/// A snapshot with replaced, deleted and expired rows, what is visible of it, and targets.
fn build(case: &Case) -> (Arc<Snapshot>, Model, Vec<Target>) {
    let mut numbers = Numbers(case.seed);
    let (mut contents, mut model) = (Contents::default(), Model::new());
    let mut changes = Changes::default();
    for _ in 0..case.rows {
        let id = format!("{:04}", numbers.below(1 + case.rows as u64 * 2));
        let vector = numbers.vector(case.dimension, case.distinct);
        let ttl = [None, None, None, Some(Duration::from_secs(5)), Some(Duration::from_secs(6))];
        let ttl = ttl[numbers.below(5) as usize];
        let rows = Rows {
            dimension: case.dimension,
            without_vector: Vec::new(),
            ids: vec![VectorId::trusted(&id)],
            vectors: vector.clone(),
            metadata: vec![None],
            ttl: vec![ttl],
        };
        changes.upsert(&rows, Timestamp(0));
        model.remove(&id);
        if ttl.is_none_or(|ttl| Timestamp(0).saturating_add(ttl) > NOW) {
            model.insert(id, vector);
        }
        if numbers.below(6) == 0 {
            let id = format!("{:04}", numbers.below(1 + case.rows as u64 * 2));
            changes.delete(&[VectorId::trusted(&id)]);
            model.remove(&id);
        }
    }
    contents.apply(&changes, Timestamp(0)).unwrap();
    let target = |&(distance, top_k): &(Distance, usize)| {
        let vector = numbers.vector(case.dimension, case.distinct);
        Target { vector, distance, top_k, accuracy: Accuracy::Exact, index: None, filter: None }
    };
    let targets = case.targets.iter().map(target).collect();
    (contents.snapshot(), model, targets)
}

fn naive(target: &Target, row: &[f32]) -> f64 {
    let pairs = || target.vector.iter().zip(row).map(|(left, right)| (f64::from(*left), f64::from(*right)));
    let norm = |vector: &[f32]| vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let dot: f64 = pairs().map(|(left, right)| left * right).sum();
    let norms = norm(&target.vector) * norm(row);
    let score = match target.distance {
        Distance::Cosine if norms == 0.0 => 0.0,
        Distance::Cosine => dot / norms,
        Distance::DotProduct => dot,
        Distance::Euclidean => -pairs().map(|(left, right)| (left - right).powi(2)).sum::<f64>().sqrt(),
    };
    // There is one zero, whatever its sign.
    score + 0.0
}

/// How far rounding may take the score of a row from `exact`, where no value of the row is larger
/// than `largest`.
fn tolerance(target: &Target, largest: f64, exact: f64) -> f64 {
    let scale = match target.distance {
        Distance::Cosine => 1.0,
        // The sums of what is added have this magnitude at most.
        Distance::DotProduct => {
            let sizes = largest_value(&target.vector).max(1.0) * largest.max(1.0);
            sizes * target.vector.len() as f64
        }
        Distance::Euclidean => exact.abs(),
    };
    1e-5 * scale.max(1e-30)
}

fn largest_value(vector: &[f32]) -> f64 {
    vector.iter().fold(0.0, |largest, value| largest.max(f64::from(value.abs())))
}

/// Whether what was found is what sorting finds. Rounding may exchange rows whose exact scores are
/// within `tolerance` of each other, that of either: a row of zeros has an exact score, and a row
/// that rounding moves may take its place. Equal rows must come in id order all the same.
fn check(
    snapshot: &Snapshot,
    model: &Model,
    target: &Target,
    found: &[Found],
    exact: bool,
) -> Result<(), TestCaseError> {
    let mut expected: Vec<(f64, &str)> =
        model.iter().map(|(id, row)| (naive(target, row), id.as_str())).collect();
    expected.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(right.1)));
    expected.truncate(target.top_k);
    prop_assert_eq!(found.len(), expected.len());
    let id = |found: &Found| snapshot.id(found.block, found.row).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let largest = model.values().map(|row| largest_value(row)).fold(0.0, f64::max);
    for (index, (found, (score, expected))) in found.iter().zip(&expected).enumerate() {
        let row = model.get(id(found));
        prop_assert!(row.is_some(), "an invisible row at {index}");
        prop_assert!(seen.insert(id(found)), "a row twice");
        let row = row.unwrap();
        let own = naive(target, row);
        let of_row = tolerance(target, largest_value(row), own);
        prop_assert!((f64::from(found.score) - own).abs() <= of_row, "score {} is {own}", found.score);
        let of_any = tolerance(target, largest, own);
        prop_assert!((own - score).abs() <= of_row + of_any, "rank {index}: {own} instead of {score}");
        if exact {
            prop_assert_eq!(id(found), *expected, "rank {}", index);
        }
    }
    for pair in found.windows(2) {
        prop_assert!(pair[0].score >= pair[1].score);
        if pair[0].score == pair[1].score {
            prop_assert!(id(&pair[0]) < id(&pair[1]), "a tie out of id order");
        }
    }
    Ok(())
}

fn search(
    searchers: &Arc<Searchers>,
    snapshot: &Arc<Snapshot>,
    targets: &[Target],
) -> Result<Vec<Vec<Found>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answers = runtime.block_on(searchers.search(snapshot.clone(), targets.to_vec(), NOW))?;
    Ok(answers.into_iter().map(|answer| answer.found).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_search_finds_what_sorting_everything_finds(case in case()) {
        let (snapshot, model, targets) = build(&case);
        let one = Arc::new(Searchers::new(1).unwrap());
        let many = Arc::new(Searchers::new(3).unwrap());
        let found = search(&many, &snapshot, &targets).unwrap();
        prop_assert_eq!(found.len(), targets.len());
        for (target, found) in targets.iter().zip(&found) {
            // Few distinct values make sums that single precision holds exactly.
            let exact = case.distinct == 3 && target.distance != Distance::Cosine;
            check(&snapshot, &model, target, found, exact)?;
        }
        prop_assert_eq!(&search(&one, &snapshot, &targets).unwrap(), &found);
        for (target, found) in targets.iter().zip(&found) {
            prop_assert_eq!(&search(&one, &snapshot, std::slice::from_ref(target)).unwrap()[0], found);
        }
    }

    /// However chunks are divided, also where a snapshot is too small to be.
    #[test]
    fn division_does_not_change_the_answer(case in case(), runs in 1_usize..20) {
        let (snapshot, _, targets) = build(&case);
        let positions: Vec<usize> = (0..targets.len()).collect();
        let search = Search::new(&snapshot, &targets, &positions, None, NOW);
        let sorted = |collectors: Collectors| -> Vec<Vec<Scored>> {
            let sort = |top: TopK| top.into_sorted(&|left, right| search.tie(left, right));
            collectors.into_iter().flatten().map(sort).collect()
        };
        prop_assert_eq!(sorted(search.run(runs).unwrap()), sorted(search.run(1).unwrap()));
    }
}

/// A row of zeros scores 0 exactly, and a row next to it is rounded by more than their distance.
#[test]
fn rounding_exchanges_a_row_of_zeros_too() {
    let targets = vec![(Distance::Cosine, 1), (Distance::Cosine, 1), (Distance::DotProduct, 1549)];
    let case =
        Case { dimension: 69, rows: 4810, distinct: 1 << 20, seed: 5_860_542_657_613_323_579, targets };
    let (snapshot, model, targets) = build(&case);
    let found = search(&Arc::new(Searchers::new(1).unwrap()), &snapshot, &targets).unwrap();
    for (target, found) in targets.iter().zip(&found) {
        check(&snapshot, &model, target, found, false).unwrap();
    }
}

#[test]
fn a_target_of_another_dimension_is_refused() {
    let case = Case { dimension: 3, rows: 9, distinct: 3, seed: 1, targets: Vec::new() };
    let (snapshot, _, _) = build(&case);
    let target = |dimension| Target {
        vector: vec![1.0; dimension],
        distance: Distance::Cosine,
        top_k: 1,
        accuracy: Accuracy::Exact,
        index: None,
        filter: None,
    };
    let searchers = Arc::new(Searchers::new(1).unwrap());
    let refused = search(&searchers, &snapshot, &[target(3), target(4)]);
    assert!(matches!(refused, Err(Error::DimensionMismatch { expected: 3, actual: 4, .. })));
    let none = search(&searchers, &Arc::default(), &[target(4)]).unwrap();
    assert_eq!(none, [Vec::new()]);
}
