//! The scan against sorting all scores, computed naively in double precision.

use proptest::prelude::*;

use super::{super::top::Scored, *};

/// Rows with their liveness, and queries.
#[derive(Debug, Clone)]
struct Case {
    dimension: usize,
    rows: Vec<(Vec<f32>, bool)>,
    queries: Vec<Vec<f32>>,
}

/// Multiples of 1/4 in a small range: products and sums are exact, so scores tie, and tie exactly.
fn value() -> impl Strategy<Value = f32> {
    (-6_i8..=6).prop_map(|value| f32::from(value) / 4.0)
}

fn case() -> impl Strategy<Value = Case> {
    (1_usize..40, 0_usize..700, 0_usize..40).prop_flat_map(|(dimension, rows, queries)| {
        let vector = move || prop::collection::vec(value(), dimension);
        let live = prop_oneof![Just(0.0), Just(1.0), Just(0.5), Just(0.97)]
            .prop_flat_map(move |share| prop::collection::vec((vector(), prop::bool::weighted(share)), rows));
        (live, prop::collection::vec(vector(), queries)).prop_map(move |(rows, queries)| Case {
            dimension,
            rows,
            queries,
        })
    })
}

fn inverse_norm(vector: &[f32]) -> f32 {
    let norm = norm(vector);
    if norm == 0.0 { 0.0 } else { (1.0 / norm).min(f64::from(f32::MAX)) as f32 }
}

/// Scans the rows, cut into chunks of `chunk_rows`, divided among two collectors per query.
fn search(
    kernel: Kernel,
    distance: Distance,
    case: &Case,
    chunk_rows: usize,
    limit: usize,
    tie: &Tie<'_>,
) -> Vec<Vec<Scored>> {
    let queries = Queries::new(distance, case.queries.iter().map(Vec::as_slice));
    let mut collectors = [vec![TopK::new(limit); queries.len()], vec![TopK::new(limit); queries.len()]];
    for (index, rows) in case.rows.chunks(chunk_rows).enumerate() {
        let vectors: Vec<f32> = rows.iter().flat_map(|(vector, _)| vector).copied().collect();
        let inverse_norms: Vec<f32> = rows.iter().map(|(vector, _)| inverse_norm(vector)).collect();
        let mut live = vec![0; rows.len().div_ceil(64)];
        for (row, (_, is_live)) in rows.iter().enumerate() {
            live[row / 64] |= u64::from(*is_live) << (row % 64);
        }
        let chunk = ChunkView {
            vectors: &vectors,
            dimension: case.dimension,
            inverse_norms: &inverse_norms,
            live: &live,
            first_row: (index * chunk_rows) as u64,
        };
        scan_with(kernel, &chunk, &queries, &mut collectors[index % 2], tie);
    }
    let [first, second] = collectors;
    first
        .into_iter()
        .zip(second)
        .map(|(mut first, second)| {
            first.merge(second, tie);
            first.into_sorted(tie)
        })
        .collect()
}

fn naive(distance: Distance, query: &[f32], row: &[f32]) -> f64 {
    let pairs = || query.iter().zip(row).map(|(left, right)| (f64::from(*left), f64::from(*right)));
    let dot: f64 = pairs().map(|(left, right)| left * right).sum();
    match distance {
        Distance::Cosine if norm(query) == 0.0 || norm(row) == 0.0 => 0.0,
        Distance::Cosine => dot / norm(query) / norm(row),
        Distance::DotProduct => dot,
        Distance::Euclidean => -pairs().map(|(left, right)| (left - right).powi(2)).sum::<f64>().sqrt(),
    }
}

