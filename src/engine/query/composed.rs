//! Rankings by a score that is made of several.
//!
//! Every row that takes part is scored by every part, exactly, so that a score does not depend on how the row was
//! found. Which rows take part: all that match, if nothing but exact parts is asked for; else those that each part
//! finds on its own, as a search of so many rows finds them.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use rayon::prelude::*;

use super::{Accuracy, Found, Searchers, Target, ordered::visible, place, row_number};
use crate::{
    clock::Timestamp,
    engine::{
        contents::{Block, Matches, Snapshot},
        index::{Query, flat::score, top::TopK},
        segment::RowRef,
    },
    error::Result,
    types::{Distance, Filter, IndexType, rank_by::Score, set_bits},
};

/// Candidates of each part, for each row that is wanted, and at least.
const CANDIDATES: usize = 4;
const MIN_CANDIDATES: usize = 100;

/// A score that is made of several.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The score, of vectors of the snapshot's dimension and of no text.
    pub score: Arc<Score>,
    /// The metric of its vectors.
    pub distance: Distance,
    /// How exact the parts are to be that need not be exact.
    pub accuracy: Accuracy,
    /// The type of index that answers for these.
    pub index: Option<IndexType>,
}

impl Searchers {
    /// The rows with the highest scores, of those visible at `now` that match: best first, equal ones by id.
    ///
    /// # Errors
    /// As [`Searchers::search`].
    pub async fn composed(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        composed: Composed,
        filter: Option<Arc<Filter>>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Found>> {
        if snapshot.is_empty() {
            return Ok(Vec::new());
        }
        let rows = match composed.is_exact() {
            true => None,
            false => {
                let targets = composed.targets(filter.as_ref(), limit);
                let answers = self.search(snapshot.clone(), targets, now).await?;
                Some(candidates(answers.into_iter().flat_map(|answer| answer.found)))
            }
        };
        self.run(move || composed.best(&snapshot, rows, filter.as_deref(), limit, now)).await
    }
}

/// Rows of blocks, by the number of the block.
type Candidates = BTreeMap<Block, Vec<usize>>;

fn candidates(found: impl Iterator<Item = Found>) -> Candidates {
    let mut candidates = Candidates::new();
    for found in found {
        candidates.entry(found.block).or_default().push(found.row);
    }
    for rows in candidates.values_mut() {
        rows.sort_unstable();
        rows.dedup();
    }
    candidates
}

impl Composed {
    fn is_exact(&self) -> bool {
        self.accuracy.is_exact() || self.score.vectors().iter().all(|near| near.exact)
    }

    /// What each part searches for.
    fn targets(&self, filter: Option<&Arc<Filter>>, limit: usize) -> Vec<Target> {
        let top_k = limit.saturating_mul(CANDIDATES).max(MIN_CANDIDATES);
        let target = |near: &crate::types::rank_by::Near| Target {
            vector: near.vector.clone(),
            distance: self.distance,
            top_k,
            accuracy: if near.exact { Accuracy::Exact } else { self.accuracy },
            index: self.index.filter(|_| !near.exact),
            filter: filter.cloned(),
        };
        self.score.vectors().into_iter().map(target).collect()
    }

    fn best(
        &self,
        snapshot: &Snapshot,
        rows: Option<Candidates>,
        filter: Option<&Filter>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Found>> {
        let prepared = Prepared::new(&self.score, self.distance);
        let blocks = snapshot.blocks();
        let rows_of: Box<dyn Fn(Block) -> Result<Vec<usize>> + Sync> = match &rows {
            Some(rows) => Box::new(|block| Ok(rows.get(&block).cloned().unwrap_or_default())),
            None => {
                let matches = filter.map(|filter| Matches::of(snapshot, filter, now)).transpose()?;
                Box::new(move |block| {
                    let rows = visible(snapshot, matches.as_ref(), block, now)?;
                    Ok(set_bits(&rows).map(|row| row as usize).collect())
                })
            }
        };
        let tie = |left: u64, right: u64| tie(snapshot, &blocks, left, right);
        let of_block = |number: usize| -> Result<TopK> {
            let mut top = TopK::new(limit);
            for row in rows_of(blocks[number])? {
                let score = prepared.score(&snapshot.row(blocks[number], row)?);
                top.push(score, row_number(number) + row as u64, &tie);
            }
            Ok(top)
        };
        let merged = |mut left: TopK, right: TopK| -> Result<TopK> {
            left.merge(right, &tie);
            Ok(left)
        };
        let top = (0..blocks.len()).into_par_iter().map(of_block).try_reduce_with(merged).transpose()?;
        let best = top.map(|top| top.into_sorted(&tie)).unwrap_or_default();
        let found = |scored: crate::engine::index::top::Scored| {
            let (block, row) = place(scored.row);
            Found { score: scored.score, block: blocks[block], row }
        };
        Ok(best.into_iter().map(found).collect())
    }
}

/// Rows of equal score come in id order.
fn tie(snapshot: &Snapshot, blocks: &[Block], left: u64, right: u64) -> Ordering {
    let id = |number| {
        let (block, row) = place(number);
        // It was read when it was scored, so it can be read again.
        snapshot.id(blocks[block], row).unwrap_or_default()
    };
    id(left).cmp(id(right))
}

/// A score, ready to be computed for rows.
enum Prepared {
    Near(Query),
    Nothing,
    Sum(Vec<Prepared>),
    Max(Vec<Prepared>),
    Product(f32, Box<Prepared>),
}

impl Prepared {
    fn new(score: &Score, distance: Distance) -> Self {
        let all = |parts: &[Score]| parts.iter().map(|part| Self::new(part, distance)).collect();
        match score {
            Score::Near(near) => Self::Near(Query::new(distance, &near.vector)),
            // A row in which nothing matches has the score 0.
            Score::Words(_) => Self::Nothing,
            Score::Sum(parts) => Self::Sum(all(parts)),
            Score::Max(parts) => Self::Max(all(parts)),
            Score::Product(factor, part) => Self::Product(*factor, Box::new(Self::new(part, distance))),
        }
    }

    fn score(&self, row: &RowRef<'_>) -> f32 {
        match self {
            Self::Near(query) => score(query, row.vector, row.inverse_norm),
            Self::Nothing => 0.0,
            Self::Sum(parts) => parts.iter().map(|part| part.score(row)).sum(),
            Self::Max(parts) => parts.iter().map(|part| part.score(row)).fold(f32::NEG_INFINITY, f32::max),
            Self::Product(factor, part) => factor * part.score(row),
        }
    }
}
