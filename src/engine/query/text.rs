//! Rows by the words of their texts.
//!
//! A query is expanded and counted over all parts of the snapshot, and then each part is searched with the
//! same weights. A filter says which rows may be found, and not what they score.
//!
//! Invariant: what a row scores depends on its texts and on the visible rows of the snapshot, not on how these
//! lie in segments and chunks.

use std::{cmp::Ordering, sync::Arc};

use super::{Found, Searchers, is_light_filter};
use crate::{
    clock::Timestamp,
    engine::{
        contents::{Block, Matches, Snapshot, TextPart, TextPlace},
        index::{
            Best, Mask,
            fulltext::{Analyzer, Asked, Fulltext, Live, Plan, Statistics, Weights, distinct_terms, expand},
            top::TopK,
        },
    },
    error::{Error, Result},
    types::{
        Filter,
        text::{FulltextParams, Limits, TextQuery},
    },
};

/// A query for rows by their texts.
#[derive(Debug, Clone)]
pub struct TextTarget {
    /// What is looked for.
    pub query: TextQuery,
    /// Where that stands in the request, for errors.
    pub place: &'static str,
    /// What the rows are indexed with.
    pub params: Arc<FulltextParams>,
    /// Where words are looked for that name no field: the places of fields among those of `params`.
    pub fields: Vec<usize>,
    /// How large the query may become.
    pub limits: Limits,
    /// How many rows at most.
    pub top_k: usize,
    /// Which rows may be found; all if missing.
    pub filter: Option<Arc<Filter>>,
    /// Rows that were found otherwise, whose scores are wanted too.
    pub others: Vec<(Block, usize)>,
}

/// The answer to a query for rows by their texts.
#[derive(Debug)]
pub struct TextAnswer {
    /// Best first, equal scores in id order.
    pub found: Vec<Found>,
    /// What each of the other rows scores; none if it does not match.
    pub others: Vec<Option<f32>>,
    /// The query as it was searched for.
    pub plan: Plan,
    /// Rows whose metadata was read to decide the filter.
    pub read: u64,
}

/// What is known of the texts of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextStatistics {
    /// Visible rows that have a text in any field.
    pub rows: u64,
    /// For each field.
    pub fields: Vec<FieldStatistics>,
}

/// What is known of the texts of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldStatistics {
    /// Visible rows that have a text in it.
    pub rows: u64,
    /// Words of these that have a term.
    pub words: u64,
    /// Terms of these.
    pub terms: u64,
}

/// Rows without an index that are indexed where a query came in.
const LIGHT_ROWS: usize = 64;
/// Postings that are gone through there, at most: a hundred microseconds.
const LIGHT_POSTINGS: u64 = 50_000;

impl Searchers {
    /// The best rows for a target among those visible at `now`. Ends without an answer when nobody waits for
    /// it any more.
    ///
    /// # Errors
    /// As [`Plan::new`] and [`expand`], and [`Error::Corrupt`] if a segment or an index is damaged.
    pub async fn search_texts(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        target: TextTarget,
        now: Timestamp,
    ) -> Result<TextAnswer> {
        if snapshot.texts.missing_rows(&snapshot, &target.params) > LIGHT_ROWS {
            let answer = move |stop: &(dyn Fn() -> bool + Sync)| {
                Prepared::of(&snapshot, &target, now)?.answer(&snapshot, &target, now, stop)
            };
            return self.run_unless_left(answer).await;
        }
        let prepared = Prepared::of(&snapshot, &target, now)?;
        // As for vectors: handing it over and waiting costs more than it takes.
        if prepared.is_light(&snapshot, &target)? {
            return prepared.answer(&snapshot, &target, now, &|| false);
        }
        self.run_unless_left(move |stop| prepared.answer(&snapshot, &target, now, stop)).await
    }

    /// Counts the texts that are visible at `now`. Ends without an answer when nobody waits for it any more.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a segment or an index is damaged.
    pub async fn text_statistics(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        params: Arc<FulltextParams>,
        now: Timestamp,
    ) -> Result<TextStatistics> {
        self.run_unless_left(move |stop| statistics(&snapshot, &params, now, stop)).await
    }
}

