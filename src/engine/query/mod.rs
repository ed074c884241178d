//! Searching a snapshot, on all cores, off the async workers.
//!
//! Segments that have an index are searched with it, unless the answer is to be exact; everything else
//! is scanned. The blocks of a snapshot (record batches of segments, chunks of the tail) are divided among the
//! threads of one pool, each thread collects the best rows of its part, and the collections are
//! merged. A batch reads each block once for all its queries with the same filter, and every query of it is
//! answered on the same snapshot. A filter is decided for all rows before any is scored ([`Matches`]).
//!
//! Invariant: an exact answer does not depend on how rows lie in blocks or how blocks were divided. Any
//! answer has visible rows that match only, each once, with its exact score.

mod aggregate;
mod composed;
mod diverse;
mod fusion;
mod indexed;
mod ordered;
mod plan;
#[cfg(test)]
mod tests;
mod text;

use std::{cmp::Ordering, collections::HashMap, ops::AddAssign, sync::Arc};

use rayon::prelude::*;

pub use self::aggregate::{Aggregation, Group, Groups, Measure, values_of};
pub use self::composed::Composed;
pub use self::diverse::{Candidate, diversify};
pub use self::fusion::{Fusion, Scores, fuse};
pub use self::ordered::Ordered;
pub use self::plan::{Filtered, Method, Reason, Step, effort, plan, preference};
pub use self::text::{FieldStatistics, TextAnswer, TextStatistics, TextTarget};

use super::{
    contents::{Block, Known, Matches, Snapshot},
    index::{
        Cost,
        flat::{ChunkView, Queries, scan},
        top::{Scored, TopK},
    },
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    types::{Distance, Filter, IndexType},
};

/// Runs of blocks per thread, so that one which was late to start does not hold up the answer.
const RUNS_PER_THREAD: usize = 4;
/// Products (values times queries) below which waking another thread costs more than it saves:
/// 2 MiB of vectors for one query.
const MIN_DIVIDED: usize = 512 << 10;

/// Values that a light query scans at most: two megabytes.
const LIGHT_VALUES: u64 = 512 << 10;
/// For how many values a row counts whose metadata is read to decide a filter.
const VALUES_PER_READ: u64 = 768;
/// Indexes that it searches at most, and with which effort.
const LIGHT_INDEXES: u64 = 4;
const LIGHT_EFFORT: f32 = 0.85;

/// The threads that search.
#[derive(Debug)]
pub struct Searchers {
    pool: rayon::ThreadPool,
}

/// How near an answer has to come to the exact one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Accuracy {
    /// It is the exact one.
    Exact,
    /// On average it has at least this share of the best rows, more than 0 and less than 1.
    Recall(f32),
    /// So much of an index is looked at, from 0 to 1, where 1 is everything.
    Effort(f32),
}

impl Accuracy {
    /// Whether only the exact answer will do.
    pub fn is_exact(self) -> bool {
        match self {
            Self::Exact => true,
            Self::Recall(share) | Self::Effort(share) => share >= 1.0,
        }
    }
}

/// A query on a snapshot.
#[derive(Debug, Clone)]
pub struct Target {
    /// The vector, of the snapshot's dimension.
    pub vector: Vec<f32>,
    /// The metric.
    pub distance: Distance,
    /// How many rows at most.
    pub top_k: usize,
    /// How exact the answer is to be.
    pub accuracy: Accuracy,
    /// The type of index that is to answer; if missing, the fastest that a segment has.
    pub index: Option<IndexType>,
    /// Which rows may be found; all if missing. Targets that share one are answered together.
    pub filter: Option<Arc<Filter>>,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Best first, equal scores in id order.
    pub found: Vec<Found>,
    /// What was looked at.
    pub work: Work,
}

/// What a query looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Rows whose metadata was read to decide a filter.
    pub read: u64,
    /// Rows that were scanned, without an index.
    pub scanned: u64,
    /// Segments that were searched with an index.
    pub indexed_segments: u64,
    /// What was looked at in their indexes.
    pub indexes: Cost,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.scanned += other.scanned;
        self.indexed_segments += other.indexed_segments;
        self.indexes += other.indexes;
    }
}

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Higher is better.
    pub score: f32,
    /// The block of the snapshot.
    pub block: Block,
    /// The row in the block.
    pub row: usize,
}

