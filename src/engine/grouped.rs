//! Answers with a limited number of rows for each value of a field.
//!
//! A ranking is gone through from the best row on, and a row is left out if as many rows before it have one of its
//! values as may. If what was ranked does not suffice, more is: four times as many rows, of those that have none of
//! the values of which no more are taken. That is a filter, so a value that nearly all rows have costs nothing.
//!
//! Invariant: as far as rankings are exact, the answer is a prefix of the whole one without the rows that are left
//! out. What an approximate search finds late is put where its score belongs.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    Engine,
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
    counts: BTreeMap<Json, usize>,
    /// Values of which no more rows are taken.
    full: BTreeSet<Json>,
    /// Of all values.
    bytes: u64,
    max_bytes: u64,
    seen: HashSet<(Block, usize)>,
    rows: Vec<Found>,
}

impl Engine {
    /// The first `wanted` rows of a ranking without those of values that enough rows before have; `found` are the
    /// first `wanted` of all, and `work` what was looked at for them. With what was looked at in all.
    pub(super) async fn grouped(
        &self,
        snapshot: &Arc<Snapshot>,
        ranker: &Ranker,
        filter: Option<Arc<Filter>>,
        grouping: &Grouping,
        (mut found, mut work, wanted): (Vec<Found>, Work, usize),
        now: Timestamp,
    ) -> Result<(Vec<Found>, Work)> {
        let mut taken = Taken::new(grouping.clone(), self.context.answer_bytes);
        let mut size = wanted;
        loop {
            let is_all = found.len() < size;
            let rows = snapshot.clone();
            let offer = move || taken.offer_all(&rows, found, wanted).map(|()| taken);
            taken = self.searchers.run(offer).await?;
            if is_all || taken.rows.len() >= wanted {
                // An order of fields has no scores, and stays.
                taken.rows.sort_by(|one, other| other.score.total_cmp(&one.score));
                return Ok((taken.rows, work));
            }
            size = size.saturating_mul(MORE);
            let rest = taken.rest_of(filter.as_deref())?;
            let more;
            (found, more) = self.best(snapshot, ranker, Some(rest), size, now).await?;
            work += more;
        }
    }
}

/// The first `wanted` of rows without those of values that enough rows before have. As [`Taken::offer_all`].
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
    let mut taken = Taken::new(grouping, max_bytes);
    taken.offer_all(snapshot, found, wanted)?;
    Ok(taken.rows)
}

impl Taken {
    fn new(grouping: Grouping, max_bytes: u64) -> Self {
        let (counts, full) = (BTreeMap::new(), BTreeSet::new());
        Self { grouping, counts, full, bytes: 0, max_bytes, seen: HashSet::new(), rows: Vec::new() }
    }

    /// Takes the next rows of the ranking until there are so many. Reads the metadata of each, so it is left to
    /// the threads that search.
    fn offer_all(&mut self, snapshot: &Snapshot, found: Vec<Found>, wanted: usize) -> Result<()> {
        debug_assert!(rayon::current_thread_index().is_some(), "metadata is read on an async worker");
        for found in found {
            if self.rows.len() < wanted && self.seen.insert((found.block, found.row)) {
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
