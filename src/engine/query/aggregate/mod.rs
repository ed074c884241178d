//! Counts, sums and the like over the rows that match, by group.
//!
//! Every visible row is looked at once, blocks side by side. Invariant: the answer does not depend on how
//! rows lie in blocks: sums are exact until they are rounded at the end ([`sum`]), and groups are
//! ordered by what they are.

mod sum;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use rayon::prelude::*;

use self::sum::Sum;
use super::Searchers;
use crate::{
    clock::Timestamp,
    engine::contents::{Block, Matches, Snapshot},
    error::{Error, Result},
    types::{
        Filter,
        filter::{Json, Number, Path, Read, Unreadable, Value},
        set_bits,
    },
};

/// What to compute.
#[derive(Debug, Clone)]
pub struct Aggregation {
    /// What is wanted of each group.
    pub measures: Vec<Measure>,
    /// The fields whose values make the groups; one group if there are none.
    pub group_by: Vec<Path>,
    /// Which rows count; all if missing.
    pub filter: Option<Arc<Filter>>,
    /// How many groups to answer with at most.
    pub limit: usize,
    /// How many groups there may be at most (`limits.groups`).
    pub max_groups: usize,
    /// How many bytes their values may take in memory at most (`limits.answer_bytes`).
    pub max_bytes: u64,
}

/// What is wanted of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// How many rows there are.
    Count,
    /// The numbers of a field, added.
    Sum(Path),
    /// Their mean.
    Avg(Path),
    /// The least of them.
    Min(Path),
    /// The greatest of them.
    Max(Path),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Groups {
    /// Those with the most rows first, then in the order of their values.
    pub groups: Vec<Group>,
    /// How many there are, those that the limit left out included.
    pub total: u64,
}

/// A group of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The value of each field that makes the groups.
    pub key: Vec<Json>,
    /// Its rows.
    pub rows: u64,
    /// What was wanted; none of numbers where there are none, or beyond the range of a 64-bit float.
    pub values: Vec<Option<Number>>,
}

impl Searchers {
    /// Computes an aggregation over the rows that are visible at `now`.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] if there are too many groups, [`Error::Corrupt`] if a segment is damaged.
    pub async fn aggregate(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        aggregation: Aggregation,
        now: Timestamp,
    ) -> Result<Groups> {
        self.run(move || aggregate(&snapshot, &aggregation, now)).await
    }
}

fn aggregate(snapshot: &Snapshot, aggregation: &Aggregation, now: Timestamp) -> Result<Groups> {
    let filter = aggregation.filter.as_deref().filter(|filter| !filter.is_everything());
    let matches = filter.map(|filter| Matches::of(snapshot, filter, now)).transpose()?;
    let blocks = snapshot.blocks();
    let of_block = |block: &Block| {
        let rows = match &matches {
            Some(matches) => matches.of_block(snapshot, *block),
            None => snapshot.vectors(*block, now)?.visible,
        };
        aggregation.of_block(snapshot, *block, &rows)
    };
    let none = || Ok(Found::default());
    let mut found = blocks
        .par_iter()
        .map(of_block)
        .try_reduce_with(|left, right| aggregation.merged(left, right))
        .unwrap_or_else(none)?;
    if aggregation.group_by.is_empty() {
        found.group(Vec::new(), aggregation);
    }
    Ok(aggregation.answer(found))
}

/// The groups that were found.
#[derive(Debug, Default)]
struct Found {
    groups: BTreeMap<Vec<Json>, State>,
    /// Of the text in their keys.
    bytes: u64,
}

impl Found {
    /// The group of a key.
    fn group(&mut self, key: Vec<Json>, aggregation: &Aggregation) -> &mut State {
        match self.groups.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.bytes += entry.key().iter().map(|value| value.bytes() as u64).sum::<u64>();
                entry.insert(aggregation.nothing())
            }
        }
    }
}

/// What is known of a group.
#[derive(Debug, Clone)]
struct State {
    rows: u64,
    values: Vec<Partial>,
}

/// What is known of a measure.
#[derive(Debug, Clone)]
enum Partial {
    Count,
    Sum(Sum),
    Avg(Sum),
    Min(Option<Number>),
    Max(Option<Number>),
}

impl Aggregation {
    fn of_block(&self, snapshot: &Snapshot, block: Block, rows: &[u64]) -> Result<Found> {
        let mut found = Found::default();
        for row in set_bits(rows) {
            let metadata = snapshot.row(block, row as usize)?.metadata;
            for key in self.keys(metadata)? {
                let state = found.group(key, self);
                state.rows += 1;
                for (measure, partial) in self.measures.iter().zip(&mut state.values) {
                    partial.add(measure, metadata);
                }
            }
            self.check(&found)?;
        }
        Ok(found)
    }

