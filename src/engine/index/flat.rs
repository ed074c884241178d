//! Exact search: every live row of a chunk is scored against every query.
//!
//! The chunk is cut into blocks that stay in the second-level cache, and all queries look at a
//! block before the next one is read, so a batch reads memory once.
//!
//! Invariant: the score of a finite vector is a finite number, the one that exact arithmetic gives
//! but for rounding, however large or small the values. Single precision cannot hold every square,
//! so the few products that left its range are computed again in double precision; a result beyond
//! the range of `f32` is its largest number. (Vectors with a NaN or infinite value get any score,
//! a NaN at worst, and that counts as the lowest one.)

use super::{
    Query,
    kernel::{Kernel, Rows, Selection},
    top::{Tie, TopK},
};
use crate::types::Distance;

/// Most bytes of vectors in a block (if that is a row at all): a part of a second-level cache.
const BLOCK_BYTES: usize = 256 << 10;
/// Most rows in a block.
const BLOCK_ROWS: usize = 256;
/// Queries per call of the kernel, a multiple of what each kernel computes at a time; many, since the
/// first of a call are read as if the block came from memory.
const GROUP: usize = 36;
/// Scores that are compared with the threshold at once.
const COMPARED: usize = 16;
/// Norms from one over this to this are computed with all digits of single precision, and their
/// squares, too, as far as they are used.
const SAFE_INVERSE_NORM: f32 = 1e30;
/// Stands for a score that has to be computed in double precision; no threshold is above it.
const UNKNOWN: f32 = f32::INFINITY;
/// Squared distances below it may have lost digits to underflow.
const SAFE_SQUARE: f32 = 1e-30;

/// A run of rows in memory.
#[derive(Debug, Clone, Copy)]
pub struct ChunkView<'a> {
    /// The vectors, row after row.
    pub vectors: &'a [f32],
    /// Values per row.
    pub dimension: usize,
    /// `1 / ‖row‖₂` for each row; 0 for a zero vector.
    pub inverse_norms: &'a [f32],
    /// A bit per row, lowest first: whether the row counts. Rows beyond the last word do not.
    pub live: &'a [u64],
    /// The number of the first row; collectors get this plus the position.
    pub first_row: u64,
}

/// Queries of one metric, prepared for scanning any number of chunks.
#[derive(Debug, Clone)]
pub struct Queries {
    distance: Distance,
    /// Of length 1 for the cosine (or zero), which keeps products in range; else as they came.
    vectors: Vec<Vec<f32>>,
}

impl Queries {
    /// Prepares queries.
    pub fn new<'v>(distance: Distance, vectors: impl IntoIterator<Item = &'v [f32]>) -> Self {
        Self { distance, vectors: vectors.into_iter().map(|vector| prepare(distance, vector)).collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }
}

/// A query vector as the metric needs it.
pub(super) fn prepare(distance: Distance, vector: &[f32]) -> Vec<f32> {
    match distance {
        Distance::Cosine => unit(vector),
        Distance::DotProduct | Distance::Euclidean => vector.to_vec(),
    }
}

/// The score of one row, to the bit as a scan computes it.
///
/// # Panics
/// If the query has another dimension than the row.
pub fn score(query: &Query, row: &[f32], inverse_norm: f32) -> f32 {
    let kernel = Kernel::detected();
    let table = Rows::new(row, row.len(), Selection::All);
    let mut product = [0.0];
    match query.distance() {
        Distance::Cosine | Distance::DotProduct => kernel.dot(&[query.vector()], &table, &mut product),
        Distance::Euclidean => kernel.squared_l2(&[query.vector()], &table, &mut product),
    }
    bound_scores(query.distance(), &mut product, &[inverse_norm]);
    match product[0] {
        UNKNOWN => exact_score(query.distance(), query.vector(), row),
        score => score,
    }
}

/// The scores of rows that lie anywhere, but near the processor already, each to the bit as [`score`] has it.
///
/// # Panics
/// If the query has another dimension than a row, or there is not one norm and one place for a score per row.
pub(super) fn score_near(query: &Query, rows: &[&[f32]], inverse_norms: &[f32], scores: &mut [f32]) {
    let kernel = Kernel::detected();
    let table = Rows::scattered(rows, query.vector().len());
    match query.distance() {
        Distance::Cosine | Distance::DotProduct => kernel.dot(&[query.vector()], &table, scores),
        Distance::Euclidean => kernel.squared_l2(&[query.vector()], &table, scores),
    }
    bound_scores(query.distance(), scores, inverse_norms);
    for (score, row) in scores.iter_mut().zip(rows).filter(|(score, _)| **score == UNKNOWN) {
        *score = exact_score(query.distance(), query.vector(), row);
    }
}

