//! Scores of a window's rows, where no more is asked of a row than its sum.
//!
//! Sums of 32-bit floats in 64 bits are exact for all that occurs in practice, so they do not depend on
//! the order in which a search comes across their parts.

use super::{hits::WINDOW, term::Sink};

/// A row that has no score.
const NONE: f64 = -1.0;

/// Rows of a window and their scores.
pub struct Sums {
    base: u32,
    scores: Box<[f64]>,
    /// The rows that have a score, by their place in the window, in the order in which they came.
    places: Box<[u32]>,
    length: usize,
}

impl Sums {
    /// None.
    pub fn new() -> Self {
        let (scores, places) =
            (vec![NONE; WINDOW].into_boxed_slice(), vec![0; WINDOW + 1].into_boxed_slice());
        Self { base: 0, scores, places, length: 0 }
    }

    /// Goes to the window that begins at a row.
    pub fn begin(&mut self, base: u32) {
        self.base = base;
    }

    /// Takes all out; those with a score from `floor` on are put into `rows`, ascending.
    pub fn drain(&mut self, floor: f64, rows: &mut Vec<(u32, f64)>) {
        rows.clear();
        for places in self.places[..std::mem::take(&mut self.length)].chunks(64) {
            let (mut of_chunk, mut kept) = ([(0, 0.0); 64], 0);
            for place in places {
                let score = std::mem::replace(&mut self.scores[*place as usize], NONE);
                // Which are kept cannot be foretold, so this is done without a branch.
                of_chunk[kept] = (self.base + place, score);
                kept += usize::from(score >= floor);
            }
            rows.extend_from_slice(&of_chunk[..kept]);
        }
        rows.sort_unstable_by_key(|(row, _)| *row);
    }
}

impl Sink for Sums {
    #[inline]
    fn add(&mut self, row: u32, score: f32) {
        let place = (row - self.base) as usize % WINDOW;
        let sum = self.scores[place];
        // Each place is new once, and there is one more than places.
        self.places[self.length] = place as u32;
        self.length += usize::from(sum < 0.0);
        self.scores[place] = sum.max(0.0) + f64::from(score);
    }
}
