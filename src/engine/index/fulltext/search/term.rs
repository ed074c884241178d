//! One leaf of a query on one index: which rows have it, and what that is worth.

use std::ops::Range;

use super::hits::{Bits, Hits, each};
use crate::engine::index::fulltext::{
    bounds::Bounds, file::Damage, pack::BLOCK, postings::Cursor, statistics::score,
};

/// A ceiling allows for rounding in what it bounds.
const ABOVE: f32 = 1.000_001;

/// Where a leaf's rows are.
#[derive(Clone)]
pub enum Source<'a> {
    /// In the index.
    Postings(Cursor<'a>),
    /// In memory: few, or made of several terms.
    List(List),
}

/// Rows, ascending, and how often each has what is looked for.
#[derive(Debug, Clone, Default)]
pub struct List {
    rows: Vec<u32>,
    counts: Vec<u32>,
    bounds: Bounds,
}

impl List {
    /// Adds a row, which is after all others, with the byte of its length.
    pub fn push(&mut self, row: u32, count: u32, length: u8) {
        self.rows.push(row);
        self.counts.push(count);
        self.bounds.add(count, length);
    }
}

/// Takes scores of rows of a window.
pub trait Sink {
    /// Adds to the score of a row.
    fn add(&mut self, row: u32, score: f32);
}

/// A leaf that is scored.
#[derive(Clone)]
pub struct Term<'a> {
    source: Source<'a>,
    weight: f32,
    norms: &'a [f32; 256],
    lengths: &'a [u8],
    /// Blocks before this one are done with; in a list, rows.
    place: usize,
    /// A block and what it scores at most.
    ceiling: (usize, f32),
}

