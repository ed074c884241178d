//! What is measured when an index is built: how far estimates are off, and which effort finds which
//! share of the best rows.
//!
//! Rows of the segment stand in for queries; each is kept out of its own answer.

use rayon::prelude::*;

use super::{
    Effort, Mask, Query, Request, VectorIndex, VectorSource, best_of,
    truth::{self, Sampled},
};
use crate::{error::Result, types::Distance};

/// Rows that stand in for queries.
const QUERIES: usize = 128;
/// Rows per answer.
pub(super) const TOP_K: usize = 10;
/// Efforts that are measured.
const EFFORTS: [f32; 12] = [0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9];
/// The share of the best rows whose estimates are within the margin.
const WITHIN_MARGIN: f32 = 0.998;

/// Rows that stand in for queries, with their exact answers.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub(super) fn sample(source: &dyn VectorSource, distance: Distance, seed: u64) -> Result<Vec<Sampled>> {
    truth::sample(source, distance, QUERIES, TOP_K, seed)
}

/// How far the estimates of the best rows are below their scores, but for a few. `estimate` gives
/// rows with their estimates, as many of the best ones as it can.
pub(super) fn margin(
    source: &dyn VectorSource,
    sampled: &[Sampled],
    estimate: impl Fn(&Request<'_>) -> Vec<(f32, u32)> + Sync,
) -> f32 {
    let errors = sampled.par_iter().flat_map_iter(|sampled| {
        let admits = sampled.admits();
        let candidates = estimate(&request(&sampled.query, source, &admits, Effort::FULL));
        let error = |(row, score): &(u32, f32)| {
            let estimate = candidates.iter().find(|candidate| candidate.1 == *row)?.0;
            Some((sampled.query.product_of(*score) - estimate).max(0.0))
        };
        sampled.best.iter().filter_map(error).collect::<Vec<f32>>()
    });
    let mut errors: Vec<f32> = errors.collect();
    if errors.is_empty() {
        return f32::MAX;
    }
    let place = ((errors.len() - 1) as f32 * WITHIN_MARGIN) as usize;
    *errors.select_nth_unstable_by(place, f32::total_cmp).1
}

/// Efforts, ascending, and the recall that the index has with each.
///
/// # Errors
/// As [`VectorIndex::search`].
pub(super) fn recalls(
    index: &dyn VectorIndex,
    source: &dyn VectorSource,
    sampled: &[Sampled],
) -> Result<Vec<(f32, f32)>> {
    let measured = |effort: &f32| Ok((*effort, recall(index, source, sampled, Effort::new(*effort))?));
    EFFORTS.iter().map(measured).collect()
}

fn recall(
    index: &dyn VectorIndex,
    source: &dyn VectorSource,
    sampled: &[Sampled],
    effort: Effort,
) -> Result<f32> {
    let recalls = sampled.par_iter().map(|sampled| {
        let admits = sampled.admits();
        let request = request(&sampled.query, source, &admits, effort);
        let (found, _) = best_of(index, &request, TOP_K)?;
        let found: Vec<u32> = found.iter().map(|scored| scored.row as u32).collect();
        Ok(sampled.recall(&found))
    });
    let recalls = recalls.collect::<Result<Vec<f32>>>()?;
    Ok(recalls.iter().sum::<f32>() / recalls.len().max(1) as f32)
}

fn request<'a>(
    query: &'a Query,
    rows: &'a dyn VectorSource,
    admits: &'a (dyn Fn(u32) -> bool + Sync),
    effort: Effort,
) -> Request<'a> {
    Request { query, rows, mask: Mask::Only(admits), effort, stop: &|| false }
}

/// The least effort that is known to find the share `recall`.
pub(super) fn effort_for(calibration: &[(f32, f32)], recall: f32) -> Effort {
    let mut below = (0.0, 0.0);
    for (effort, reached) in calibration.iter().copied() {
        if reached >= recall {
            let share = if reached > below.1 { (recall - below.1) / (reached - below.1) } else { 1.0 };
            return Effort::new(below.0 + (effort - below.0) * share.max(0.0));
        }
        below = (effort, reached.max(below.1));
    }
    Effort::FULL
}
