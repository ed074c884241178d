//! Rankings by a score that is made of several.
//!
//! Every row that takes part is scored by every part, exactly, so that a score does not depend on how the row was
//! found. Which rows take part: all that match the filter, if vectors are to be searched exactly; all that match a
//! text, if there are only texts; else those that each part finds on its own, as a search of so many rows finds them.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use rayon::prelude::*;

use super::{Accuracy, Found, Searchers, Target, TextTarget, ordered::visible, place, row_number};
use crate::{
    clock::Timestamp,
    engine::{
        contents::{Block, Matches, Snapshot},
        index::{Query, flat::score, top::TopK},
        segment::RowRef,
    },
    error::{Error, Result},
    types::{
        Distance, Filter, IndexType,
        rank_by::{Near, Score},
        set_bits,
    },
};

/// Candidates of each part, for each row that is wanted, and at least.
const CANDIDATES: usize = 4;
const MIN_CANDIDATES: usize = 100;

/// A score that is made of several.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The score; its vectors are of the snapshot's dimension.
    pub score: Arc<Score>,
    /// The metric of its vectors.
    pub distance: Distance,
    /// How exact the parts are to be that need not be exact.
    pub accuracy: Accuracy,
    /// The type of index that answers for these.
    pub index: Option<IndexType>,
    /// The searches for its texts, in the order of [`Score::words`].
    pub texts: Vec<TextTarget>,
}

/// What rows score by a text: for each block those that match, ascending; a row that is not there has 0. All
/// rows of a namespace may be in it, so it is compact.
#[derive(Default)]
struct TextScores(BTreeMap<Block, Vec<(u32, f32)>>);

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
        if snapshot.dimension > 0 {
            composed.check(snapshot.dimension)?;
        }
        let is_exact = composed.is_exact();
        let mut found = Candidates::default();
        if !is_exact {
            let targets = composed.targets(filter.as_ref(), limit);
            let answers = self.search(snapshot.clone(), targets, now).await?;
            answers.iter().for_each(|answer| found.add(&answer.found));
        }
        let top_k = composed.text_candidates(&snapshot, limit);
        let mut texts = Vec::with_capacity(composed.texts.len());
        for target in &composed.texts {
            let target = TextTarget { top_k, filter: filter.clone(), ..target.clone() };
            let answer = self.search_texts(snapshot.clone(), target, now).await?;
            texts
                .push(TextScores::of(answer.found.iter().map(|found| (found.block, found.row, found.score))));
            found.add(&answer.found);
        }
        let all = is_exact && !composed.score.vectors().is_empty();
        if !is_exact {
            self.complete(&snapshot, &composed, &found, &mut texts, now).await?;
        }
        let rows = (!all).then_some(found);
        self.run(move || composed.best(&snapshot, rows, &texts, filter.as_deref(), limit, now)).await
    }

    /// Adds what candidates of other parts score by each text.
    async fn complete(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        composed: &Composed,
        found: &Candidates,
        texts: &mut [TextScores],
        now: Timestamp,
    ) -> Result<()> {
        for (target, scores) in composed.texts.iter().zip(texts) {
            let others: Vec<_> = found.rows().filter(|row| scores.get(*row).is_none()).collect();
            let target = TextTarget { top_k: 1, others: others.clone(), ..target.clone() };
            let answer = self.search_texts(snapshot.clone(), target, now).await?;
            let known = others.into_iter().zip(answer.others);
            scores.add(known.filter_map(|((block, row), score)| Some((block, row, score?))));
        }
        Ok(())
    }
}

impl TextScores {
    fn of(rows: impl Iterator<Item = (Block, usize, f32)>) -> Self {
        let mut scores = Self::default();
        scores.add(rows);
        scores
    }

    /// Adds rows that are not there.
    fn add(&mut self, rows: impl Iterator<Item = (Block, usize, f32)>) {
        for (block, row, score) in rows {
            self.0.entry(block).or_default().push((row as u32, score));
        }
        self.0.values_mut().for_each(|rows| rows.sort_unstable_by_key(|(row, _)| *row));
    }

    fn get(&self, (block, row): (Block, usize)) -> Option<f32> {
        let rows = self.0.get(&block)?;
        rows.binary_search_by_key(&row, |(row, _)| *row as usize).ok().map(|place| rows[place].1)
    }
}

/// Rows of blocks, ascending, by the number of the block.
#[derive(Default)]
struct Candidates(BTreeMap<Block, Vec<usize>>);

impl Candidates {
    fn add(&mut self, found: &[Found]) {
        for found in found {
            self.0.entry(found.block).or_default().push(found.row);
        }
        for rows in self.0.values_mut() {
            rows.sort_unstable();
            rows.dedup();
        }
    }

    fn rows(&self) -> impl Iterator<Item = (Block, usize)> {
        self.0.iter().flat_map(|(block, rows)| rows.iter().map(|row| (*block, *row)))
    }
}

