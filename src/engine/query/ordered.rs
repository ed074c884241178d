//! Rows in an order of fields of their metadata.
//!
//! The metadata of every row that matches is read, blocks side by side, and each thread keeps the first rows of its
//! part. Invariant: the answer is exact and does not depend on how rows lie in blocks; whether it is refused for
//! [`Ordered::max_bytes`] may.

use std::{collections::BinaryHeap, sync::Arc};

use rayon::prelude::*;

use super::Searchers;
use crate::{
    clock::Timestamp,
    engine::contents::{Block, Matches, Snapshot},
    error::{Error, Result},
    types::{
        Filter,
        rank_by::{OrderBy, Position},
        set_bits,
    },
};

/// Which rows, in which order.
#[derive(Debug, Clone)]
pub struct Ordered {
    /// The fields that order; at least one.
    pub by: Vec<OrderBy>,
    /// Only rows after this.
    pub after: Option<Position>,
    /// How many of them at most.
    pub limit: usize,
    /// How many bytes the values by which they are ordered may take in memory at most (`limits.answer_bytes`).
    pub max_bytes: u64,
}

/// A row at its position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    position: Position,
    block: Block,
    row: usize,
}

impl Searchers {
    /// The first rows visible at `now` that match.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] if the values by which they are ordered are too long, [`Error::Corrupt`] if a
    /// segment is damaged.
    pub async fn ordered(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        ordered: Ordered,
        filter: Option<Arc<Filter>>,
        now: Timestamp,
    ) -> Result<Vec<(Block, usize)>> {
        self.run(move || ordered.first(&snapshot, filter.as_deref(), now)).await
    }
}

impl Ordered {
    fn first(
        &self,
        snapshot: &Snapshot,
        filter: Option<&Filter>,
        now: Timestamp,
    ) -> Result<Vec<(Block, usize)>> {
        let matches = filter.map(|filter| Matches::of(snapshot, filter, now)).transpose()?;
        let of_block = |block: &Block| -> Result<First> {
            let rows = visible(snapshot, matches.as_ref(), *block, now)?;
            let mut first = First::new(self);
            for row in set_bits(&rows) {
                let row = row as usize;
                let read = snapshot.row(*block, row)?;
                let position = Position::of(&self.by, read.id, read.metadata);
                if self.after.as_ref().is_none_or(|after| position > *after) {
                    first.push(Placed { position, block: *block, row })?;
                }
            }
            Ok(first)
        };
        let merged = |left: First, right: First| -> Result<First> {
            let (mut all, fewer) =
                if left.heap.len() < right.heap.len() { (right, left) } else { (left, right) };
            fewer.heap.into_iter().try_for_each(|placed| all.push(placed))?;
            Ok(all)
        };
        let first = snapshot.blocks().par_iter().map(of_block).try_reduce_with(merged);
        let first = first.transpose()?.map(|first| first.heap.into_sorted_vec()).unwrap_or_default();
        Ok(first.into_iter().map(|placed| (placed.block, placed.row)).collect())
    }
}

/// The rows of a block that match.
pub(super) fn visible(
    snapshot: &Snapshot,
    matches: Option<&Matches>,
    block: Block,
    now: Timestamp,
) -> Result<Vec<u64>> {
    match matches {
        Some(matches) => Ok(matches.of_block(snapshot, block)),
        None => Ok(snapshot.vectors(block, now)?.visible),
    }
}

/// The first rows of those seen, the last of them on top.
struct First {
    limit: usize,
    max_bytes: u64,
    heap: BinaryHeap<Placed>,
    /// Of the values by which they are ordered.
    bytes: u64,
}

impl First {
    fn new(wanted: &Ordered) -> Self {
        Self { limit: wanted.limit, max_bytes: wanted.max_bytes, heap: BinaryHeap::new(), bytes: 0 }
    }

    fn push(&mut self, placed: Placed) -> Result<()> {
        if self.heap.len() == self.limit {
            match self.heap.peek_mut() {
                Some(mut last) if placed < *last => {
                    self.bytes -= last.position.bytes() as u64;
                    self.bytes += placed.position.bytes() as u64;
                    *last = placed;
                }
                _ => return Ok(()),
            }
        } else {
            self.bytes += placed.position.bytes() as u64;
            self.heap.push(placed);
        }
        if self.bytes > self.max_bytes {
            return Err(Error::AnswerTooLarge { limit: "limits.answer_bytes", max: self.max_bytes });
        }
        Ok(())
    }
}
