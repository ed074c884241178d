//! Which rows count, and how to count without looking at each.

use std::borrow::Cow;

use super::{
    file::{Damage, Field},
    length,
    postings::Cursor,
};
use crate::engine::index::Mask;

/// Rows of a cell.
const CELL: usize = 4096;

/// The live rows of an index.
#[derive(Debug)]
pub struct Live<'a> {
    rows: usize,
    /// A bit for each row; none: all of them are live.
    words: Option<Cow<'a, [u64]>>,
    /// How many dead rows there are before each cell, and in all.
    dead: Vec<u32>,
}

impl<'a> Live<'a> {
    /// Those of so many rows that a mask admits.
    pub fn new(mask: Mask<'a>, rows: usize) -> Self {
        let words: Option<Cow<'a, [u64]>> = match mask {
            Mask::All => None,
            Mask::Bits(words) => Some(Cow::Borrowed(words)),
            Mask::Only(admits) => Some(Cow::Owned(
                (0..rows.div_ceil(64))
                    .map(|word| {
                        let bits =
                            (0..64).filter(|bit| word * 64 + bit < rows && admits((word * 64 + bit) as u32));
                        bits.fold(0, |bits, bit| bits | 1 << bit)
                    })
                    .collect(),
            )),
        };
        let mut live = Self { rows, words, dead: vec![0] };
        let mut sum = 0;
        for cell in 0..rows.div_ceil(CELL) {
            sum += live.dead_words(cell).map(|(_, dead)| dead.count_ones()).sum::<u32>();
            live.dead.push(sum);
        }
        live
    }

    /// A bit for each row, if not all of them are.
    pub fn words(&self) -> Option<&[u64]> {
        self.words.as_deref()
    }

    /// Whether that is known to be all of them.
    pub fn is_everything(&self) -> bool {
        self.words.is_none()
    }

    /// Whether a row is.
    pub fn has(&self, row: u32) -> bool {
        self.words
            .as_ref()
            .is_none_or(|words| words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1))
    }

    /// The words of a cell with its dead rows.
    fn dead_words(&self, cell: usize) -> impl Iterator<Item = (usize, u64)> {
        let words = self.words.as_deref();
        let range = cell * CELL / 64..((cell + 1) * CELL).min(self.rows).div_ceil(64);
        let rows = self.rows;
        range.map(move |at| {
            let live = words.map_or(u64::MAX, |words| words.get(at).copied().unwrap_or_default());
            let there = (rows - at * 64).min(64);
            (at, !live & (u64::MAX >> (64 - there)))
        })
    }

    /// The dead rows, ascending.
    fn dead_rows(&self) -> impl Iterator<Item = u32> {
        let cells = self.dead.windows(2).enumerate().filter(|(_, sums)| sums[0] < sums[1]);
        cells.flat_map(|(cell, _)| self.dead_words(cell)).flat_map(|(at, mut dead)| {
            std::iter::from_fn(move || {
                let bit = dead.trailing_zeros();
                dead &= dead.checked_sub(1)?;
                Some(at as u32 * 64 + bit)
            })
        })
    }

    /// Whether all rows from one to another are live, as far as cells tell.
    fn is_all(&self, first: u32, last: u32) -> bool {
        let before = |cell: usize| self.dead[cell.min(self.dead.len() - 1)];
        before(first as usize / CELL) == before(last as usize / CELL + 1)
    }

    /// How many live rows are among postings.
    pub fn count(&self, cursor: &mut Cursor<'_>) -> Result<u64, Damage> {
        if self.words.is_none() {
            return Ok(u64::from(cursor.len()));
        }
        let (mut live, mut first) = (0, 0);
        for block in 0..cursor.blocks() {
            let last = cursor.last_row(block);
            let (rows, _) = match last {
                Some(last) if self.is_all(first, last) => {
                    live += cursor.rows_in(block);
                    first = last.saturating_add(1);
                    continue;
                }
                _ => cursor.read(block)?,
            };
            live += rows.iter().filter(|row| self.has(**row)).count() as u64;
            first = rows.last().map_or(first, |row| row + 1);
        }
        Ok(live)
    }

    /// The live rows that have a text in a field, and its words in them.
    pub fn texts(&self, field: &Field<'_>) -> (u64, u64) {
        let (mut rows, mut words) = (u64::from(field.rows()), field.words());
        if self.dead.last().is_none_or(|dead| *dead == 0) {
            return (rows, words);
        }
        for row in self.dead_rows() {
            let length = field.lengths.get(row as usize).map_or(0, |byte| length::of_byte(*byte));
            rows = rows.saturating_sub(u64::from(length > 0));
            words = words.saturating_sub(u64::from(length));
        }
        for (_, excess) in field.excess().filter(|(row, _)| !self.has(*row)) {
            words = words.saturating_sub(u64::from(excess));
        }
        (rows, words)
    }
}
