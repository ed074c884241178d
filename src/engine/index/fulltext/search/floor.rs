//! The score that a row needs at least.
//!
//! The collector's own threshold moves only when it is full; skipping what cannot be among the best pays
//! from the first rows on.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::engine::index::Best;

/// Offers rows to a collector.
pub struct Floor<'a, 'b> {
    best: &'a mut Best<'b>,
    /// The best scores so far. Scores are not negative, so their bits are in their order.
    scores: BinaryHeap<Reverse<u32>>,
    floor: f32,
}

impl<'a, 'b> Floor<'a, 'b> {
    /// Before the first row.
    pub fn new(best: &'a mut Best<'b>) -> Self {
        let floor = best.threshold();
        Self { best, scores: BinaryHeap::new(), floor }
    }

    /// A row with a lower score is certainly not among the best. One with this score may be.
    pub fn value(&self) -> f32 {
        self.floor
    }

    /// What a sum needs at least to be rounded to no less than [`Floor::value`].
    pub fn sum(&self) -> f64 {
        f64::from(self.floor) * (1.0 - f64::from(f32::EPSILON))
    }

    /// Offers a row.
    #[inline]
    pub fn push(&mut self, row: u32, score: f64) {
        let score = score as f32;
        if score < self.floor {
            return;
        }
        self.best.push(row, score);
        if self.scores.len() < self.best.limit() {
            self.scores.push(Reverse(score.to_bits()));
        } else if let Some(mut worst) = self.scores.peek_mut() {
            worst.0 = worst.0.max(score.to_bits());
        }
        if self.scores.len() == self.best.limit()
            && let Some(Reverse(worst)) = self.scores.peek()
        {
            self.floor = self.floor.max(f32::from_bits(*worst));
        }
    }
}
