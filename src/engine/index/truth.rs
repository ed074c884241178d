//! Made-up queries with their exact answers, to measure an index by.
//!
//! Rows themselves are easier to find than what people ask for: on embeddings of sentences a walk of
//! an `hnsw` graph with 16 candidates finds .98 of the neighbours of rows and .84 of those of real
//! queries. So the queries here are rows with noise that has the covariance of the rows and as much
//! variance: their recall is that of real queries within two points at every effort.

use rayon::prelude::*;

use super::{
    Query, VectorSource,
    flat::{ChunkView, Queries, scan},
    random::Numbers,
    top::TopK,
};
use crate::{
    error::{Error, Result},
    types::Distance,
};

/// Rows per task.
const TASK_ROWS: usize = 8192;
/// Differences of rows that make up the noise of a query.
const DIFFERENCES: u32 = 8;

/// A query, and the rows nearest to it.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    /// The query.
    pub query: Query,
    /// The best rows, the best first, with their scores.
    pub best: Vec<(u32, f32)>,
}

impl Probe {
    /// The share of the best `top_k` rows that an answer has: rows, with their scores. Of rows that are
    /// equally good, any will do.
    pub(super) fn recall(&self, found: &[f32], top_k: usize) -> f32 {
        let best = &self.best[..self.best.len().min(top_k)];
        let Some((_, threshold)) = best.last() else { return 1.0 };
        let hits = found.iter().filter(|score| *score >= threshold).count();
        hits.min(best.len()) as f32 / best.len() as f32
    }
}

/// Makes up queries and finds the `top_k` rows nearest to each.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub(super) fn probes(
    source: &dyn VectorSource,
    distance: Distance,
    count: usize,
    top_k: usize,
    seed: u64,
) -> Result<Vec<Probe>> {
    let mut numbers = Numbers::new(seed ^ 0x7175_6572_6965_7321);
    let count = count.min(source.rows());
    let vectors = (0..count).map(|_| stranger(source, distance, &mut numbers));
    let vectors = vectors.collect::<Result<Vec<Vec<f32>>>>()?;
    let queries = Queries::new(distance, vectors.iter().map(Vec::as_slice));
    let tie = |left: u64, right: u64| left.cmp(&right);
    let tasks = source.rows().div_ceil(TASK_ROWS);
    let collectors = (0..tasks)
        .into_par_iter()
        .map(|task| {
            let mut collectors = vec![TopK::new(top_k); vectors.len()];
            let end = source.rows().min((task + 1) * TASK_ROWS);
            let mut first = task * TASK_ROWS;
            while first < end {
                let run = source.run(first)?;
                let count = run.inverse_norms.len().min(end - first);
                let live = vec![u64::MAX; count.div_ceil(64)];
                let chunk = ChunkView {
                    vectors: &run.vectors[..count * source.dimension()],
                    dimension: source.dimension(),
                    inverse_norms: &run.inverse_norms[..count],
                    live: &live,
                    first_row: first as u64,
                };
                scan(&chunk, &queries, &mut collectors, &tie);
                first += count;
            }
            Ok::<_, Error>(collectors)
        })
        .try_reduce_with(|mut left, right| {
            left.iter_mut().zip(right).for_each(|(into, from)| into.merge(from, &tie));
            Ok(left)
        })
        .unwrap_or_else(|| Ok(Vec::new()))?;
    let probes = vectors.iter().zip(collectors).map(|(vector, collector)| {
        let best = collector.into_sorted(&tie).into_iter();
        let best = best.map(|scored| (scored.row as u32, scored.score)).collect();
        Probe { query: Query::new(distance, vector), best }
    });
    Ok(probes.collect())
}

/// A vector that is related to a row as rows are to each other: the row, plus differences of others,
/// scaled so that together they vary as much as rows do.
fn stranger(rows: &dyn VectorSource, distance: Distance, numbers: &mut Numbers) -> Result<Vec<f32>> {
    let mut sum = vec![0.0_f64; rows.dimension()];
    let mut add = |weight: f64| -> Result<()> {
        let (vector, &inverse_norm) = rows.row(numbers.below(rows.rows()) as u32)?;
        let factor = if distance == Distance::Cosine { f64::from(inverse_norm) } else { 1.0 };
        for (sum, value) in sum.iter_mut().zip(vector) {
            *sum += weight * factor * f64::from(*value);
        }
        Ok(())
    };
    add(1.0)?;
    let weight = 1.0 / f64::from(2 * DIFFERENCES).sqrt();
    for _ in 0..DIFFERENCES {
        add(weight)?;
        add(-weight)?;
    }
    Ok(sum.into_iter().map(|value| value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32).collect())
}
