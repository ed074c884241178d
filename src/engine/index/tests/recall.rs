//! Recall on real embeddings and real queries.

use super::super::*;
use super::fixture::*;
use crate::types::Distance;

/// The share of the best rows that is found, ties counting as found.
fn recall(
    built: &Built,
    distance: Distance,
    queries: &[Vec<f32>],
    mask: Mask<'_>,
    effort: Effort,
    limit: usize,
) -> f32 {
    let (mut found, mut wanted) = (0, 0);
    for vector in queries {
        let query = Query::new(distance, vector);
        let best = exact(&built.rows, &query, &mask, limit);
        let threshold = best.last().map_or(f32::INFINITY, |scored| scored.score);
        let (answer, _) = search(built, &query, mask, effort, limit);
        found += answer.iter().filter(|scored| scored.score >= threshold).count();
        wanted += best.len();
    }
    found as f32 / wanted as f32
}

/// The real rows, with lengths that differ, so that the metrics do.
fn stretched(rows: &Table) -> Table {
    let mut next = numbers(4);
    let mut vectors = rows.run(0).unwrap().vectors.to_vec();
    for row in vectors.chunks_exact_mut(rows.dimension()) {
        let length = 0.8 + 0.4 * next();
        row.iter_mut().for_each(|value| *value *= length);
    }
    Table::new(rows.dimension(), vectors)
}

#[test]
fn more_effort_finds_no_less_and_all_of_it_everything() {
    let (rows, queries) = embeddings();
    for kind in TYPES {
        for distance in DISTANCES {
            let built = Built::new(kind, stretched(&rows), distance);
            let mut least = 0.0;
            for step in 0..=10 {
                let recall =
                    recall(&built, distance, &queries, Mask::All, Effort::new(step as f32 / 10.0), 10);
                assert!(
                    recall >= least,
                    "{} {distance:?}: {recall} after {least} at {step}/10",
                    name_of(kind)
                );
                least = recall;
            }
            assert_eq!(least, 1.0, "{} {distance:?}", name_of(kind));
        }
    }
}

/// The effort comes from what the build has measured on the rows; these queries are others.
#[test]
fn the_effort_for_a_recall_reaches_it() {
    let (rows, queries) = embeddings();
    for kind in TYPES {
        for distance in DISTANCES {
            let built = Built::new(kind, stretched(&rows), distance);
            for limit in [10, 100] {
                let mut least = Effort::new(0.0);
                for target in [0.5, 0.8, 0.9, 0.95, 0.98, 0.99] {
                    let effort = built.index.effort_for(target, limit);
                    let recall = recall(&built, distance, &queries, Mask::All, effort, limit);
                    let context = format!("{} {distance:?}: {recall} of {limit} for {target}", name_of(kind));
                    assert!(recall >= target, "{context} at {effort:?}");
                    assert!(effort >= least, "{context} at {effort:?}");
                    least = effort;
                }
            }
            assert!(built.index.effort_for(1.0, 10).is_full(), "{}", name_of(kind));
        }
    }
}

/// Whether the rows that a mask admits lie anywhere, near the query or far from it.
#[test]
fn a_mask_breaks_no_promise() {
    let (rows, queries) = embeddings();
    let mut next = numbers(5);
    let random: Vec<f32> = (0..rows.rows()).map(|_| next()).collect();
    let topics =
        [true, false].map(|near| queries.iter().map(|query| topic(&rows, query, near)).collect::<Vec<_>>());
    for kind in TYPES {
        let built = Built::new(kind, rows.clone(), Distance::Cosine);
        for target in [0.8, 0.9, 0.95] {
            let effort = built.index.effort_for(target, 10);
            for share in [0.9, 0.5, 0.2, 0.1, 0.01] {
                let only = |row: u32| random[row as usize] < share;
                let masked = recall(&built, Distance::Cosine, &queries, Mask::Only(&only), effort, 10);
                assert!(masked >= target, "{} {share}: {masked} for {target}", name_of(kind));
            }
            for topics in &topics {
                let recalls = queries.iter().zip(topics).map(|(query, words)| {
                    let one = std::slice::from_ref(query);
                    recall(&built, Distance::Cosine, one, Mask::Bits(words), effort, 10)
                });
                let masked = recalls.sum::<f32>() / queries.len() as f32;
                assert!(masked >= target, "{} by topic: {masked} for {target}", name_of(kind));
            }
        }
    }
}

/// The rows of the topic that is nearest to a query, or of the one furthest from it; what a topic is about
/// is a row.
fn topic(rows: &Table, query: &[f32], near: bool) -> Vec<u64> {
    const TOPICS: u32 = 8;
    let about: Vec<u32> = (0..TOPICS).map(|topic| topic * rows.rows() as u32 / TOPICS).collect();
    let nearest = |vector: &[f32], sign: f32| {
        let query = Query::new(Distance::Cosine, vector);
        let score = |topic: usize| {
            let (row, &inverse_norm) = rows.row(about[topic]).unwrap();
            sign * flat::score(&query, row, inverse_norm)
        };
        (0..about.len()).max_by(|left, right| score(*left).total_cmp(&score(*right))).unwrap()
    };
    let wanted = nearest(query, if near { 1.0 } else { -1.0 });
    let mut words = vec![0; rows.rows().div_ceil(64)];
    for row in (0..rows.rows()).filter(|row| nearest(rows.row(*row as u32).unwrap().0, 1.0) == wanted) {
        words[row / 64] |= 1 << (row % 64);
    }
    words
}