/// Parts with their visible rows: a bit for each, or nothing where all are.
struct Parts {
    parts: Vec<TextPart>,
    visible: Vec<Option<Vec<u64>>>,
}

impl Parts {
    fn of(snapshot: &Snapshot, params: &FulltextParams, now: Timestamp) -> Result<Self> {
        let parts = snapshot.texts.parts(snapshot, params)?;
        let visible = parts.iter().map(|part| part.place.visible(snapshot, now)).collect();
        Ok(Self { parts, visible })
    }

    fn live(&self) -> Vec<Live<'_>> {
        let parts = self.parts.iter().zip(&self.visible);
        parts.map(|(part, visible)| Live::new(mask(visible.as_deref()), part.index.rows() as usize)).collect()
    }

    fn with<'a>(&'a self, live: &'a [Live<'a>]) -> Vec<(&'a Fulltext, &'a Live<'a>)> {
        self.parts.iter().map(|part| &*part.index).zip(live).collect()
    }
}

fn mask(visible: Option<&[u64]>) -> Mask<'_> {
    visible.map_or(Mask::All, Mask::Bits)
}

/// A query that is about to be searched for.
struct Prepared {
    plan: Plan,
    parts: Parts,
}

impl Prepared {
    fn of(snapshot: &Snapshot, target: &TextTarget, now: Timestamp) -> Result<Self> {
        let TextTarget { query, place, params, limits, .. } = target;
        let plan = Plan::new(&target.fields, query, place, &Analyzer::new(params), params, limits)?;
        Ok(Self { plan, parts: Parts::of(snapshot, params, now)? })
    }

    /// Whether there is little to do, as far as a look into the dictionaries tells.
    fn is_light(&self, snapshot: &Snapshot, target: &TextTarget) -> Result<bool> {
        let is_decided = target.filter.as_deref().is_none_or(|filter| is_light_filter(snapshot, filter));
        if !is_decided || !self.plan.is_of_words() {
            return Ok(false);
        }
        let mut postings = 0;
        for part in &self.parts.parts {
            postings += Asked::new(&part.index, &self.plan)?.postings();
        }
        Ok(postings <= LIGHT_POSTINGS)
    }

    fn answer(
        mut self,
        snapshot: &Snapshot,
        target: &TextTarget,
        now: Timestamp,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<TextAnswer> {
        let (parts, params) = (&self.parts, &target.params);
        let live = parts.live();
        let indexes = parts.with(&live);
        if !expand(&mut self.plan, &indexes, target.place, &target.limits, stop)? {
            return Err(left());
        }
        let plan = &self.plan;
        let matches =
            target.filter.as_deref().map(|filter| Matches::of(snapshot, filter, now)).transpose()?;
        let asked = indexes.iter().map(|(index, _)| Asked::new(index, plan)).collect::<Result<Vec<_>>>()?;
        let mut sums = Statistics::none(plan, params.fields.len());
        for (asked, live) in asked.iter().zip(&live) {
            if stop() {
                return Err(left());
            }
            sums += &asked.statistics(live)?;
        }
        let search = Search { snapshot, parts, asked, weights: Weights::new(plan, &sums, params), stop };
        let found = search.best(target.top_k, matches.as_ref())?;
        let others = search.scores(&target.others)?;
        let read = matches.map_or(0, |matches| matches.read());
        Ok(TextAnswer { found, others, plan: self.plan, read })
    }
}

struct Search<'a> {
    snapshot: &'a Snapshot,
    parts: &'a Parts,
    asked: Vec<Asked<'a>>,
    weights: Weights,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl Search<'_> {
    fn best(&self, top_k: usize, matches: Option<&Matches>) -> Result<Vec<Found>> {
        let tie = |left: u64, right: u64| self.tie(left, right);
        let mut top = TopK::new(top_k);
        for (number, (part, asked)) in self.parts.parts.iter().zip(&self.asked).enumerate() {
            let matching = matches.map(|matches| part.place.matching(matches));
            let mask = mask(matching.as_deref().or(self.parts.visible[number].as_deref()));
            let of_row = |row: u32| row_number(number, row);
            let mut best = Best::new(&mut top, &of_row, &tie);
            if !asked.search(&self.weights, mask, &mut best, self.stop)? {
                return Err(left());
            }
        }
        let found = top.into_sorted(&tie).into_iter().map(|scored| {
            let (block, row) = self.place(scored.row);
            Found { score: scored.score, block, row }
        });
        Ok(found.collect())
    }

