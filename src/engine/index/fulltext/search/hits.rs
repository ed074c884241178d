//! The rows of a window that match, as bits, and their scores ([`super::sums`] says of which kind).

use std::ops::Range;

use super::term::Sink;

/// Rows of a window: what scores them stays in the cache of a core.
pub const WINDOW: usize = 8192;
/// Words of its bits.
pub const WORDS: usize = WINDOW / 64;

/// A bit for each row of a window.
pub type Bits = [u64; WORDS];

/// Rows and scores. The score of a row that is not among them is zero.
pub struct Hits {
    /// The first row of the window.
    pub base: u32,
    /// Those that match.
    pub bits: Bits,
    scores: [f64; WINDOW],
}

impl Hits {
    /// None.
    pub fn new() -> Box<Self> {
        Box::new(Self { base: 0, bits: [0; WORDS], scores: [0.0; WINDOW] })
    }

    /// The rows of the window, of so many.
    pub fn window(&self, rows: u32) -> Range<u32> {
        self.base..self.base.saturating_add(WINDOW as u32).min(rows)
    }

    /// Leaves those whose bits are set.
    pub fn retain(&mut self, bits: &Bits) {
        for (word, kept) in bits.iter().enumerate() {
            let gone = self.bits[word] & !kept;
            self.bits[word] &= kept;
            each(gone, |bit| self.scores[word * 64 + bit] = 0.0);
        }
    }

    /// Adds the scores of others to those that are among both.
    pub fn add_common(&mut self, others: &Self) {
        for word in 0..WORDS {
            each(self.bits[word] & others.bits[word], |bit| {
                self.scores[word * 64 + bit] += others.scores[word * 64 + bit];
            });
        }
    }

    /// Adds others.
    pub fn add_all(&mut self, others: &Self) {
        for word in 0..WORDS {
            self.bits[word] |= others.bits[word];
        }
        self.add_common(others);
    }

    /// Takes all out; those with a score from `floor` on are put into `rows`.
    pub fn drain(&mut self, floor: f64, rows: &mut Vec<(u32, f64)>) {
        rows.clear();
        let mut of_word = [(0, 0.0); 64];
        for word in 0..WORDS {
            let bits = std::mem::take(&mut self.bits[word]);
            if bits == 0 {
                continue;
            }
            let mut kept = 0;
            each(bits, |bit| {
                let place = word * 64 + bit;
                let score = std::mem::take(&mut self.scores[place]);
                // Which are kept cannot be foretold, so this is done without a branch.
                of_word[kept % 64] = (self.base + place as u32, score);
                kept += usize::from(score >= floor);
            });
            rows.extend_from_slice(&of_word[..kept]);
        }
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.retain(&[0; WORDS]);
    }
}

impl Sink for Hits {
    #[inline]
    fn add(&mut self, row: u32, score: f32) {
        let place = (row - self.base) as usize % WINDOW;
        self.bits[place / 64] |= 1 << (place % 64);
        self.scores[place] += f64::from(score);
    }
}

/// Calls `visit` with the places of bits that are set.
#[inline]
pub fn each(mut word: u64, mut visit: impl FnMut(usize)) {
    while word != 0 {
        visit(word.trailing_zeros() as usize);
        word &= word - 1;
    }
}
