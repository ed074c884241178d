//! The best of what was scanned and of what was found in segments by ranges.

use std::cmp::Ordering;

use super::{segment::ColdSegment, tail::Tail};
use crate::{
    engine::{
        index::{Best, Cost, Shortlisted, top::TopK},
        query::{Answer, Target, Work},
        segment::RowRef,
    },
    error::Result,
};

/// An answer before it is read: the best rows of all parts.
pub struct Merge<'a> {
    pub tail: &'a Tail,
    pub segments: &'a [ColdSegment],
    /// What a search of the tail's snapshot found.
    pub answer: &'a Answer,
}

/// A row that was found.
pub struct Ranked<'a> {
    pub score: f32,
    pub row: RowRef<'a>,
}

impl<'a> Merge<'a> {
    /// The best rows for a target; `shortlists` are those of the segments, without rows that are dead.
    pub fn best(&self, target: &Target, shortlists: &[Shortlisted]) -> Result<(Vec<Ranked<'a>>, Work)> {
        let tie = |left: u64, right: u64| self.tie(left, right);
        let mut top = TopK::new(target.top_k);
        for (place, found) in self.answer.found.iter().enumerate() {
            top.push(found.score, number(0, place as u32), &tie);
        }
        let mut work = self.answer.work;
        for (source, (segment, shortlist)) in (1..).zip(self.segments.iter().zip(shortlists)) {
            let numbered = |row: u32| number(source, row);
            let mut cost: Cost = shortlist.cost;
            let mut best = Best::new(&mut top, &numbered, &tie);
            segment.rerank(target, &shortlist.candidates, &mut best, &mut cost)?;
            work.indexed_segments += 1;
            work.indexes += cost;
        }
        let ranked = top
            .into_sorted(&tie)
            .into_iter()
            .map(|scored| Ok(Ranked { score: scored.score, row: self.row(scored.row)? }));
        Ok((ranked.collect::<Result<_>>()?, work))
    }

    fn row(&self, number: u64) -> Result<RowRef<'a>> {
        let (source, row) = ((number >> 32) as usize, number as u32);
        match source.checked_sub(1) {
            None => {
                let found = &self.answer.found[row as usize];
                self.tail.snapshot.row(found.block, found.row)
            }
            Some(segment) => self.segments[segment].rows().get(row),
        }
    }

    /// Rows of equal score come in id order.
    fn tie(&self, left: u64, right: u64) -> Ordering {
        // Each was read before it was scored.
        let id = |number| self.row(number).map(|row| row.id).unwrap_or_default();
        id(left).cmp(id(right))
    }
}

/// The number of a row: of what was scanned, or of a segment.
fn number(source: u64, row: u32) -> u64 {
    source << 32 | u64::from(row)
}
