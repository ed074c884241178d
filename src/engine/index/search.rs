//! One search of one index: what it is asked, what it may return, and what it cost.

use std::cmp::Ordering;

use super::{
    VectorSource, flat,
    kernel::prefetch,
    top::{Scored, Tie, TopK},
};
use crate::{
    error::{Error, Result},
    types::{Distance, set_bits},
};

/// Rows that are scored before the search asks whether it should stop.
const ROWS_BETWEEN_STOPS: u64 = 1024;

/// Rows that memory is asked for ahead of the one that is scored.
pub(super) const AHEAD: usize = 3;
/// Rows that are scored together: while one group is, memory brings the next
const TOGETHER: usize = 4;
/// so many. Of 20 rows of 1.5 KiB in the third-level cache of an AMD EPYC, in a loop that does nothing else, each
/// took 66 ns with one, 36 with two and 34 with all.
const GROUPS_AHEAD: usize = 2;

/// A query vector, prepared for a metric.
#[derive(Debug, Clone)]
pub struct Query {
    distance: Distance,
    vector: Vec<f32>,
    /// `‖vector‖²`
    square: f32,
}

impl Query {
    /// Prepares a query.
    pub fn new(distance: Distance, vector: &[f32]) -> Self {
        let vector = flat::prepare(distance, vector);
        let square = vector.iter().map(|value| value * value).sum();
        Self { distance, vector, square }
    }

    /// The metric.
    pub fn distance(&self) -> Distance {
        self.distance
    }

    /// The score of a row by its inner product with the query, less half its square for distances: the
    /// number that orders rows as their scores do, and that indexes estimate.
    pub fn score_of(&self, product: f32) -> f32 {
        match self.distance {
            Distance::Cosine | Distance::DotProduct => product,
            Distance::Euclidean => -(self.square - 2.0 * product).max(0.0).sqrt(),
        }
    }

    /// The number of which [`Query::score_of`] makes this score.
    pub fn product_of(&self, score: f32) -> f32 {
        match self.distance {
            Distance::Cosine | Distance::DotProduct => score,
            Distance::Euclidean => (self.square - score * score) / 2.0,
        }
    }

    /// The values: of length 1 for the cosine (or zero), else as they came.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }
}

/// How much of an index is looked at, from 0 (the least) to 1 (everything, which is exact).
///
/// What lies between is each index's own affair, but more effort never finds less.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Effort(f32);

impl Effort {
    /// Everything.
    pub const FULL: Self = Self(1.0);

    /// Brought into the range from 0 to 1.
    pub fn new(effort: f32) -> Self {
        Self(if effort.is_nan() { 1.0 } else { effort.clamp(0.0, 1.0) })
    }

    /// The larger one.
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// From 0 to 1.
    pub fn value(self) -> f32 {
        self.0
    }

    /// Whether everything is looked at.
    pub fn is_full(self) -> bool {
        self.0 >= 1.0
    }
}

/// The rows that a search may return.
#[derive(Clone, Copy)]
pub enum Mask<'a> {
    /// All of them.
    All,
    /// Those whose bit is set, lowest first; rows beyond the last word are not.
    Bits(&'a [u64]),
    /// Those for which it is true. It is asked about candidates only.
    Only(&'a (dyn Fn(u32) -> bool + Sync)),
}

impl std::fmt::Debug for Mask<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::All => "All",
            Self::Bits(_) => "Bits",
            Self::Only(_) => "Only",
        })
    }
}

impl Mask<'_> {
    /// Whether a row may be returned.
    #[inline]
    pub fn admits(&self, row: u32) -> bool {
        match self {
            Self::All => true,
            Self::Bits(words) => words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1),
            Self::Only(admits) => admits(row),
        }
    }

    /// How many of so many rows may be returned, if that is known.
    pub(super) fn count(&self, rows: usize) -> Option<usize> {
        match self {
            Self::All => Some(rows),
            Self::Bits(words) => {
                let (whole, rest) = words.split_at(words.len().min(rows / 64));
                let rest = rest.first().map_or(0, |word| word & ((1 << (rows % 64)) - 1));
                Some(whole.iter().chain([&rest]).map(|word| word.count_ones() as usize).sum())
            }
            Self::Only(_) => None,
        }
    }
}

