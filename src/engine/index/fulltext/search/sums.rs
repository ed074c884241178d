//! Scores of a window's rows, where no more is asked of a row than its sum.
//!
//! Sums of 32-bit floats in 64 bits are exact for all that occurs in practice, so they do not depend on
//! the order in which a search comes across their parts.

use std::cell::Cell;

use super::term::Sink;

/// Rows of a window, at most.
pub const WINDOW: usize = 1 << 15;

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

thread_local! {
    /// Without any: making room takes as long as a short search.
    static ROOM: Cell<Option<Sums>> = const { Cell::new(None) };
}

/// Lends room to a search, which leaves it empty unless it fails.
pub fn with<T, E>(search: impl FnOnce(&mut Sums) -> Result<T, E>) -> Result<T, E> {
    let mut sums = ROOM.take().unwrap_or_else(Sums::new);
    let done = search(&mut sums)?;
    ROOM.set(Some(sums));
    Ok(done)
}

impl Sums {
    fn new() -> Self {
        let (scores, places) =
            (vec![NONE; WINDOW].into_boxed_slice(), vec![0; WINDOW + 1].into_boxed_slice());
        Self { base: 0, scores, places, length: 0 }
    }

    /// Goes to the window that begins at a row.
    pub fn begin(&mut self, base: u32) {
        self.base = base;
    }

    /// How many rows have a score.
    pub fn len(&self) -> usize {
        self.length
    }

    /// A sink that adds to those which have a score.
    pub fn those_there(&mut self) -> ThoseThere<'_> {
        ThoseThere(self)
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

/// See [`Sums::those_there`].
pub struct ThoseThere<'a>(&'a mut Sums);

impl Sink for ThoseThere<'_> {
    #[inline]
    fn add(&mut self, row: u32, score: f32) {
        let sum = &mut self.0.scores[(row - self.0.base) as usize % WINDOW];
        // Which are there cannot be foretold.
        *sum += if *sum < 0.0 { 0.0 } else { f64::from(score) };
    }
}
