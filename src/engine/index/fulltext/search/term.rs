//! One leaf of a query on one index: which rows have it, and what that is worth.

use std::ops::Range;

use super::{
    hits::{Bits, Hits, each},
    lists::List,
};
use crate::engine::index::{
    Mask,
    fulltext::{file::Damage, pack::BLOCK, postings::Cursor, statistics::score},
};

/// A ceiling allows for rounding in what it bounds.
const ABOVE: f32 = 1.000_001;

/// Rows that are gone through in the time that one takes to look up.
pub const ROWS_PER_LOOKUP: usize = 8;

/// Where a leaf's rows are.
pub enum Source<'a> {
    /// In the index.
    Postings(Cursor<'a>),
    /// In memory: few, or made of several terms.
    List(List),
}

/// Takes scores of rows of a window.
pub trait Sink {
    /// Adds to the score of a row.
    fn add(&mut self, row: u32, score: f32);
}

/// A leaf that is scored.
pub struct Term<'a> {
    rows: Rows<'a>,
    weight: f32,
    norms: &'a [f32; 256],
    lengths: &'a [u8],
    /// Blocks before this one are done with; in a list, rows.
    place: usize,
    /// The block with the highest ceiling, and that.
    most: (usize, f32),
    /// A block and what its rows score at most.
    ceiling: (usize, f32),
}

enum Rows<'a> {
    Postings(Cursor<'a>),
    /// Rows, and what they score.
    List(Vec<u32>, Vec<f32>),
}