/// Scores all live rows of a chunk for all queries and offers them to the collector of each query.
///
/// `tie` orders rows with equal scores, by row number.
///
/// # Panics
/// If a query has another dimension than the chunk, or there is not one collector per query.
pub fn scan(chunk: &ChunkView<'_>, queries: &Queries, collectors: &mut [TopK], tie: &Tie<'_>) {
    scan_with(Kernel::detected(), chunk, queries, collectors, tie);
}

fn scan_with(
    kernel: Kernel,
    chunk: &ChunkView<'_>,
    queries: &Queries,
    collectors: &mut [TopK],
    tie: &Tie<'_>,
) {
    assert_eq!(queries.len(), collectors.len(), "one collector per query");
    // One query has small buffers: clearing large ones would take longer than it has to wait for memory.
    if queries.len() == 1 {
        scan_groups::<1>(kernel, chunk, queries, collectors, tie);
    } else {
        scan_groups::<GROUP>(kernel, chunk, queries, collectors, tie);
    }
}

/// Scans with at most `G` queries per call of the kernel.
fn scan_groups<const G: usize>(
    kernel: Kernel,
    chunk: &ChunkView<'_>,
    queries: &Queries,
    collectors: &mut [TopK],
    tie: &Tie<'_>,
) {
    let rows = chunk.inverse_norms.len();
    assert_eq!(Some(chunk.vectors.len()), rows.checked_mul(chunk.dimension), "a norm per row");
    let mut positions = [0; BLOCK_ROWS];
    let mut norms = [0.0; BLOCK_ROWS];
    let mut products = [[0.0; BLOCK_ROWS]; G];
    let block_rows = (BLOCK_BYTES / size_of::<f32>() / chunk.dimension.max(1)).clamp(1, BLOCK_ROWS);
    for start in (0..rows).step_by(block_rows) {
        let end = rows.min(start + block_rows);
        let live = live_rows(chunk.live, start, end, &mut positions);
        let block = Block::new(chunk, start, end, live, G == 1);
        let count = block.live_rows();
        if count == 0 {
            continue;
        }
        let inverse_norms = block.inverse_norms(&mut norms);
        for (vectors, collectors) in queries.vectors.chunks(G).zip(collectors.chunks_mut(G)) {
            let mut group: [&[f32]; G] = [&[]; G];
            for (slot, vector) in group.iter_mut().zip(vectors) {
                *slot = vector;
            }
            let group = &group[..vectors.len()];
            let products = &mut products.as_flattened_mut()[..vectors.len() * block.table.count()];
            match queries.distance {
                Distance::Cosine | Distance::DotProduct => kernel.dot(group, &block.table, products),
                Distance::Euclidean => kernel.squared_l2(group, &block.table, products),
            }
            let products = block.only_live(products).chunks_exact_mut(count);
            for ((vector, products), collector) in vectors.iter().zip(products).zip(collectors) {
                bound_scores(queries.distance, products, inverse_norms);
                block.offer(queries.distance, vector, products, collector, tie);
            }
        }
    }
}

/// Some rows of a chunk, and which of them are live.
struct Block<'a> {
    chunk: &'a ChunkView<'a>,
    start: usize,
    end: usize,
    /// Counted from `start`.
    live: Selection<'a>,
    /// What the kernel computes: the live rows, or all of them.
    table: Rows<'a>,
}

impl<'a> Block<'a> {
    fn new(chunk: &'a ChunkView<'a>, start: usize, end: usize, live: Selection<'a>, streams: bool) -> Self {
        let vectors = &chunk.vectors[start * chunk.dimension..end * chunk.dimension];
        // Memory is faster at reading on than at skipping a row here and there.
        let computed = match live {
            Selection::These(rows) if streams && 2 * rows.len() >= end - start => Selection::All,
            live => live,
        };
        Self { chunk, start, end, live, table: Rows::new(vectors, chunk.dimension, computed) }
    }

    /// How many rows are live.
    fn live_rows(&self) -> usize {
        match self.live {
            Selection::All => self.end - self.start,
            Selection::These(positions) => positions.len(),
        }
    }

