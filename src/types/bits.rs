//! Sets of rows, a bit each.
//!
//! Invariant: no bit beyond the last row is set, so that words can be counted and handed out as they are.

/// Some of the rows `0..rows`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bits {
    rows: usize,
    words: Vec<u64>,
}

impl Bits {
    /// None of so many rows.
    pub fn none(rows: usize) -> Self {
        Self { rows, words: vec![0; rows.div_ceil(64)] }
    }

    /// All of so many rows.
    pub fn all(rows: usize) -> Self {
        let mut all = Self { rows, words: vec![u64::MAX; rows.div_ceil(64)] };
        all.trim();
        all
    }

    /// The rows of `words`, lowest first; there have to be enough of them.
    pub fn of_words(rows: usize, words: Vec<u64>) -> Self {
        let mut bits = Self { rows, words };
        bits.words.resize(rows.div_ceil(64), 0);
        bits.trim();
        bits
    }

    /// Out of how many rows these are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        count_bits(&self.words)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether a row is among them.
    pub fn has(&self, row: u32) -> bool {
        self.words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The words, lowest row first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Adds a row; one beyond the last is left out.
    pub fn insert(&mut self, row: u32) {
        if (row as usize) < self.rows {
            self.words[row as usize / 64] |= 1 << (row % 64);
        }
    }

    /// Removes a row.
    pub fn remove(&mut self, row: u32) {
        if let Some(word) = self.words.get_mut(row as usize / 64) {
            *word &= !(1 << (row % 64));
        }
    }

    /// Keeps those that are in `other`, too.
    pub fn keep(&mut self, other: &Self) {
        self.combine(other, |word, other| *word &= other);
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |word, other| *word |= other);
    }

    /// Adds the rows of words, lowest first.
    pub fn add_words(&mut self, words: impl Iterator<Item = u64>) {
        self.words.iter_mut().zip(words).for_each(|(word, other)| *word |= other);
        self.trim();
    }

    /// Takes those of `other` away.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |word, other| *word &= !other);
    }

    /// The rows that are not among them.
    pub fn negate(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
    }

    /// The rows from `start` on, so many, counted from there.
    pub fn part(&self, start: usize, rows: usize) -> Vec<u64> {
        let (first, shift) = (start / 64, start % 64);
        let at = |index: usize| self.words.get(first + index).copied().unwrap_or(0);
        let word = |index: usize| match shift {
            0 => at(index),
            _ => at(index) >> shift | at(index + 1) << (64 - shift),
        };
        let mut words: Vec<u64> = (0..rows.div_ceil(64)).map(word).collect();
        trim(&mut words, rows);
        words
    }

    /// Adds rows counted from `start` on; `words` has no bit for a row beyond the last.
    pub fn add_part(&mut self, start: usize, words: &[u64]) {
        let (first, shift) = (start / 64, start % 64);
        if shift == 0 {
            let places = self.words.iter_mut().skip(first);
            return places.zip(words).for_each(|(place, word)| *place |= word);
        }
        for (index, word) in words.iter().enumerate() {
            self.or_word(first + index, word << shift);
            self.or_word(first + index + 1, word >> (64 - shift));
        }
    }

    /// Them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        set_bits(&self.words)
    }

    fn or_word(&mut self, index: usize, bits: u64) {
        if let Some(word) = self.words.get_mut(index) {
            *word |= bits;
        }
    }

    fn combine(&mut self, other: &Self, combine: impl Fn(&mut u64, u64)) {
        debug_assert_eq!(self.rows, other.rows, "of the same rows");
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| combine(word, *other));
    }

    fn trim(&mut self) {
        trim(&mut self.words, self.rows);
    }
}

fn trim(words: &mut [u64], rows: usize) {
    if let Some(last) = words.last_mut()
        && !rows.is_multiple_of(64)
    {
        *last &= (1 << (rows % 64)) - 1;
    }
}

/// How many bits are set.
pub fn count_bits(words: &[u64]) -> u64 {
    words.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// The places of bits that are set, lowest first.
pub fn set_bits(words: &[u64]) -> impl Iterator<Item = u32> + '_ {
    let of_word = |(index, word): (usize, &u64)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros();
            rest &= rest.checked_sub(1)?;
            Some(index as u32 * u64::BITS + bit)
        })
    };
    words.iter().enumerate().flat_map(of_word)
}