impl<'a> Term<'a> {
    /// Rows of a source, of texts with these lengths.
    pub fn new(source: Source<'a>, weight: f32, norms: &'a [f32; 256], lengths: &'a [u8]) -> Self {
        let (rows, most) = match source {
            Source::Postings(cursor) => {
                let ceilings =
                    (0..cursor.blocks()).map(|block| (block, ceiling(&cursor, block, weight, norms)));
                let most = ceilings.fold((0, 0.0), |most, next| if next.1 > most.1 { next } else { most });
                (Rows::Postings(cursor), most)
            }
            Source::List(List { rows, counts }) => {
                let norm = |row: &u32| norms[lengths[*row as usize] as usize];
                let scores = rows.iter().zip(&counts).map(|(row, count)| score(weight, norm(row), *count));
                let scores: Vec<f32> = scores.collect();
                let most = scores.iter().copied().fold(0.0, f32::max);
                (Rows::List(rows, scores), (0, most))
            }
        };
        Self { rows, weight, norms, lengths, place: 0, most, ceiling: (usize::MAX, 0.0) }
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Postings(cursor) => cursor.len() as usize,
            Rows::List(rows, ..) => rows.len(),
        }
    }

    /// A row before which, from this one on, there is none of its own. None: there is none at all.
    pub fn next_row(&mut self, from: u32) -> Option<u32> {
        self.seek(from);
        match &self.rows {
            Rows::Postings(cursor) if self.place >= cursor.blocks() => None,
            Rows::Postings(cursor) => {
                let before = self.place.checked_sub(1).and_then(|block| cursor.last_row(block));
                Some(from.max(before.map_or(0, |row| row.saturating_add(1))))
            }
            Rows::List(rows, ..) => rows.get(self.place).copied(),
        }
    }

    fn seek(&mut self, row: u32) {
        match &self.rows {
            Rows::Postings(cursor) => self.place = cursor.seek(self.place, row),
            Rows::List(rows, ..) => {
                let rest = rows.get(self.place..).unwrap_or_default();
                // What is sought is near most of the time.
                if rest.first().is_some_and(|next| *next < row) {
                    self.place += rest.partition_point(|other| *other < row);
                }
            }
        }
    }

    /// What a row in a window can score at most. None if it has no rows there.
    pub fn ceiling(&mut self, window: &Range<u32>) -> Option<f32> {
        self.seek(window.start);
        match &self.rows {
            Rows::List(rows, _) => rows.get(self.place).filter(|row| **row < window.end).map(|_| self.most.1),
            Rows::Postings(cursor) => {
                let (first, blocks) = (self.place, cursor.blocks());
                if first >= blocks {
                    return None;
                }
                let last = cursor.seek(first, window.end - 1).min(blocks - 1);
                Some((first..=last).map(|block| self.ceiling_of(block)).fold(0.0, f32::max))
            }
        }
    }

    fn ceiling_of(&mut self, block: usize) -> f32 {
        let Rows::Postings(cursor) = &self.rows else { return 0.0 };
        if self.ceiling.0 != block {
            self.ceiling = (block, ceiling(cursor, block, self.weight, self.norms));
        }
        self.ceiling.1
    }

    /// What any row can score at most.
    pub fn most(&self) -> f32 {
        self.most.1
    }

    /// A score that so many of its rows have at least, of those that a mask admits.
    pub fn floor(&mut self, rows: usize, mask: Mask<'_>) -> Result<f32, Damage> {
        let mut scores: Vec<f32> = match &mut self.rows {
            Rows::List(list, scores) => {
                let admitted = list.iter().zip(scores).filter(|(row, _)| mask.admits(**row));
                admitted.map(|(_, score)| *score).collect()
            }
            Rows::Postings(cursor) => {
                let (found, counts) = cursor.read(self.most.0)?;
                let admitted = found.iter().zip(counts).filter(|(row, _)| mask.admits(**row));
                let norm = |row: u32| self.norms[self.lengths[row as usize] as usize];
                admitted.map(|(row, count)| score(self.weight, norm(*row), *count)).collect()
            }
        };
        if rows == 0 || scores.len() < rows {
            return Ok(0.0);
        }
        Ok(*scores.select_nth_unstable_by(rows - 1, |left, right| right.total_cmp(left)).1)
    }

    /// Adds the scores of its rows in a window; those of rows that score less than `needed` may be left out.
    pub fn fill(&mut self, window: &Range<u32>, needed: f64, hits: &mut impl Sink) -> Result<(), Damage> {
        self.seek(window.start);
        let Self { rows, weight, norms, lengths, place, .. } = self;
        match rows {
            Rows::List(rows, scores) => {
                let rest = rows[*place..].iter().zip(&scores[*place..]);
                rest.take_while(|(row, _)| **row < window.end)
                    .for_each(|(row, score)| hits.add(*row, *score));
            }
            Rows::Postings(cursor) => {
                for block in *place..cursor.blocks() {
                    let last = cursor.last_row(block);
                    if needed <= 0.0 || f64::from(ceiling(cursor, block, *weight, norms)) >= needed {
                        let (rows, counts) = cursor.read(block)?;
                        let within = part(rows, window);
                        for (row, count) in rows[within.clone()].iter().zip(&counts[within]) {
                            hits.add(*row, score(*weight, norms[lengths[*row as usize] as usize], *count));
                        }
                    }
                    if last.is_none_or(|last| last >= window.end) {
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
        let wanted: u32 = within.iter().map(|word| word.count_ones()).sum();
        if wanted as usize * ROWS_PER_LOOKUP > self.rows_in(window) {
            return self.fill(window, 0.0, hits);
        }
        for (word, bits) in within.iter().enumerate() {
            let mut damage = Ok(());
            each(*bits, |bit| {
                let row = window.start + (word * 64 + bit) as u32;
                match self.score(row) {
                    Ok(Some(score)) => hits.add(row, score),
                    Ok(None) => {}
                    Err(damaged) => damage = Err(damaged),
                }
            });
            damage?;
        }
        Ok(())
    }

    /// Adds to the scores of those of some rows, ascending, that it has, and calls `found` with their places.
    pub fn add_to(&mut self, rows: &mut [(u32, f64)], mut found: impl FnMut(usize)) -> Result<(), Damage> {
        for (place, (row, sum)) in rows.iter_mut().enumerate() {
            if let Some(score) = self.score(*row)? {
                *sum += f64::from(score);
                found(place);
            }
        }
        Ok(())
    }

    /// How many rows it has in a window, at most.
    pub fn rows_in(&mut self, window: &Range<u32>) -> usize {
        self.seek(window.start);
        match &self.rows {
            Rows::List(rows, ..) => rows.len() - self.place,
            Rows::Postings(cursor) if self.place >= cursor.blocks() => 0,
            Rows::Postings(cursor) => BLOCK * (cursor.seek(self.place, window.end - 1) + 1 - self.place),
        }
    }

    /// What a row scores, if it has it. Rows are asked for in ascending order.
    pub fn score(&mut self, row: u32) -> Result<Option<f32>, Damage> {
        self.seek(row);
        match &mut self.rows {
            Rows::List(rows, scores) => {
                Ok(rows.get(self.place).filter(|found| **found == row).map(|_| scores[self.place]))
            }
            Rows::Postings(cursor) if self.place >= cursor.blocks() => Ok(None),
            Rows::Postings(cursor) => {
                let (rows, counts) = cursor.read(self.place)?;
                let norm = self.norms[self.lengths[row as usize] as usize];
                Ok(rows.binary_search(&row).ok().map(|place| score(self.weight, norm, counts[place])))
            }
        }
    }
}

/// What a row of a block can score at most.
fn ceiling(cursor: &Cursor<'_>, block: usize, weight: f32, norms: &[f32; 256]) -> f32 {
    // Of the rest of the rows nothing is known before they are read, but that all scores are below the weight.
    let Some(bounds) = cursor.bounds(block) else { return weight * ABOVE };
    let scores = bounds.best().map(|(count, length)| weight * (count / (count + norms[length as usize])));
    scores.fold(0.0, f32::max) * ABOVE
}

/// The places of the rows of a window among others, ascending.
fn part(rows: &[u32], window: &Range<u32>) -> Range<usize> {
    let is_within = |row: Option<&u32>| row.is_some_and(|row| window.contains(row));
    if is_within(rows.first()) && is_within(rows.last()) {
        return 0..rows.len();
    }
    rows.partition_point(|row| *row < window.start)..rows.partition_point(|row| *row < window.end)
}
