//! The score that a row needs at least.
//!
//! The collector's own threshold moves only when it is full; skipping what cannot be among the best pays
//! from the first rows on.

use crate::engine::index::Best;

/// Offers rows to a collector.
pub struct Floor<'a, 'b> {
    best: &'a mut Best<'b>,
    /// The best scores so far.
    scores: Vec<f32>,
    floor: f32,
}

impl<'a, 'b> Floor<'a, 'b> {
    /// Before the first row, when so many rows as are wanted are known to score `least` at least.
    pub fn new(best: &'a mut Best<'b>, least: f32) -> Self {
        let floor = best.threshold().max(least);
        Self { best, scores: Vec::new(), floor }
    }

    /// A row with a lower score is certainly not among the best. One with this score may be.
    pub fn value(&self) -> f32 {
        self.floor
    }

    /// What a sum needs at least to be rounded to no less than [`Floor::value`].
    pub fn sum(&self) -> f64 {
        f64::from(self.floor) * (1.0 - f64::from(f32::EPSILON))
    }

    /// Offers rows, each once.
    pub fn offer(&mut self, rows: &[(u32, f64)]) {
        let limit = self.best.limit();
        let scores = rows.iter().map(|(_, score)| *score as f32);
        self.scores.extend(scores.filter(|score| *score >= self.floor));
        if limit > 0 && self.scores.len() >= limit {
            let (_, worst, _) =
                self.scores.select_nth_unstable_by(limit - 1, |left, right| right.total_cmp(left));
            self.floor = self.floor.max(*worst);
            self.scores.truncate(limit);
        }
        for (row, score) in rows {
            if *score as f32 >= self.floor {
                self.best.push(*row, *score as f32);
            }
        }
    }
}