impl Searchers {
    /// `threads` of them; 0 means one per core.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub fn new(threads: usize) -> Result<Self> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("search-{index}"))
            // Without a handler a panic would end the process; its query gets an error anyway.
            .panic_handler(|_| tracing::error!("a search thread panicked"))
            .build()
            .map(|pool| Self { pool })
            .map_err(|error| Error::internal(format!("cannot start search threads: {error}")))
    }

    /// The best rows for each target among those visible at `now`: best first, equal scores in id
    /// order.
    ///
    /// # Errors
    /// [`Error::DimensionMismatch`] if there are rows and a target has another dimension, and
    /// [`Error::Corrupt`] if a segment is damaged.
    pub async fn search(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        targets: Vec<Target>,
        now: Timestamp,
    ) -> Result<Vec<Answer>> {
        if snapshot.dimension == 0 {
            return Ok(vec![Answer::default(); targets.len()]);
        }
        check_dimensions(&targets, snapshot.dimension)?;
        // Handing it over and waiting costs more than it takes: with two cores and four clients, 7,900
        // answers a second became 13,800.
        if is_light(&snapshot, &targets) {
            return answer_all(&snapshot, &targets, now);
        }
        self.run(move || answer_all(&snapshot, &targets, now)).await
    }

    /// The rows visible at `now` that match a filter.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a segment is damaged.
    pub async fn matches(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        filter: Arc<Filter>,
        now: Timestamp,
    ) -> Result<Matches> {
        self.matches_rest(snapshot, filter, now, Arc::default()).await
    }

    /// The same, given what was decided before.
    ///
    /// # Errors
    /// As [`Searchers::matches`].
    pub(in crate::engine) async fn matches_rest(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        filter: Arc<Filter>,
        now: Timestamp,
        known: Arc<Known>,
    ) -> Result<Matches> {
        if is_light_filter(&snapshot, &filter) {
            return Matches::of_rest(&snapshot, &filter, now, &known);
        }
        self.run(move || Matches::of_rest(&snapshot, &filter, now, &known)).await
    }

    /// Runs something on the threads that search.
    ///
    /// # Errors
    /// Its own, and [`Error::Internal`] if it panicked.
    pub(in crate::engine) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run_unless_left(|_| work()).await
    }

    /// The same for something that takes long, and asks now and then whether anybody waits for it.
    ///
    /// # Errors
    /// As [`Searchers::run`].
    pub(in crate::engine) async fn run_unless_left<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.pool.spawn(move || {
            // A caller that has gone away needs no answer.
            if !reply.is_closed() {
                let answer = work(&|| reply.is_closed());
                let _ = reply.send(answer);
            }
        });
        answer.await.map_err(|_| Error::internal("a search thread panicked"))?
    }
}

/// Whether that holds for deciding a filter.
fn is_light_filter(snapshot: &Snapshot, filter: &Filter) -> bool {
    Matches::cost(snapshot, filter).saturating_mul(VALUES_PER_READ) <= LIGHT_VALUES
}

/// Whether an answer takes less than about two hundred microseconds, as far as a look at the plan tells.
fn is_light(snapshot: &Snapshot, targets: &[Target]) -> bool {
    let [target] = targets else { return false };
    let values = |step: Step| match step.method {
        Method::Scan(_) => step.rows.saturating_mul(snapshot.dimension as u64),
        Method::Index(IndexType::Ivf, _) => u64::MAX,
        Method::Index(_, effort) if effort.value() > LIGHT_EFFORT => u64::MAX,
        Method::Index(..) => LIGHT_VALUES / LIGHT_INDEXES,
    };
    let filter = target.filter.as_ref().map_or(0, |filter| Matches::cost(snapshot, filter));
    let filter = filter.saturating_mul(VALUES_PER_READ);
    plan(snapshot, target, None).into_iter().map(values).fold(filter, u64::saturating_add) <= LIGHT_VALUES
}