/// A search of one index.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The query, of the metric that the index was built for.
    pub query: &'a Query,
    /// The rows that the index was built from.
    pub rows: &'a dyn VectorSource,
    /// Which of them may be returned.
    pub mask: Mask<'a>,
    /// How much to look at.
    pub effort: Effort,
    /// Asked now and then; once it is true, the search ends with what it has.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// A row that memory was asked for.
#[derive(Clone, Copy)]
pub(super) struct Fetched<'a> {
    row: u32,
    vector: &'a [f32],
    inverse_norm: &'a f32,
}

impl<'a> Request<'a> {
    /// Asks memory for a row that is going to be scored.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the row is damaged, or if there is no such row.
    pub(super) fn fetch(&self, row: u32) -> Result<Fetched<'a>> {
        let fetched = self.find(row)?;
        prefetch(fetched.vector);
        prefetch(std::slice::from_ref(fetched.inverse_norm));
        Ok(fetched)
    }

    fn find(&self, row: u32) -> Result<Fetched<'a>> {
        if row as usize >= self.rows.rows() {
            return Err(no_such_row(row));
        }
        let (vector, inverse_norm) = self.rows.row(row)?;
        Ok(Fetched { row, vector, inverse_norm })
    }

    /// The score of a row, to the bit as an exact search has it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the row is damaged, or if there is no such row.
    pub fn score(&self, row: u32) -> Result<f32> {
        let Fetched { vector, inverse_norm, .. } = self.find(row)?;
        Ok(flat::score(self.query, vector, *inverse_norm))
    }
}

/// Rows that memory was asked for and that are scored together.
struct Together<'a> {
    rows: [u32; TOGETHER],
    vectors: [&'a [f32]; TOGETHER],
    inverse_norms: [&'a f32; TOGETHER],
    count: usize,
}

impl Default for Together<'_> {
    fn default() -> Self {
        Self { rows: [0; TOGETHER], vectors: [&[]; TOGETHER], inverse_norms: [&0.0; TOGETHER], count: 0 }
    }
}

impl<'a> Together<'a> {
    /// Adds a row; there is room for [`TOGETHER`].
    fn push(&mut self, fetched: Fetched<'a>) {
        self.rows[self.count] = fetched.row;
        self.vectors[self.count] = fetched.vector;
        self.inverse_norms[self.count] = fetched.inverse_norm;
        self.count += 1;
    }

    /// Scores them exactly, and adds them.
    fn score(&self, request: &Request<'_>, best: &mut Best<'_>) {
        let mut scores = [0.0; TOGETHER];
        let vectors = &self.vectors[..self.count];
        for (vector, inverse_norm) in vectors.iter().zip(self.inverse_norms) {
            request.rows.is_read(vector, inverse_norm);
        }
        let norms = self.inverse_norms.map(|norm| *norm);
        flat::score_near(request.query, vectors, &norms[..self.count], &mut scores[..self.count]);
        for (row, score) in self.rows.iter().zip(&scores[..self.count]) {
            best.push(*row, *score);
        }
    }
}

/// Collects the best rows of one or more searches, with their exact scores.
pub struct Best<'a> {
    top: &'a mut TopK,
    /// The number of a row beyond this index.
    number: &'a (dyn Fn(u32) -> u64 + 'a),
    tie: &'a Tie<'a>,
}