    /// Moves the products of live rows to the front, if one query was computed on dead rows, too.
    fn only_live<'p>(&self, products: &'p mut [f32]) -> &'p mut [f32] {
        match self.live {
            Selection::These(positions) if positions.len() < self.table.count() => {
                for (to, from) in positions.iter().enumerate() {
                    products[to] = products[*from as usize];
                }
                &mut products[..positions.len()]
            }
            _ => products,
        }
    }

    /// The number in the chunk of a live row.
    fn row(&self, index: usize) -> usize {
        match self.live {
            Selection::All => self.start + index,
            Selection::These(positions) => self.start + positions[index] as usize,
        }
    }

    /// The inverse norms of the live rows.
    fn inverse_norms<'n>(&self, buffer: &'n mut [f32; BLOCK_ROWS]) -> &'n [f32]
    where
        'a: 'n,
    {
        let all = &self.chunk.inverse_norms[self.start..self.end];
        let Selection::These(positions) = self.live else { return all };
        for (norm, position) in buffer.iter_mut().zip(positions) {
            *norm = all[*position as usize];
        }
        &buffer[..positions.len()]
    }

    /// Offers the rows whose score or bound is not below the collector's threshold.
    fn offer(&self, distance: Distance, query: &[f32], bounds: &[f32], collector: &mut TopK, tie: &Tie<'_>) {
        for (part, bounds) in bounds.chunks(COMPARED).enumerate() {
            let threshold = collector.threshold();
            // Without an early exit, so that it vectorises. A NaN is not below anything.
            if bounds.iter().fold(true, |all, bound| all & (*bound < threshold)) {
                continue;
            }
            for (index, bound) in bounds.iter().enumerate() {
                if *bound < collector.threshold() {
                    continue;
                }
                let row = self.row(part * COMPARED + index);
                let score = if *bound == UNKNOWN { self.exact_score(distance, query, row) } else { *bound };
                collector.push(score, self.chunk.first_row + row as u64, tie);
            }
        }
    }

    /// The exact score of a row by its number in the chunk.
    fn exact_score(&self, distance: Distance, query: &[f32], row: usize) -> f32 {
        let dimension = self.chunk.dimension;
        exact_score(distance, query, &self.chunk.vectors[row * dimension..(row + 1) * dimension])
    }
}

/// The score of a row in double precision, whose range holds the square of any `f32`.
#[cold]
fn exact_score(distance: Distance, query: &[f32], row: &[f32]) -> f32 {
    let pairs = || query.iter().zip(row).map(|(left, right)| (f64::from(*left), f64::from(*right)));
    let dot = || pairs().map(|(left, right)| left * right).sum::<f64>();
    let score = match distance {
        Distance::Cosine => (dot() / norm(row)).clamp(-1.0, 1.0),
        Distance::DotProduct => dot(),
        Distance::Euclidean => -pairs().map(|(left, right)| (left - right).powi(2)).sum::<f64>().sqrt(),
    };
    score.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

/// Turns products into scores in place, or into [`UNKNOWN`] where single precision was not enough.
fn bound_scores(distance: Distance, products: &mut [f32], inverse_norms: &[f32]) {
    match distance {
        Distance::Cosine => {
            for (product, norm) in products.iter_mut().zip(inverse_norms) {
                let safe = (*norm > 1.0 / SAFE_INVERSE_NORM) & (*norm < SAFE_INVERSE_NORM);
                let score = (*product * norm).clamp(-1.0, 1.0);
                *product = if safe {
                    score
                } else if *norm == 0.0 {
                    0.0
                } else {
                    UNKNOWN
                };
            }
        }
        Distance::DotProduct => {
            for product in products {
                *product = if product.abs() <= f32::MAX { *product } else { UNKNOWN };
            }
        }
        Distance::Euclidean => {
            for product in products {
                let safe = (*product >= SAFE_SQUARE) & (*product <= f32::MAX);
                *product = if safe { -product.sqrt() } else { UNKNOWN };
            }
        }
    }
}

/// A vector divided by its norm; a zero vector stays what it is.
fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = norm(vector);
    if norm == 0.0 {
        return vec![0.0; vector.len()];
    }
    vector.iter().map(|value| (f64::from(*value) / norm) as f32).collect()
}

fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// The rows in `start..end` whose bit is set, counted from `start`.
fn live_rows<'a>(
    live: &[u64],
    start: usize,
    end: usize,
    positions: &'a mut [u32; BLOCK_ROWS],
) -> Selection<'a> {
    if live_words(live, start, end).map(|(_, bits)| bits.count_ones() as usize).sum::<usize>() == end - start
    {
        return Selection::All;
    }
    let mut count = 0;
    for (first, mut bits) in live_words(live, start, end) {
        while bits != 0 {
            // At most `BLOCK_ROWS`, which is less than a u32 holds.
            positions[count] = (first + bits.trailing_zeros() as usize - start) as u32;
            count += 1;
            bits &= bits - 1;
        }
    }
    Selection::These(&positions[..count])
}

/// The words that have bits in `start..end`, with those bits only, and the row of each first bit.
fn live_words(live: &[u64], start: usize, end: usize) -> impl Iterator<Item = (usize, u64)> {
    live.iter().enumerate().take(end.div_ceil(64)).skip(start / 64).map(move |(index, word)| {
        let first = index * 64;
        let after_start = u64::MAX << start.saturating_sub(first);
        let before_end = u64::MAX >> (first + 64).saturating_sub(end);
        (first, word & after_start & before_end)
    })
}

#[cfg(test)]
mod tests;
