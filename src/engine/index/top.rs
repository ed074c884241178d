//! The best few of many scored rows.
//!
//! Higher scores are better. Equal scores are ordered by a comparison of row numbers that the
//! caller brings (by id, say); it is asked only when two scores are equal, and only about rows
//! that have a chance to be kept.
//!
//! Invariant: what is kept depends on the set of rows pushed and not on their order, nor on how
//! they were spread over collectors that were merged later.

use std::cmp::Ordering;

/// Which of two rows with the same score comes first. It must be a total order, and equal only for
/// the same row.
pub type Tie<'a> = dyn Fn(u64, u64) -> Ordering + 'a;

/// A row and how good it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Higher is better. Never NaN, never -0.
    pub score: f32,
    /// The number of the row.
    pub row: u64,
}

impl Scored {
    /// The better one first.
    fn compare(&self, other: &Self, tie: &Tie<'_>) -> Ordering {
        other.score.total_cmp(&self.score).then_with(|| tie(self.row, other.row))
    }
}

/// Collects the best rows, at most `limit`.
///
/// Candidates are appended to a buffer that is cut back to the best `limit` whenever it is full;
/// from then on the worst one kept is a threshold, and one compare turns most candidates away.
#[derive(Debug, Clone)]
pub struct TopK {
    limit: usize,
    threshold: f32,
    candidates: Vec<Scored>,
}

/// Room for candidates above the limit, at least: a cut must pay.
const MIN_SLACK: usize = 32;

impl TopK {
    /// An empty collector of the best `limit` rows.
    pub fn new(limit: usize) -> Self {
        Self { limit, threshold: f32::NEG_INFINITY, candidates: Vec::new() }
    }

    /// How many rows it keeps at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The score that a row needs at least: lower ones are certainly not among the best.
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// The score of the worst row that would be kept now, or negative infinity while there is room for more:
    /// as high as a threshold can be, where [`TopK::threshold`] waits for the buffer to fill.
    pub fn settle(&mut self, tie: &Tie<'_>) -> f32 {
        self.cut(tie);
        if self.limit > 0 && self.candidates.len() == self.limit {
            let scores = self.candidates.iter().map(|candidate| candidate.score);
            self.threshold = scores.fold(f32::INFINITY, f32::min);
        }
        self.threshold
    }

    /// Adds a row, which must not have been pushed before. A NaN counts as the lowest score,
    /// negative infinity.
    #[inline]
    pub fn push(&mut self, score: f32, row: u64, tie: &Tie<'_>) {
        // A row at the threshold itself may still win by its tie. NaN is not below anything.
        if score < self.threshold {
            return;
        }
        self.admit(score, row, tie);
    }

    /// Adds all that another collector kept.
    pub fn merge(&mut self, other: Self, tie: &Tie<'_>) {
        for candidate in other.candidates {
            self.push(candidate.score, candidate.row, tie);
        }
    }

    /// The best rows, the best one first.
    pub fn into_sorted(mut self, tie: &Tie<'_>) -> Vec<Scored> {
        self.cut(tie);
        self.candidates.sort_unstable_by(|left, right| left.compare(right, tie));
        self.candidates
    }

    fn admit(&mut self, score: f32, row: u64, tie: &Tie<'_>) {
        if self.limit == 0 {
            return;
        }
        // Adding zero turns -0 into 0, so that the two are equal.
        let score = if score.is_nan() { f32::NEG_INFINITY } else { score + 0.0 };
        if score < self.threshold {
            return;
        }
        self.candidates.push(Scored { score, row });
        if self.candidates.len() >= self.limit.saturating_add(self.limit.max(MIN_SLACK)) {
            self.cut(tie);
        }
    }