const DISTANCES: [Distance; 3] = [Distance::Cosine, Distance::DotProduct, Distance::Euclidean];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn finds_what_sorting_everything_finds(
        case in case(), limit in 1_usize..40, chunk_rows in 1_usize..700,
    ) {
        // Ids run against the row numbers.
        let tie = |left: u64, right: u64| right.cmp(&left);
        for kernel in Kernel::available() {
            for distance in [Distance::DotProduct, Distance::Euclidean] {
                let found = search(kernel, distance, &case, chunk_rows, limit, &tie);
                prop_assert_eq!(found.len(), case.queries.len());
                for (query, found) in case.queries.iter().zip(found) {
                    let mut expected: Vec<(f32, u64)> = case.rows.iter().zip(0..)
                        .filter(|((_, live), _)| *live)
                        .map(|((row, _), number)| (naive(distance, query, row) as f32, number))
                        .collect();
                    expected.sort_by(|left, right| {
                        right.0.partial_cmp(&left.0).unwrap().then_with(|| tie(left.1, right.1))
                    });
                    expected.truncate(limit);
                    let found: Vec<(f32, u64)> =
                        found.iter().map(|scored| (scored.score, scored.row)).collect();
                    prop_assert_eq!(found, expected, "{} {:?}", kernel.name(), distance);
                }
            }
        }
    }

    #[test]
    fn chunks_do_not_change_the_answer(case in case(), limit in 1_usize..40, chunk_rows in 1_usize..700) {
        let tie = |left: u64, right: u64| left.cmp(&right);
        for distance in DISTANCES {
            let whole = search(Kernel::detected(), distance, &case, 700, limit, &tie);
            let parts = search(Kernel::detected(), distance, &case, chunk_rows, limit, &tie);
            prop_assert_eq!(whole, parts);
        }
    }

    #[test]
    fn a_batch_answers_as_its_queries_do(case in case(), limit in 1_usize..40) {
        let tie = |left: u64, right: u64| left.cmp(&right);
        for distance in DISTANCES {
            let batch = search(Kernel::detected(), distance, &case, 700, limit, &tie);
            for (query, batch) in case.queries.iter().zip(batch) {
                let alone = Case { queries: vec![query.clone()], ..case.clone() };
                let alone = search(Kernel::detected(), distance, &alone, 700, limit, &tie);
                prop_assert_eq!(&alone[0], &batch);
            }
        }
    }

    /// Values from the smallest to the largest `f32`: scores stay right where squares overflow or vanish.
    #[test]
    fn scores_of_any_magnitude_are_right(
        mut vectors in prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, 5), 2..20),
        scales in prop::collection::vec(-149_i32..128, 20),
        dimension in 1_usize..=5,
    ) {
        for (vector, scale) in vectors.iter_mut().zip(scales) {
            vector.truncate(dimension);
            vector.iter_mut().for_each(|value| *value = (f64::from(*value) * 2_f64.powi(scale)) as f32);
        }
        let query = vectors.remove(0);
        let case = Case {
            dimension,
            queries: vec![query.clone()],
            rows: vectors.into_iter().map(|vector| (vector, true)).collect(),
        };
        let tie = |left: u64, right: u64| left.cmp(&right);
        for kernel in Kernel::available() {
            for distance in DISTANCES {
                for scored in &search(kernel, distance, &case, 100, 100, &tie)[0] {
                    let row = &case.rows[scored.row as usize].0;
                    let exact = naive(distance, &query, row)
                        .clamp(f64::from(f32::MIN), f64::from(f32::MAX));
                    let scale = match distance {
                        Distance::Cosine => 1.0,
                        Distance::DotProduct => norm(&query) * norm(row),
                        Distance::Euclidean => exact.abs(),
                    };
                    let error = (f64::from(scored.score) - exact).abs();
                    prop_assert!(
                        error <= 1e-6 * scale + 1e-44,
                        "{} {distance:?}: {} instead of {exact}", kernel.name(), scored.score
                    );
                }
            }
        }
    }
}

#[test]
fn zero_vectors_have_a_cosine_of_zero() {
    let rows = vec![(vec![0.0, 0.0], true), (vec![1.0, 0.0], true), (vec![-1.0, 0.0], true)];
    let case = Case { dimension: 2, rows, queries: vec![vec![2.0, 0.0], vec![0.0, 0.0]] };
    let tie = |left: u64, right: u64| left.cmp(&right);
    let found = search(Kernel::detected(), Distance::Cosine, &case, 10, 10, &tie);
    let pairs = |found: &[Scored]| found.iter().map(|found| (found.row, found.score)).collect::<Vec<_>>();
    assert_eq!(pairs(&found[0]), [(1, 1.0), (0, 0.0), (2, -1.0)]);
    assert_eq!(pairs(&found[1]), [(0, 0.0), (1, 0.0), (2, 0.0)]);
}

#[test]
fn values_that_are_no_numbers_rank_last_and_do_no_harm() {
    let rows = [f32::NAN, 1.0, f32::INFINITY, f32::NEG_INFINITY].map(|value| (vec![value, 1.0], true));
    let case = Case { dimension: 2, rows: rows.to_vec(), queries: vec![vec![0.0, 1.0], vec![f32::NAN, 1.0]] };
    let tie = |left: u64, right: u64| left.cmp(&right);
    for distance in DISTANCES {
        let found = search(Kernel::detected(), distance, &case, 10, 4, &tie);
        assert_eq!(found[0].len(), 4);
        assert_eq!(found[0][0].row, 1);
        assert_eq!(found[1].len(), 4);
    }
}

#[test]
fn large_rows_and_dead_blocks() {
    let dimension = 16_384;
    let rows = (0..40).map(|row| (vec![f32::from(row as u8); dimension], row % 16 == 3)).collect();
    let case = Case { dimension, rows, queries: vec![vec![1.0; dimension]] };
    let tie = |left: u64, right: u64| left.cmp(&right);
    let found = search(Kernel::detected(), Distance::DotProduct, &case, 40, 2, &tie);
    let found: Vec<(u64, f32)> = found[0].iter().map(|found| (found.row, found.score)).collect();
    assert_eq!(found, [(35, 35.0 * 16_384.0), (19, 19.0 * 16_384.0)]);
}