fn check_dimensions(targets: &[Target], expected: usize) -> Result<()> {
    let wrong = targets.iter().position(|target| target.vector.len() != expected);
    wrong.map_or(Ok(()), |index| {
        let actual = targets[index].vector.len();
        Err(Error::DimensionMismatch { field: format!("queries[{index}].vector"), expected, actual })
    })
}

/// Must run on a thread of the pool, whose size it divides by.
fn answer_all(snapshot: &Snapshot, targets: &[Target], now: Timestamp) -> Result<Vec<Answer>> {
    let mut answers = vec![Answer::default(); targets.len()];
    // One filter after the other: what matches each takes a bit per row.
    for (filter, positions) in by_filter(targets) {
        let matches = filter.map(|filter| Matches::of(snapshot, filter, now)).transpose()?;
        answer_like(snapshot, targets, &positions, matches.as_ref(), now, &mut answers)?;
    }
    Ok(answers)
}

/// Targets by what they may find.
fn by_filter(targets: &[Target]) -> Vec<(Option<&Filter>, Vec<usize>)> {
    let mut places = HashMap::new();
    let mut groups: Vec<(Option<&Filter>, Vec<usize>)> = Vec::new();
    for (position, target) in targets.iter().enumerate() {
        let filter = target.filter.as_deref();
        let place = *places.entry(filter.map(std::ptr::from_ref)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, positions)) => positions.push(position),
            None => groups.push((filter, vec![position])),
        }
    }
    groups
}

/// Answers the targets at some positions, all of which may find the same rows.
fn answer_like(
    snapshot: &Snapshot,
    targets: &[Target],
    positions: &[usize],
    matches: Option<&Matches>,
    now: Timestamp,
    answers: &mut [Answer],
) -> Result<()> {
    let search = Search::new(snapshot, targets, positions, matches, now);
    for (batch, mut collectors) in search.batches.iter().zip(search.run(search.runs(positions.len()))?) {
        let work = search.search_indexes(batch, targets, &mut collectors)?;
        for ((position, collector), work) in batch.positions.iter().zip(collectors).zip(work) {
            let best = collector.into_sorted(&|left, right| search.tie(left, right));
            let found = best.into_iter().map(|scored| search.found(scored)).collect();
            answers[*position] = Answer { found, work };
        }
    }
    Ok(())
}

/// The targets that are answered in the same way.
struct Batch {
    manner: Manner,
    queries: Queries,
    /// The target of each query.
    positions: Vec<usize>,
    /// An empty collector for each query.
    collectors: Vec<TopK>,
}

impl Batch {
    /// Of the targets at some positions.
    fn of_like(targets: &[Target], positions: &[usize]) -> Vec<Self> {
        let mut like: Vec<(Manner, Vec<usize>)> = Vec::new();
        for position in positions.iter().copied() {
            let manner = Manner::of(&targets[position]);
            match like.iter_mut().find(|(other, _)| *other == manner) {
                Some((_, positions)) => positions.push(position),
                None => like.push((manner, vec![position])),
            }
        }
        let batch = |(manner, positions): (Manner, Vec<usize>)| {
            let members = || positions.iter().map(|position| &targets[*position]);
            Self {
                manner,
                queries: Queries::new(manner.distance, members().map(|target| target.vector.as_slice())),
                collectors: members().map(|target| TopK::new(target.top_k)).collect(),
                positions,
            }
        };
        like.into_iter().map(batch).collect()
    }
}

/// In which way a target is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Manner {
    distance: Distance,
    exact: bool,
    index: Option<IndexType>,
}

impl Manner {
    fn of(target: &Target) -> Self {
        Self { distance: target.distance, exact: target.accuracy.is_exact(), index: target.index }
    }
}

/// Collectors for each query of each batch.
type Collectors = Vec<Vec<TopK>>;

struct Search<'a> {
    snapshot: &'a Snapshot,
    /// The rows that may be found, if not all that are visible.
    matches: Option<&'a Matches>,
    now: Timestamp,
    blocks: Vec<Block>,
    /// The number of the first block of each segment.
    first_blocks: Vec<usize>,
    batches: Vec<Batch>,
}

