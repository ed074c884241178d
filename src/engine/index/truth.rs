//! Exact answers for rows that stand in for queries, to measure an index by.

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

/// A row that stands in for a query, and the rows nearest to it, itself left out.
#[derive(Debug, Clone)]
pub(super) struct Sampled {
    /// The row.
    pub row: u32,
    /// Its vector, as a query.
    pub query: Query,
    /// The best rows, the best first, with their scores.
    pub best: Vec<(u32, f32)>,
}

impl Sampled {
    /// Whether another row may be in the answer.
    pub(super) fn admits(&self) -> impl Fn(u32) -> bool + Sync + use<> {
        let own = self.row;
        move |row| row != own
    }

    /// The share of the best `top_k` rows that these hold.
    pub(super) fn recall(&self, found: &[u32], top_k: usize) -> f32 {
        let best = &self.best[..self.best.len().min(top_k)];
        let hits = best.iter().filter(|(row, _)| found.contains(row)).count();
        if best.is_empty() { 1.0 } else { hits as f32 / best.len() as f32 }
    }
}

/// Samples rows and finds the `top_k` nearest to each.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub(super) fn sample(
    source: &dyn VectorSource,
    distance: Distance,
    count: usize,
    top_k: usize,
    seed: u64,
) -> Result<Vec<Sampled>> {
    let rows: Vec<u32> = Numbers::new(seed ^ 0x7365_6564)
        .sample(count, source.rows())
        .into_iter()
        .map(|row| row as u32)
        .collect();
    let vectors =
        rows.iter().map(|row| source.row(*row).map(|(vector, _)| vector)).collect::<Result<Vec<&[f32]>>>()?;
    let queries = Queries::new(distance, vectors.iter().copied());
    let tie = |left: u64, right: u64| left.cmp(&right);
    let tasks = source.rows().div_ceil(TASK_ROWS);
    let collectors = (0..tasks)
        .into_par_iter()
        .map(|task| {
            let mut collectors = vec![TopK::new(top_k + 1); rows.len()];
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
    let sampled = rows.iter().zip(vectors).zip(collectors).map(|((row, vector), collector)| {
        let others = collector.into_sorted(&tie).into_iter().filter(|scored| scored.row != u64::from(*row));
        let best = others.take(top_k).map(|scored| (scored.row as u32, scored.score)).collect();
        Sampled { row: *row, query: Query::new(distance, vector), best }
    });
    Ok(sampled.collect())
}
