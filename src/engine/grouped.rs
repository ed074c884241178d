//! Answers with a limited number of rows for each value of a field.
//!
//! A ranking is gone through from the best row on, and a row is left out if as many rows before it have one of its
//! values as may. If what was ranked does not suffice, more is: four times as many rows, of those that have none of
//! the values of which no more are taken. That is a filter, so a value that nearly all rows have costs nothing.
//!
//! The candidates of a hybrid search are no such ranking: their scores say where they stand among each other, and so
//! they are all that is gone through.
//!
//! Invariant: as far as rankings are exact, the answer is a prefix of the whole one without the rows that are left
//! out. What an approximate search finds late is put where its score belongs.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    Cut, Engine,
    contents::{Block, Snapshot},
    query::{Found, Work, values_of},
    ranking::Ranker,
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    types::{
        Filter,
        filter::{Json, Limits, Path, text},
    },
};

/// By how much more is ranked if it does not suffice.
const MORE: usize = 4;
/// A filter that is made of another one and of values in rows is within the limits that these were.
const ANY: Limits = Limits { depth: usize::MAX, nodes: usize::MAX, values: usize::MAX, patterns: usize::MAX };

/// How many rows of an answer may have the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// In which field. A row with several values counts for each, one without a value for null.
    pub field: Path,
    /// How many.
    pub limit: usize,
}

/// The rows that were taken.
struct Taken {
    grouping: Grouping,
    /// How many there are to be.
    wanted: usize,
    counts: BTreeMap<Json, usize>,
    /// Values of which no more rows are taken.
    full: BTreeSet<Json>,
    /// Of all values, and of these at most.
    bytes: u64,
    max_bytes: u64,
    seen: HashSet<(Block, usize)>,
    rows: Vec<Found>,
}

impl Engine {
    /// The first `wanted` rows of a ranking that may be in the answer: if `cut` wants groups, those without rows of
    /// values that enough rows before have. `found` are the first `wanted` of all or more, and `work` what was
    /// looked at for them. With what was looked at in all.
    ///
    /// # Errors
    /// [`Error::AnswerTooLarge`] if the values are longer than an answer may be.
    pub(super) async fn grouped(
        &self,
        snapshot: &Arc<Snapshot>,
        ranker: &Ranker,
        filter: Option<Arc<Filter>>,
        cut: &Cut,
        (found, work, wanted): (Vec<Found>, Work, usize),
        now: Timestamp,
    ) -> Result<(Vec<Found>, Work)> {
        let Some(grouping) = &cut.group_by else { return Ok((found, work)) };
        let taken = Taken::new(grouping.clone(), wanted, self.context.answer_bytes);
        let threshold = cut.score_threshold.unwrap_or(f32::NEG_INFINITY);
        let rounds = self.rounds(snapshot, ranker, filter, threshold, (taken, found, work), now);
        Box::pin(rounds).await
    }

    /// Offers rows of the ranking until enough are taken, or no more score so much.
    async fn rounds(
        &self,
        snapshot: &Arc<Snapshot>,
        ranker: &Ranker,
        filter: Option<Arc<Filter>>,
        threshold: f32,
        (mut taken, mut found, mut work): (Taken, Vec<Found>, Work),
        now: Timestamp,
    ) -> Result<(Vec<Found>, Work)> {
        let mut size = taken.wanted;
        loop {
            let mut is_all = found.len() < size;
            let (rows, filter) = (snapshot.clone(), filter.clone());
            let offer = move || {
                let within = found.partition_point(|found| found.score >= threshold);
                is_all |= within < found.len();
                found.truncate(within);
                taken.offer_all(&rows, found)?;
                let more = !is_all && taken.rows.len() < taken.wanted;
                let rest = more.then(|| taken.rest_of(filter.as_deref())).transpose()?;
                Ok((taken, rest))
            };
            let rest;
            (taken, rest) = self.searchers.run(offer).await?;
            let Some(rest) = rest else {
                // An order of fields has no scores, and stays.
                taken.rows.sort_by(|one, other| other.score.total_cmp(&one.score));
                return Ok((taken.rows, work));
            };
            size = size.saturating_mul(MORE);
            let more;
            (found, more) = self.best(snapshot, ranker, Some(rest), size, now).await?;
            work += more;
        }
    }
}

/// The first `wanted` of rows, best first, without those of values that enough rows before have. As
/// [`Taken::offer_all`].
///
/// # Errors
/// [`Error::AnswerTooLarge`] if the values are longer than an answer may be.
pub(super) fn first_of_groups(
    snapshot: &Snapshot,
    grouping: Grouping,
    found: Vec<Found>,
    wanted: usize,
    max_bytes: u64,
) -> Result<Vec<Found>> {
    let mut taken = Taken::new(grouping, wanted, max_bytes);
    taken.offer_all(snapshot, found)?;
    Ok(taken.rows)
}

impl Taken {
    fn new(grouping: Grouping, wanted: usize, max_bytes: u64) -> Self {
        let (counts, full, seen) = (BTreeMap::new(), BTreeSet::new(), HashSet::new());
        Self { grouping, wanted, counts, full, bytes: 0, max_bytes, seen, rows: Vec::new() }
    }

    /// Takes the next rows of the ranking until there are enough. Reads the metadata of each, so it is left to
    /// the threads that search.
    fn offer_all(&mut self, snapshot: &Snapshot, found: Vec<Found>) -> Result<()> {
        debug_assert!(rayon::current_thread_index().is_some(), "metadata is read on an async worker");
        for found in found {
            if self.rows.len() < self.wanted && self.seen.insert((found.block, found.row)) {
                self.offer(snapshot, found)?;
            }
        }
        if self.bytes > self.max_bytes {
            return Err(Error::AnswerTooLarge { limit: "limits.answer_bytes", max: self.max_bytes });
        }
        Ok(())
    }

    /// Takes the next row of the ranking, unless it is one too many.
    fn offer(&mut self, snapshot: &Snapshot, found: Found) -> Result<()> {
        let values = values_of(&self.grouping.field, snapshot.row(found.block, found.row)?.metadata);
        if values.iter().any(|value| self.full.contains(value)) {
            return Ok(());
        }
        for value in values {
            self.bytes += value.bytes() as u64;
            let count = self.counts.entry(value.clone()).or_default();
            *count += 1;
            if *count >= self.grouping.limit {
                self.full.insert(value);
            }
        }
        self.rows.push(found);
        Ok(())
    }

    /// A filter that leaves out rows of full values; not all of them, but no others.
    fn rest_of(&self, filter: Option<&Filter>) -> Result<Arc<Filter>> {
        let field = text(&self.grouping.field.to_string());
        // An array equals an array as a whole, too, so what is in it is not asked for; and null is what is not there.
        let is_plain = |value: &&Json| !matches!(value, Json::Array(_) | Json::Null);
        let values: Vec<String> = self.full.iter().filter(is_plain).map(Json::to_string).collect();
        let mut parts = vec![format!("{{{field}:{{\"$nin\":[{}]}}}}", values.join(","))];
        if self.full.contains(&Json::Null) {
            parts.push(format!("{{{field}:{{\"$exists\":true}}}}"));
        }
        parts.extend(filter.map(ToString::to_string));
        let rest = format!("{{\"$and\":[{}]}}", parts.join(","));
        Ok(Arc::new(Filter::parse(&rest, "filter", &ANY)?))
    }
}