impl<'a> Search<'a> {
    fn new(
        snapshot: &'a Snapshot,
        targets: &[Target],
        positions: &[usize],
        matches: Option<&'a Matches>,
        now: Timestamp,
    ) -> Self {
        let mut first_blocks = Vec::with_capacity(snapshot.segments.len());
        let mut next = 0;
        for view in &snapshot.segments {
            first_blocks.push(next);
            next += view.segment().batch_count();
        }
        let batches = Batch::of_like(targets, positions);
        Self { snapshot, matches, now, blocks: snapshot.blocks(), first_blocks, batches }
    }

    /// Into how many runs to divide the blocks that are scanned for so many targets.
    fn runs(&self, targets: usize) -> usize {
        let scanned = |block: &Block| self.batches.iter().any(|batch| !self.is_covered(batch, *block));
        let blocks = self.blocks.iter().filter(|block| scanned(block));
        let rows = match self.matches {
            Some(matches) => usize::try_from(matches.count()).unwrap_or(usize::MAX),
            None => blocks.map(|block| self.snapshot.block_rows(*block)).sum(),
        };
        let divided = rows.saturating_mul(self.snapshot.dimension).saturating_mul(targets) >= MIN_DIVIDED;
        if divided { rayon::current_num_threads() * RUNS_PER_THREAD } else { 1 }
    }

    /// Scans all blocks, divided into at most so many runs.
    fn run(&self, runs: usize) -> Result<Collectors> {
        let blocks = self.blocks.len();
        if runs <= 1 || blocks <= 1 {
            return self.scan(0..blocks);
        }
        let length = blocks.div_ceil(runs);
        (0..blocks.div_ceil(length))
            .into_par_iter()
            .map(|run| self.scan(run * length..blocks.min((run + 1) * length)))
            .try_reduce_with(|left, right| Ok(self.merge(left, right)))
            .unwrap_or_else(|| Ok(Collectors::default()))
    }

    /// Scans a run of blocks.
    fn scan(&self, run: std::ops::Range<usize>) -> Result<Collectors> {
        let mut collectors: Collectors = self.batches.iter().map(|batch| batch.collectors.clone()).collect();
        for index in run {
            if self.batches.iter().all(|batch| self.is_covered(batch, self.blocks[index])) {
                continue;
            }
            let matching = self.matches.map(|matches| matches.of_block(self.snapshot, self.blocks[index]));
            if matching.as_ref().is_some_and(|words| words.iter().all(|word| *word == 0)) {
                continue;
            }
            let vectors = self.snapshot.vectors(self.blocks[index], self.now)?;
            let view = ChunkView {
                vectors: vectors.values,
                dimension: self.snapshot.dimension,
                inverse_norms: vectors.inverse_norms,
                live: matching.as_ref().unwrap_or(&vectors.visible),
                first_row: row_number(index),
            };
            for (batch, collectors) in self.batches.iter().zip(&mut collectors) {
                if self.is_covered(batch, self.blocks[index]) {
                    continue;
                }
                scan(&view, &batch.queries, collectors, &|left, right| self.tie(left, right));
            }
        }
        Ok(collectors)
    }

    fn merge(&self, mut left: Collectors, right: Collectors) -> Collectors {
        for (into, from) in left.iter_mut().flatten().zip(right.into_iter().flatten()) {
            into.merge(from, &|left, right| self.tie(left, right));
        }
        left
    }

    /// Rows of equal score come in id order; a visible id is in one row only.
    fn tie(&self, left: u64, right: u64) -> Ordering {
        let id = |number| {
            let (block, row) = place(number);
            // It was read when it was scanned, so it can be read again.
            self.snapshot.id(self.blocks[block], row).unwrap_or_default()
        };
        id(left).cmp(id(right))
    }

    fn found(&self, scored: Scored) -> Found {
        let (block, row) = place(scored.row);
        Found { score: scored.score, block: self.blocks[block], row }
    }
}

/// The number of a block's first row; the others follow. A block has less than 2³² rows.
fn row_number(block: usize) -> u64 {
    (block as u64) << 32
}

/// The block of a numbered row, and the row in it.
fn place(number: u64) -> (usize, usize) {
    ((number >> 32) as usize, (number & u64::from(u32::MAX)) as usize)
}
