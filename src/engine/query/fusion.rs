//! One ranking of two: rows by their scores for a vector and for a text.
//!
//! Invariants: what a row gets depends on the scores alone, not on the order in which rows are given; a row
//! that is no worse than another by both scores gets no less; with all the weight on one side, the order is
//! that of its scores.

/// How two rankings become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fusion {
    /// By ranks: `weight / (k + rank)`, summed (Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion
    /// outperforms Condorcet and individual Rank Learning Methods", 2009). Rows of the same score have the
    /// same rank.
    ReciprocalRank {
        /// How little the first ranks stand out.
        k: f32,
    },
    /// By scores, each brought into the range from 0 to 1 by the least and the greatest of its kind. What
    /// does not match a text scores 0 for it.
    Weighted,
}

/// What a row scores.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// For the vector, if it is comparable.
    pub vector: Option<f32>,
    /// For the text, if it matches.
    pub text: Option<f32>,
}

/// What each row gets. `vector_weight` is from 0 (the text alone) to 1 (the vector alone).
pub fn fuse(fusion: Fusion, vector_weight: f32, rows: &[Scores]) -> Vec<f32> {
    let vector: Vec<Option<f32>> = rows.iter().map(|row| row.vector).collect();
    let text: Vec<Option<f32>> = rows.iter().map(|row| row.text).collect();
    let (vector, text) = match fusion {
        Fusion::ReciprocalRank { k } => (reciprocal_ranks(k, &vector), reciprocal_ranks(k, &text)),
        Fusion::Weighted => (normalized(&vector, None), normalized(&text, Some(0.0))),
    };
    vector.into_iter().zip(text).map(|(vector, text)| mix(vector_weight, vector, text)).collect()
}

/// Both scores are of the same range, so that a weight of 0 or 1 leaves one of them alone.
fn mix(vector_weight: f32, vector: f64, text: f64) -> f32 {
    let weight = f64::from(vector_weight);
    (weight * vector + (1.0 - weight) * text) as f32
}

fn reciprocal_ranks(k: f32, scores: &[Option<f32>]) -> Vec<f64> {
    let mut order: Vec<f32> = scores.iter().flatten().copied().collect();
    order.sort_unstable_by(|left, right| right.total_cmp(left));
    let rank = |score: f32| order.partition_point(|other| *other > score) + 1;
    scores.iter().map(|score| score.map_or(0.0, |score| 1.0 / (f64::from(k) + rank(score) as f64))).collect()
}

/// Scores from 0 to 1; `missing` is what a row without one counts as. Where all are equal, those that are
/// there are 1.
fn normalized(scores: &[Option<f32>], missing: Option<f32>) -> Vec<f64> {
    let known = || scores.iter().filter_map(|score| score.or(missing));
    let least = f64::from(known().fold(f32::INFINITY, f32::min));
    let range = f64::from(known().fold(f32::NEG_INFINITY, f32::max)) - least;
    let normal = |score: &Option<f32>| match score.or(missing) {
        Some(score) if range > 0.0 => (f64::from(score) - least) / range,
        _ => f64::from(u8::from(score.is_some())),
    };
    scores.iter().map(normal).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn row(vector: impl Into<Option<f32>>, text: impl Into<Option<f32>>) -> Scores {
        Scores { vector: vector.into(), text: text.into() }
    }

    #[test]
    fn ranks_and_scores_are_mixed_as_they_are_defined() {
        let rows = [row(0.9, 2.0), row(0.5, None), row(0.5, 8.0), row(None, 4.0)];
        let by_rank = fuse(Fusion::ReciprocalRank { k: 60.0 }, 0.25, &rows);
        let expected = [0.25 / 61.0 + 0.75 / 63.0, 0.25 / 62.0, 0.25 / 62.0 + 0.75 / 61.0, 0.75 / 62.0_f32];
        assert!(by_rank.iter().zip(expected).all(|(found, wanted)| (found - wanted).abs() < 1e-7));
        assert_eq!(fuse(Fusion::Weighted, 0.5, &rows), [0.5 + 0.125, 0.0, 0.5, 0.25]);
        assert_eq!(fuse(Fusion::Weighted, 0.5, &[row(0.1, 3.0)]), [1.0]);
        assert_eq!(fuse(Fusion::Weighted, 0.5, &[row(0.1, None)]), [0.5]);
        assert_eq!(fuse(Fusion::Weighted, 0.5, &[]), [0.0; 0]);
    }

    fn scores() -> impl Strategy<Value = Vec<Scores>> {
        // Few values, so that there are equal ones.
        let score = |least: i32| prop::option::weighted(0.8, (least..9).prop_map(|score| score as f32 / 4.0));
        prop::collection::vec((score(-8), score(0)).prop_map(|(vector, text)| Scores { vector, text }), 0..20)
    }

    fn fusions() -> impl Strategy<Value = Fusion> {
        select(vec![Fusion::Weighted, Fusion::ReciprocalRank { k: 60.0 }, Fusion::ReciprocalRank { k: 0.0 }])
    }

    proptest! {
        #[test]
        fn who_is_no_worse_gets_no_less(rows in scores(), fusion in fusions(), weight in 0.0_f32..=1.0) {
            let fused = fuse(fusion, weight, &rows);
            for (one, left) in rows.iter().enumerate() {
                for (other, right) in rows.iter().enumerate() {
                    let no_worse = |left: Option<f32>, right: Option<f32>| left >= right;
                    if no_worse(left.vector, right.vector) && no_worse(left.text, right.text) {
                        prop_assert!(fused[one] >= fused[other], "{:?} {:?}: {:?}", left, right, fused);
                    }
                }
                prop_assert!((0.0..=1.0).contains(&fused[one]));
            }
        }

        #[test]
        fn the_order_of_the_rows_does_not_matter(rows in scores(), fusion in fusions(), weight in 0.0_f32..=1.0) {
            let mut backwards = fuse(fusion, weight, &rows.iter().rev().copied().collect::<Vec<_>>());
            backwards.reverse();
            prop_assert_eq!(backwards, fuse(fusion, weight, &rows));
        }

        #[test]
        fn all_the_weight_on_one_side_leaves_its_order(rows in scores(), fusion in fusions()) {
            for (weight, side) in [(1.0, (|row: &Scores| row.vector) as fn(&Scores) -> Option<f32>), (0.0, |row| row.text)] {
                let fused = fuse(fusion, weight, &rows);
                for (one, left) in rows.iter().enumerate() {
                    for (other, right) in rows.iter().enumerate() {
                        if side(left) > side(right) && side(right).is_some() {
                            prop_assert!(fused[one] >= fused[other]);
                            // Unless the scores are nearer to each other than a float can tell.
                            prop_assert!(fused[one] > fused[other], "{:?} {:?}", left, right);
                        }
                    }
                }
            }
        }
    }
}