impl<'a> Best<'a> {
    /// Collects into `top`, where a row counts as `number(row)`.
    pub fn new(top: &'a mut TopK, number: &'a (dyn Fn(u32) -> u64 + 'a), tie: &'a Tie<'a>) -> Self {
        Self { top, number, tie }
    }

    /// How many rows are kept.
    pub fn limit(&self) -> usize {
        self.top.limit()
    }

    /// A row with a lower score is certainly not among the best.
    pub fn threshold(&self) -> f32 {
        self.top.threshold()
    }

    /// The same, as high as what was pushed allows: it takes a look at all that is kept.
    pub fn settle(&mut self) -> f32 {
        self.top.settle(self.tie)
    }

    /// Adds a row that this collector has not seen.
    pub fn push(&mut self, row: u32, score: f32) {
        if score < self.top.threshold() {
            return;
        }
        self.top.push(score, (self.number)(row), self.tie);
    }

    /// Scores all rows exactly that may be returned.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if one is damaged.
    pub fn score_all(&mut self, request: &Request<'_>) -> Result<Cost> {
        let rows = 0..request.rows.rows() as u32;
        match request.mask {
            Mask::All => self.score_each(request, rows),
            Mask::Bits(words) => {
                self.score_each(request, set_bits(words).take_while(|row| rows.contains(row)))
            }
            Mask::Only(admits) => self.score_each(request, rows.filter(|row| admits(*row))),
        }
    }

    /// Scores rows exactly; each waits a little for memory to bring it.
    ///
    /// # Errors
    /// As [`Best::score`].
    pub(super) fn score_each(
        &mut self,
        request: &Request<'_>,
        rows: impl Iterator<Item = u32>,
    ) -> Result<Cost> {
        let mut cost = Cost::default();
        let mut rows = rows.peekable();
        let mut waiting: [Together<'_>; GROUPS_AHEAD] = Default::default();
        while rows.peek().is_some() || waiting.iter().any(|group| group.count > 0) {
            let mut next = Together::default();
            for row in rows.by_ref().take(TOGETHER) {
                next.push(request.fetch(row)?);
            }
            if cost.scored.is_multiple_of(ROWS_BETWEEN_STOPS) && (request.stop)() {
                cost.stopped = true;
                break;
            }
            waiting[0].score(request, self);
            cost.scored += waiting[0].count as u64;
            waiting.rotate_left(1);
            waiting[GROUPS_AHEAD - 1] = next;
        }
        Ok(cost)
    }

    /// Scores a row exactly that memory was asked for, and adds it.
    pub(super) fn score_fetched(&mut self, request: &Request<'_>, fetched: Fetched<'_>) {
        let Fetched { row, vector, inverse_norm } = fetched;
        request.rows.is_read(vector, inverse_norm);
        self.push(row, flat::score(request.query, vector, *inverse_norm));
    }

    /// Scores a row exactly, and adds it.
    ///
    /// # Errors
    /// As [`Request::score`].
    pub fn score(&mut self, request: &Request<'_>, row: u32) -> Result<f32> {
        let score = request.score(row)?;
        self.push(row, score);
        Ok(score)
    }
}

#[cold]
fn no_such_row(row: u32) -> Error {
    Error::Corrupt { object: "an index".into(), reason: format!("it has row {row}, its segment has not") }
}

/// What a search looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Posting lists, or hops in a graph.
    pub visited: u64,
    /// Rows that were scored by their codes.
    pub estimated: u64,
    /// Rows that were scored exactly.
    pub scored: u64,
    /// Whether it was stopped before it was done.
    pub stopped: bool,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.visited += other.visited;
        self.estimated += other.estimated;
        self.scored += other.scored;
        self.stopped |= other.stopped;
    }
}

/// Searches a single index whose rows have no other numbers: the best first, equal scores in the
/// order of the rows.
///
/// # Errors
/// As [`super::VectorIndex::search`].
pub fn best_of(
    index: &dyn super::VectorIndex,
    request: &Request<'_>,
    limit: usize,
) -> Result<(Vec<Scored>, Cost)> {
    let tie = |left: u64, right: u64| -> Ordering { left.cmp(&right) };
    let mut top = TopK::new(limit);
    let cost = index.search(request, &mut Best::new(&mut top, &u64::from, &tie))?;
    Ok((top.into_sorted(&tie), cost))
}