    /// Leaves only the best `limit` candidates.
    fn cut(&mut self, tie: &Tie<'_>) {
        if self.candidates.len() <= self.limit {
            return;
        }
        let (_, worst, _) =
            self.candidates.select_nth_unstable_by(self.limit - 1, |left, right| left.compare(right, tie));
        self.threshold = worst.score;
        self.candidates.truncate(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few distinct values, so that there are many ties.
    fn score() -> impl Strategy<Value = f32> {
        prop_oneof![
            8 => (-3_i8..3).prop_map(f32::from),
            1 => prop::sample::select(vec![f32::NAN, -0.0, f32::INFINITY, f32::NEG_INFINITY]),
            4 => any::<f32>(),
        ]
    }

    /// What is kept, by sorting everything.
    fn sorted(scores: &[f32], limit: usize, tie: &Tie<'_>) -> Vec<Scored> {
        let mut all: Vec<Scored> = scores
            .iter()
            .zip(0..)
            .map(|(score, row)| Scored {
                score: if score.is_nan() { f32::NEG_INFINITY } else { score + 0.0 },
                row,
            })
            .collect();
        all.sort_by(|left, right| {
            right.score.partial_cmp(&left.score).unwrap().then_with(|| tie(left.row, right.row))
        });
        all.truncate(limit);
        all
    }

    proptest! {
        #[test]
        fn keeps_the_best_in_any_order_and_any_division(
            (scores, order) in prop::collection::vec(score(), 0..600).prop_flat_map(|scores| {
                let order: Vec<usize> = (0..scores.len()).collect();
                (Just(scores), Just(order).prop_shuffle())
            }),
            limit in 0_usize..80,
            parts in 1_usize..5,
            seed in any::<u64>(),
        ) {
            // Ids in an order that has nothing to do with the row numbers.
            let id = |row: u64| (row ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let tie = |left: u64, right: u64| id(left).cmp(&id(right));
            let mut collectors = vec![TopK::new(limit); parts];
            for (position, row) in order.iter().enumerate() {
                collectors[position % parts].push(scores[*row], *row as u64, &tie);
            }
            let mut first = collectors.remove(0);
            for other in collectors {
                first.merge(other, &tie);
            }
            let kept = first.into_sorted(&tie);
            let expected = sorted(&scores, limit, &tie);
            prop_assert_eq!(kept.len(), expected.len());
            for (kept, expected) in kept.iter().zip(&expected) {
                prop_assert_eq!(kept.row, expected.row);
                prop_assert_eq!(kept.score.to_bits(), expected.score.to_bits());
            }
        }
    }

    /// At any time, the threshold can be brought to the worst score among the best so far, and that takes none
    /// of them away.
    #[test]
    fn settling_gives_the_worst_of_the_best() {
        let tie = |left: u64, right: u64| left.cmp(&right);
        let scores: Vec<f32> = (0..200_u32).map(|row| (row * 7919 % 200 / 2) as f32).collect();
        for limit in [0, 1, 10, 45] {
            let mut top = TopK::new(limit);
            for (row, score) in scores.iter().enumerate() {
                top.push(*score, row as u64, &tie);
                if row % 3 == 0 {
                    let best = sorted(&scores[..=row], limit, &tie);
                    let full = limit > 0 && best.len() == limit;
                    let worst = best.last().filter(|_| full).map_or(f32::NEG_INFINITY, |worst| worst.score);
                    assert_eq!(top.settle(&tie), worst, "{limit} of {row}");
                }
            }
            assert_eq!(top.into_sorted(&tie), sorted(&scores, limit, &tie));
        }
    }

    #[test]
    fn ties_are_asked_for_equal_scores_only() {
        let tie = |_: u64, _: u64| -> Ordering { panic!("no two scores are equal") };
        let mut top = TopK::new(3);
        for row in 0..1000_u16 {
            top.push(f32::from(row), u64::from(row), &tie);
        }
        let rows: Vec<u64> = top.into_sorted(&tie).iter().map(|scored| scored.row).collect();
        assert_eq!(rows, [999, 998, 997]);
    }

    #[test]
    fn memory_is_bounded_by_the_limit() {
        let mut top = TopK::new(10);
        for row in 0..100_000 {
            top.push(1.0, row, &|left, right| left.cmp(&right));
        }
        assert!(top.candidates.capacity() <= 128);
    }

    #[test]
    fn a_limit_of_zero_or_of_everything_is_fine() {
        let tie = |left: u64, right: u64| left.cmp(&right);
        for (limit, kept) in [(0, 0), (usize::MAX, 3)] {
            let mut top = TopK::new(limit);
            for row in 0..3 {
                top.push(0.5, row, &tie);
            }
            assert_eq!(top.into_sorted(&tie).len(), kept);
        }
    }
}