    /// The groups that a row belongs to: one, unless a field has several values.
    fn keys(&self, metadata: Option<&str>) -> Result<Vec<Vec<Json>>> {
        let mut keys = vec![Vec::with_capacity(self.group_by.len())];
        for field in &self.group_by {
            let values = values_of(field, metadata);
            self.check_count(keys.len().saturating_mul(values.len()))?;
            keys = keys
                .into_iter()
                .flat_map(|key| {
                    values.iter().map(move |value| [key.as_slice(), std::slice::from_ref(value)].concat())
                })
                .collect();
        }
        Ok(keys)
    }

    fn check(&self, found: &Found) -> Result<()> {
        self.check_count(found.groups.len())?;
        at_most("limits.answer_bytes", self.max_bytes, found.bytes)
    }

    fn check_count(&self, groups: usize) -> Result<()> {
        at_most("limits.groups", self.max_groups as u64, groups as u64)
    }

    fn nothing(&self) -> State {
        State { rows: 0, values: self.measures.iter().map(Partial::of).collect() }
    }

    fn merged(&self, left: Found, right: Found) -> Result<Found> {
        let is_less = left.groups.len() < right.groups.len();
        let (mut all, fewer) = if is_less { (right, left) } else { (left, right) };
        for (key, state) in fewer.groups {
            let into = all.group(key, self);
            into.rows += state.rows;
            into.values.iter_mut().zip(&state.values).for_each(|(into, from)| into.merge(from));
        }
        self.check(&all)?;
        Ok(all)
    }

    fn answer(&self, found: Found) -> Groups {
        let total = found.groups.len() as u64;
        let mut found: Vec<_> = found.groups.into_iter().collect();
        // Stable, so that equal counts stay in the order of their keys.
        found.sort_by_key(|(_, state)| Reverse(state.rows));
        found.truncate(self.limit);
        let group = |(key, state): (Vec<Json>, State)| Group {
            key,
            values: state.values.iter().map(|partial| partial.value(state.rows)).collect(),
            rows: state.rows,
        };
        Groups { groups: found.into_iter().map(group).collect(), total }
    }
}

fn at_most(limit: &'static str, max: u64, actual: u64) -> Result<()> {
    if actual <= max {
        return Ok(());
    }
    Err(Error::LimitExceeded { field: "group_by".to_owned(), limit, max, actual })
}

impl Partial {
    fn of(measure: &Measure) -> Self {
        match measure {
            Measure::Count => Self::Count,
            Measure::Sum(_) => Self::Sum(Sum::default()),
            Measure::Avg(_) => Self::Avg(Sum::default()),
            Measure::Min(_) => Self::Min(None),
            Measure::Max(_) => Self::Max(None),
        }
    }

    fn add(&mut self, measure: &Measure, metadata: Option<&str>) {
        match measure {
            Measure::Count => {}
            Measure::Sum(field) | Measure::Avg(field) | Measure::Min(field) | Measure::Max(field) => {
                numbers(field, metadata, |number| self.take(number));
            }
        }
    }

    fn take(&mut self, number: Number) {
        match self {
            Self::Count => {}
            Self::Sum(sum) | Self::Avg(sum) => sum.add(number),
            Self::Min(least) => *least = Some(least.map_or(number, |least| least.min(number))),
            Self::Max(greatest) => *greatest = Some(greatest.map_or(number, |greatest| greatest.max(number))),
        }
    }

    /// Takes what another of the same measure knows.
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Sum(sum), Self::Sum(other)) | (Self::Avg(sum), Self::Avg(other)) => sum.merge(other),
            (into, Self::Min(Some(number)) | Self::Max(Some(number))) => into.take(*number),
            _ => {}
        }
    }

    fn value(&self, rows: u64) -> Option<Number> {
        match self {
            Self::Count => Some(Number::Int(i128::from(rows))),
            Self::Sum(sum) => sum.total(),
            Self::Avg(sum) => sum.mean().map(Number::Float),
            Self::Min(number) | Self::Max(number) => *number,
        }
    }
}

/// The different values of a field; null if there is none, or if the metadata cannot be read.
pub fn values_of(field: &Path, metadata: Option<&str>) -> Vec<Json> {
    let mut values = Vec::new();
    let read = field.visit(metadata.unwrap_or("{}"), &mut |value| values.push(whole(value.clone())));
    let mut values: Vec<Json> = match read {
        Ok(()) => values.into_iter().flatten().collect(),
        Err(_) => Vec::new(),
    };
    values.sort_unstable();
    values.dedup();
    if values.is_empty() { vec![Json::Null] } else { values }
}

fn whole(value: Value<'_>) -> Read<Json> {
    Json::of::<Unreadable>(value, &mut || Ok(()))
}

/// The numbers of a field.
fn numbers(field: &Path, metadata: Option<&str>, mut take: impl FnMut(Number)) {
    let mut numbers = Vec::new();
    let read = field.visit(metadata.unwrap_or("{}"), &mut |value| {
        if let Value::Number(number) = value {
            numbers.push(*number);
        }
    });
    if read.is_ok() {
        numbers.into_iter().for_each(&mut take);
    }
}
