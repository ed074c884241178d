//! The part of a search that indexes answer.

use rayon::prelude::*;

use super::{
    Batch, Block, Search, Target, Work,
    plan::{effort, usable_index},
    row_number,
};
use crate::{
    engine::{
        contents::Matches,
        index::{Best, Cost, Effort, Mask, Query, Request, VectorIndex, top::TopK},
    },
    error::Result,
};

impl Search<'_> {
    /// Whether a block need not be scanned: an index answers for it, or it has no vectors.
    pub(super) fn is_covered(&self, batch: &Batch, block: Block) -> bool {
        match block {
            _ if !self.snapshot.has_vectors(block) => true,
            Block::Batch(segment, _) => self.index(batch, segment).is_some(),
            Block::Chunk(_) => false,
        }
    }

    /// Searches the indexes for all targets of a batch, beside what was scanned.
    pub(super) fn search_indexes(
        &self,
        batch: &Batch,
        targets: &[Target],
        collectors: &mut [TopK],
    ) -> Result<Vec<Work>> {
        let search = |(position, top): (&usize, &mut TopK)| self.search_one(batch, &targets[*position], top);
        // One query keeps to its thread: others wait for the rest.
        match collectors {
            [top] => Ok(vec![search((&batch.positions[0], top))?]),
            several => batch.positions.par_iter().zip(several).map(search).collect(),
        }
    }

    fn search_one(&self, batch: &Batch, target: &Target, top: &mut TopK) -> Result<Work> {
        let mut work = Work::default();
        let query = Query::new(target.distance, &target.vector);
        work.read = self.matches.map_or(0, Matches::read);
        let segments = self.snapshot.segments.iter().enumerate();
        for (segment, view) in segments.filter(|(_, view)| view.segment().has_vectors()) {
            let matching = self.matches.map(|matches| matches.segment(segment).count);
            if matching == Some(0) {
                continue;
            }
            match self.index(batch, segment) {
                Some(index) => {
                    work.indexed_segments += 1;
                    work.indexes += self.search_index(index, segment, &query, effort(index, target), top)?;
                }
                None => work.scanned += matching.unwrap_or(view.live_rows()),
            }
        }
        work.scanned += match self.matches {
            Some(matches) => matches.with_vectors(self.snapshot).map(|matching| matching.count).sum::<u64>(),
            None => self.snapshot.rows_with_vectors(),
        };
        Ok(work)
    }

    fn search_index(
        &self,
        index: &dyn VectorIndex,
        segment: usize,
        query: &Query,
        effort: Effort,
        top: &mut TopK,
    ) -> Result<Cost> {
        let view = &self.snapshot.segments[segment];
        let expired = view.expired_rows(self.now);
        let visible = |row: u32| view.is_live(row) && !expired.contains(row);
        let all = view.shows_all(self.now);
        let mask = match self.matches {
            Some(matches) => Mask::Bits(matches.segment(segment).rows.words()),
            None if all => Mask::All,
            None => Mask::Only(&visible),
        };
        let request = Request { query, rows: &**view.segment(), mask, effort, stop: &|| false };
        let number = |row: u32| {
            let (batch, place) = view.segment().place(row);
            row_number(self.first_blocks[segment] + batch) + place as u64
        };
        index.search(&request, &mut Best::new(top, &number, &|left, right| self.tie(left, right)))
    }

    fn index(&self, batch: &Batch, segment: usize) -> Option<&dyn VectorIndex> {
        usable_index(&self.snapshot.segments[segment], batch.manner).map(|(_, index)| index)
    }
}