    /// What rows score, in their order.
    fn scores(&self, rows: &[(Block, usize)]) -> Result<Vec<Option<f32>>> {
        let mut scores = vec![None; rows.len()];
        for (part, asked) in self.parts.parts.iter().zip(&self.asked) {
            let within = rows.iter().enumerate();
            let mut within: Vec<(u32, usize)> = within
                .filter_map(|(place, (block, row))| Some((self.row_in(&part.place, *block, *row)?, place)))
                .collect();
            within.sort_unstable();
            let wanted: Vec<u32> = within.iter().map(|(row, _)| *row).collect();
            if !wanted.is_empty() {
                let of_part = asked.scores(&self.weights, &wanted, self.stop)?;
                within.into_iter().zip(of_part).for_each(|((_, place), score)| scores[place] = score);
            }
        }
        Ok(scores)
    }

    /// The row of a part, if it is in it.
    fn row_in(&self, part: &TextPlace, block: Block, row: usize) -> Option<u32> {
        match (part, block) {
            (TextPlace::Segment(part), Block::Batch(segment, batch)) => {
                (*part == segment).then(|| self.snapshot.segments[segment].segment().row(batch, row))
            }
            (TextPlace::Chunk(part, rows), Block::Chunk(chunk)) => {
                (*part == chunk && rows.contains(&row)).then(|| (row - rows.start) as u32)
            }
            _ => None,
        }
    }

    fn place(&self, number: u64) -> (Block, usize) {
        let row = number as u32;
        match &self.parts.parts[(number >> 32) as usize].place {
            TextPlace::Segment(segment) => {
                let (batch, place) = self.snapshot.segments[*segment].segment().place(row);
                (Block::Batch(*segment, batch), place)
            }
            TextPlace::Chunk(chunk, rows) => (Block::Chunk(*chunk), rows.start + row as usize),
        }
    }

    /// Rows of equal score come in id order; a visible id is in one row only.
    fn tie(&self, left: u64, right: u64) -> Ordering {
        let id = |number| {
            let (block, row) = self.place(number);
            // A batch that cannot be read fails when the row is returned.
            self.snapshot.id(block, row).unwrap_or_default()
        };
        id(left).cmp(id(right))
    }
}

/// The number of a row of a part.
fn row_number(part: usize, row: u32) -> u64 {
    (part as u64) << 32 | u64::from(row)
}

/// Nobody hears of it.
fn left() -> Error {
    Error::internal("the search was left")
}

fn statistics(
    snapshot: &Snapshot,
    params: &FulltextParams,
    now: Timestamp,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<TextStatistics> {
    let parts = Parts::of(snapshot, params, now)?;
    let live = parts.live();
    let indexes = parts.with(&live);
    let nothing = Plan { root: None, leaves: Vec::new() };
    let mut sums = Statistics::none(&nothing, params.fields.len());
    let mut rows = 0;
    for (index, live) in &indexes {
        if stop() {
            return Err(left());
        }
        sums += &Asked::new(index, &nothing)?.statistics(live)?;
        rows += index.rows_with_text(live)?;
    }
    let fields = sums.fields.into_iter().enumerate().map(|(field, (rows, words))| {
        Ok(FieldStatistics { rows, words, terms: distinct_terms(&indexes, field, stop)?.ok_or_else(left)? })
    });
    Ok(TextStatistics { rows, fields: fields.collect::<Result<_>>()? })
}