impl Composed {
    /// Rows may have been written, and a dimension fixed, since the request was looked at.
    fn check(&self, expected: usize) -> Result<()> {
        match self.score.vectors().into_iter().find(|near| near.vector.len() != expected) {
            Some(near) => {
                let (field, actual) = (near.place.to_string(), near.vector.len());
                Err(Error::DimensionMismatch { field, expected, actual })
            }
            None => Ok(()),
        }
    }

    fn is_exact(&self) -> bool {
        self.accuracy.is_exact() || self.score.vectors().iter().all(|near| near.exact)
    }

    /// What each part searches for.
    fn targets(&self, filter: Option<&Arc<Filter>>, limit: usize) -> Vec<Target> {
        let top_k = candidates_for(limit);
        let target = |near: &Near| Target {
            vector: near.vector.clone(),
            distance: self.distance,
            top_k,
            accuracy: if near.exact { Accuracy::Exact } else { self.accuracy },
            index: self.index.filter(|_| !near.exact),
            filter: filter.cloned(),
        };
        self.score.vectors().into_iter().map(target).collect()
    }

    /// How many rows each text finds: all that match, where these decide which rows are the best.
    fn text_candidates(&self, snapshot: &Snapshot, limit: usize) -> usize {
        if matches!(*self.score, Score::Words(_)) {
            return limit;
        }
        if self.is_exact() {
            return snapshot.blocks().into_iter().map(|block| snapshot.block_rows(block)).sum();
        }
        candidates_for(limit)
    }

    fn best(
        &self,
        snapshot: &Snapshot,
        rows: Option<Candidates>,
        texts: &[TextScores],
        filter: Option<&Filter>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Found>> {
        let prepared = Prepared::new(&self.score, self.distance, &mut texts.iter());
        let blocks = snapshot.blocks();
        let rows_of: Box<dyn Fn(Block) -> Result<Vec<usize>> + Sync> = match &rows {
            Some(rows) => Box::new(|block| Ok(rows.0.get(&block).cloned().unwrap_or_default())),
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
                let at = (blocks[number], row);
                let row_ref = snapshot.row(at.0, at.1)?;
                if row_ref.vector.is_empty() && !texts.iter().any(|scores| scores.get(at).is_some()) {
                    continue;
                }
                let score = prepared.score(&row_ref, at);
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

/// How many rows each part finds that does not find all.
fn candidates_for(limit: usize) -> usize {
    limit.saturating_mul(CANDIDATES).max(MIN_CANDIDATES)
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

/// What a row without a vector scores by a vector as part of a sum: as much as one that has nothing to do with
/// it, and nothing is so far away that it is certain to be farther.
fn without_vector(distance: Distance) -> f32 {
    match distance {
        Distance::Cosine | Distance::DotProduct => 0.0,
        Distance::Euclidean => f32::MIN,
    }
}

/// A score, ready to be computed for rows.
enum Prepared<'a> {
    /// With what a row scores that has no vector.
    Near(Query, f32),
    Words(&'a TextScores),
    Sum(Vec<Self>),
    Max(Vec<Self>),
    Product(f32, Box<Self>),
    Nothing,
}

impl<'a> Prepared<'a> {
    /// `texts` are the scores of the texts that come next.
    fn new(score: &Score, distance: Distance, texts: &mut std::slice::Iter<'a, TextScores>) -> Self {
        let mut all =
            |parts: &[Score]| parts.iter().map(|part| Self::new(part, distance, texts)).collect::<Vec<_>>();
        match score {
            Score::Near(near) => Self::Near(Query::new(distance, &near.vector), without_vector(distance)),
            Score::Sum(parts) => Self::Sum(all(parts)),
            Score::Max(parts) => Self::Max(all(parts)),
            Score::Words(_) => texts.next().map_or(Self::Nothing, Self::Words),
            Score::Product(factor, part) => {
                Self::Product(*factor, Box::new(Self::new(part, distance, texts)))
            }
        }
    }

    /// That of a row, and where it lies.
    fn score(&self, row: &RowRef<'_>, at: (Block, usize)) -> f32 {
        let score = match self {
            Self::Near(_, without) if row.vector.is_empty() => *without,
            Self::Near(query, _) => score(query, row.vector, row.inverse_norm),
            Self::Words(scores) => scores.get(at).unwrap_or_default(),
            Self::Sum(parts) => parts.iter().map(|part| part.score(row, at)).sum(),
            Self::Max(parts) => {
                parts.iter().map(|part| part.score(row, at)).fold(f32::NEG_INFINITY, f32::max)
            }
            Self::Product(factor, part) => factor * part.score(row, at),
            Self::Nothing => 0.0,
        };
        // A part beyond the range of a float counts as its end, so that there is never a sum of two infinities.
        score.clamp(f32::MIN, f32::MAX)
    }
}