/// Lists the places of bits that are set, lowest first, each `first` higher; returns how many.
///
/// Where few bits here and there are set, whether the next word has any, and whether it has a second, is guessed
/// wrong most of the time, which takes longer than to write places in vain: so words are listed before their
/// bits are, and two places of each are written unasked and count if they are set (after Langdale and Lemire,
/// "Parsing gigabytes of JSON per second", 2019, section 3.1.1).
///
/// # Panics
/// If there is no room for 64 places per word.
pub fn list_set_bits(words: &[u64], first: u32, places: &mut [u32]) -> usize {
    const TOGETHER: usize = 64;
    let mut listed = 0;
    for (chunk, words) in words.chunks(TOGETHER).enumerate() {
        let (mut filled, mut count) = ([0_u8; TOGETHER], 0);
        for (index, word) in words.iter().enumerate() {
            filled[count] = index as u8;
            count += usize::from(*word != 0);
        }
        let first = first + (chunk * TOGETHER) as u32 * u64::BITS;
        for index in &filled[..count] {
            let places = places[listed..].first_chunk_mut().expect("room for a word");
            listed += list_word(words[usize::from(*index)], first + u32::from(*index) * u64::BITS, places);
        }
    }
    listed
}

/// The same of one word with a bit that is set.
#[inline(always)]
fn list_word(word: u64, first: u32, places: &mut [u32; 64]) -> usize {
    // The bit that is added says to the compiler that there is one, so that it asks no more than we do.
    let lowest = |bits: u64| first + (bits | 1 << 63).trailing_zeros();
    places[0] = lowest(word);
    let mut rest = word & word.wrapping_sub(1);
    places[1] = lowest(rest);
    let mut count = 1 + usize::from(rest != 0);
    rest &= rest.wrapping_sub(1);
    while rest != 0 {
        places[count] = lowest(rest);
        count += 1;
        rest &= rest - 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn bits(rows: usize, set: &BTreeSet<u32>) -> Bits {
        let mut bits = Bits::none(rows);
        set.iter().for_each(|row| bits.insert(*row));
        bits
    }

    fn rows() -> impl Strategy<Value = (usize, BTreeSet<u32>, BTreeSet<u32>)> {
        (0_usize..300).prop_flat_map(|rows| {
            let some = || prop::collection::btree_set(0..rows.max(1) as u32, 0..=rows);
            (Just(rows), some(), some())
        })
    }

    #[test]
    fn bits_of_many_words_are_listed() {
        let rows = 20_000_usize;
        let set: BTreeSet<u32> = (0..rows as u32).filter(|row| row.pow(2) % 97 < row / 300).collect();
        let mut listed = vec![0; rows.next_multiple_of(64)];
        let count = list_set_bits(bits(rows, &set).words(), 7, &mut listed);
        assert_eq!(listed[..count], set.iter().map(|row| row + 7).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn bits_are_a_set((rows, left, right) in rows(), start in 0_usize..300, length in 0_usize..300) {
            let one = bits(rows, &left);
            prop_assert_eq!(one.iter().collect::<BTreeSet<_>>(), left.clone());
            prop_assert_eq!(one.count(), left.len() as u64);
            prop_assert_eq!(one.is_empty(), left.is_empty());
            prop_assert!((0..400).all(|row| one.has(row) == left.contains(&row)));
            let mut listed = vec![0; 64 * one.words().len()];
            let count = list_set_bits(one.words(), start as u32, &mut listed);
            let expected = left.iter().map(|row| row + start as u32);
            prop_assert_eq!(&listed[..count], expected.collect::<Vec<_>>());
            type Change = fn(&mut Bits, &Bits);
            type Expected = fn(&BTreeSet<u32>, &BTreeSet<u32>) -> BTreeSet<u32>;
            let changes: [(Change, Expected); 3] = [
                (Bits::keep, |left, right| left & right),
                (Bits::add, |left, right| left | right),
                (Bits::subtract, |left, right| left - right),
            ];
            for (change, expected) in changes {
                let mut changed = one.clone();
                change(&mut changed, &bits(rows, &right));
                prop_assert_eq!(changed, bits(rows, &expected(&left, &right)));
            }
            let mut others = one.clone();
            others.negate();
            let all: BTreeSet<u32> = Bits::all(rows).iter().collect();
            prop_assert_eq!(all.len(), rows);
            prop_assert_eq!(others.iter().collect::<BTreeSet<_>>(), &all - &left);

            // A part, and the part put back.
            let (start, length) = (start.min(rows), length.min(rows - start.min(rows)));
            let part = one.part(start, length);
            let inside: BTreeSet<u32> = left.iter().copied().filter(|row| (start..start + length).contains(&(*row as usize))).collect();
            prop_assert_eq!(set_bits(&part).map(|row| row + start as u32).collect::<BTreeSet<_>>(), inside.clone());
            let mut back = Bits::none(rows);
            back.add_part(start, &part);
            prop_assert_eq!(back, bits(rows, &inside));
        }
    }
}