impl<'a> Term<'a> {
    /// Rows of a source, of texts with these lengths.
    pub fn new(source: Source<'a>, weight: f32, norms: &'a [f32; 256], lengths: &'a [u8]) -> Self {
        Self { source, weight, norms, lengths, place: 0, ceiling: (usize::MAX, 0.0) }
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Postings(cursor) => cursor.len() as usize,
            Source::List(list) => list.rows.len(),
        }
    }

    /// A row before which, from this one on, there is none of its own. None: there is none at all.
    pub fn next_row(&mut self, from: u32) -> Option<u32> {
        self.place = self.seek(from);
        match &self.source {
            Source::Postings(cursor) if self.place >= cursor.blocks() => None,
            Source::Postings(cursor) => {
                let before = self.place.checked_sub(1).and_then(|block| cursor.last_row(block));
                Some(from.max(before.map_or(0, |row| row.saturating_add(1))))
            }
            Source::List(list) => list.rows.get(self.place).copied(),
        }
    }

    fn seek(&self, row: u32) -> usize {
        match &self.source {
            Source::Postings(cursor) => cursor.seek(self.place, row),
            Source::List(list) => {
                let rest = list.rows.get(self.place..).unwrap_or_default();
                self.place + rest.partition_point(|other| *other < row)
            }
        }
    }

    /// What a row in a window can score at most.
    pub fn ceiling(&mut self, window: &Range<u32>) -> f32 {
        self.place = self.seek(window.start);
        let (first, last) = match &self.source {
            Source::List(list) => {
                if list.rows.get(self.place).is_none_or(|row| *row >= window.end) {
                    return 0.0;
                }
                (0, 0)
            }
            Source::Postings(cursor) => {
                if self.place >= cursor.blocks() {
                    return 0.0;
                }
                let last = cursor.seek(self.place, window.end - 1).min(cursor.blocks() - 1);
                (self.place, last)
            }
        };
        (first..=last).map(|block| self.ceiling_of(block)).fold(0.0, f32::max)
    }

    /// Whether it may have rows in a window, at whose beginning it is.
    pub fn is_in(&self, window: &Range<u32>) -> bool {
        match &self.source {
            Source::List(list) => list.rows.get(self.place).is_some_and(|row| *row < window.end),
            Source::Postings(cursor) => self.place < cursor.blocks(),
        }
    }

    fn ceiling_of(&mut self, block: usize) -> f32 {
        if self.ceiling.0 != block {
            let bounds = match &self.source {
                Source::List(list) => list.bounds,
                Source::Postings(cursor) => cursor.bounds(block).unwrap_or_default(),
            };
            let scores = bounds
                .best()
                .map(|(count, length)| self.weight * (count / (count + self.norms[length as usize])));
            self.ceiling = (block, scores.fold(0.0, f32::max) * ABOVE);
        }
        self.ceiling.1
    }

    /// Adds the scores of its rows in a window.
    pub fn fill(&mut self, window: &Range<u32>, hits: &mut impl Sink) -> Result<(), Damage> {
        self.place = self.seek(window.start);
        let Self { source, weight, norms, lengths, place, .. } = self;
        let mut add = |rows: &[u32], counts: &[u32]| {
            for (row, count) in rows.iter().zip(counts) {
                hits.add(*row, score(*weight, norms[lengths[*row as usize] as usize], *count));
            }
        };
        match source {
            Source::List(list) => {
                let rest = &list.rows[*place..];
                let length = rest.partition_point(|row| *row < window.end);
                add(&rest[..length], &list.counts[*place..]);
            }
            Source::Postings(cursor) => {
                for block in *place..cursor.blocks() {
                    let (rows, counts) = cursor.read(block)?;
                    let first = rows.partition_point(|row| *row < window.start);
                    let end = rows.partition_point(|row| *row < window.end);
                    add(&rows[first..end], &counts[first..end]);
                    if end < rows.len() {
                        break;
                    }
                    *place = block;
                }
            }
        }
        Ok(())
    }

    /// [`Term::fill`], of at least the rows of some.
    pub fn fill_within(&mut self, window: &Range<u32>, within: &Bits, hits: &mut Hits) -> Result<(), Damage> {
        /// Rows that are gone through in the time that one takes to look up.
        const ROWS_PER_LOOKUP: usize = 8;
        let wanted: u32 = within.iter().map(|word| word.count_ones()).sum();
        if wanted as usize * ROWS_PER_LOOKUP > self.rows_in(window) {
            return self.fill(window, hits);
        }
        for (word, bits) in within.iter().enumerate() {
            let mut damage = Ok(());
            each(*bits, |bit| {
                let row = window.start + (word * 64 + bit) as u32;
                match self.count(row) {
                    Ok(0) => {}
                    Ok(count) => hits.add(row, self.score(row, count)),
                    Err(damaged) => damage = Err(damaged),
                }
            });
            damage?;
        }
        Ok(())
    }

    /// Adds to the scores of those of some rows, ascending, that it has, and calls `found` with their places.
    pub fn add_to(&mut self, rows: &mut [(u32, f64)], mut found: impl FnMut(usize)) -> Result<(), Damage> {
        for (place, (row, score)) in rows.iter_mut().enumerate() {
            let count = self.count(*row)?;
            if count > 0 {
                *score += f64::from(self.score(*row, count));
                found(place);
            }
        }
        Ok(())
    }

    /// How many rows it has in a window, at most.
    fn rows_in(&mut self, window: &Range<u32>) -> usize {
        self.place = self.seek(window.start);
        match &self.source {
            Source::List(list) => list.rows.len() - self.place,
            Source::Postings(cursor) => BLOCK * (cursor.seek(self.place, window.end - 1) + 1 - self.place),
        }
    }

    fn score(&self, row: u32, count: u32) -> f32 {
        score(self.weight, self.norms[self.lengths[row as usize] as usize], count)
    }

    /// How often a row has it. Rows are asked for in ascending order.
    pub fn count(&mut self, row: u32) -> Result<u32, Damage> {
        self.place = self.seek(row);
        let (rows, counts) = match &mut self.source {
            Source::List(list) => match list.rows.get(self.place) {
                Some(found) if *found == row => return Ok(list.counts[self.place]),
                _ => return Ok(0),
            },
            Source::Postings(cursor) if self.place >= cursor.blocks() => return Ok(0),
            Source::Postings(cursor) => cursor.read(self.place)?,
        };
        Ok(rows.binary_search(&row).map_or(0, |place| counts[place]))
    }
}
