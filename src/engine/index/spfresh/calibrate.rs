//! What is measured when an index is built: how long codes have to be, how far estimates are off,
//! and which effort finds which share of the best rows.
//!
//! Rows of the segment stand in for queries; each is kept out of its own answer.

use rayon::prelude::*;

use super::{Breadth, Spfresh, build::Coder};
use crate::{
    engine::index::{
        Cost, Effort, Mask, Query, Request, VectorSource, best_of,
        codes::{CodeQuery, CodeType, Coded, Codes, pack},
        flat,
        lists::Header,
        random::Numbers,
        truth::{self, Sampled},
    },
    error::Result,
};

/// Rows that stand in for queries.
const QUERIES: usize = 128;
/// Rows per answer.
const TOP_K: usize = 10;
const MANY: usize = 100;
/// Rows miss so many times fewer of their best rows than queries of users do.
const MISSES_OF_ROWS: f32 = 2.0;
/// Efforts that are measured.
const EFFORTS: [f32; 12] = [0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9];
/// The share of the best rows whose estimates are within the margin.
const WITHIN_MARGIN: f32 = 0.998;
/// Lists and queries on which codes are compared.
const COMPARED_LISTS: usize = 24;
const COMPARED_QUERIES: usize = 24;
/// So many rows with the best estimates must hold the share of the best ones.
const SHORTLISTED: usize = 100;
const SHORTLISTED_SHARE: f32 = 0.99;

/// The shortest codes whose best estimates hold the best rows.
pub(super) fn choose(coder: &Coder<'_>, seed: u64) -> Result<CodeType> {
    for code_type in CodeType::ALL {
        if code_type == CodeType::EightBit || shortlisted(coder, code_type, seed)? >= SHORTLISTED_SHARE {
            return Ok(code_type);
        }
    }
    Ok(CodeType::EightBit)
}

/// The share of the best rows of some lists that are among those with the best estimates.
fn shortlisted(coder: &Coder<'_>, code_type: CodeType, seed: u64) -> Result<f32> {
    let queries = Numbers::new(seed).sample(COMPARED_QUERIES, coder.source.rows());
    let shares = queries.par_iter().map(|query| {
        let query = *query as u32;
        let (vector, inverse_norm) = coder.source.row(query)?;
        let mut placed = vec![0.0; coder.space.dimension()];
        coder.space.place(vector, inverse_norm, &mut placed);
        let near = coder.centroids.clusters.nearest::<COMPARED_LISTS>(&placed);
        let code_query = CodeQuery::new(code_type, &placed);
        let exact_query = Query::new(coder.space.distance(), vector);
        let (mut estimated, mut exact) = (Vec::new(), Vec::new());
        for (_, list) in near[0].iter().filter(|near| near.0.is_finite()) {
            let list = *list as usize;
            let rows = coder.rows(code_type, list)?;
            let bytes = |number: fn(&_) -> f32| -> Vec<[u8; 4]> {
                rows.iter().map(|row| number(row).to_le_bytes()).collect()
            };
            let (scales, adds) =
                (bytes(|row: &Coded| row.factors.scale), bytes(|row: &Coded| row.factors.add));
            let codes = pack(code_type, &rows);
            let base = placed
                .iter()
                .zip(coder.centroids.clusters.centroid(list))
                .map(|(left, right)| left * right)
                .sum();
            let mut estimates = vec![0.0; rows.len()];
            code_query.estimate(&Codes { codes: &codes, scales: &scales, adds: &adds }, base, &mut estimates);
            for (row, estimate) in coder.partition.lists[list].iter().zip(estimates) {
                if *row != query {
                    let (vector, inverse_norm) = coder.source.row(*row)?;
                    estimated.push((estimate, *row));
                    exact.push((flat::score(&exact_query, vector, inverse_norm), *row));
                }
            }
        }
        let best = |mut scored: Vec<(f32, u32)>, count: usize| -> Vec<u32> {
            scored.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
            let mut rows: Vec<u32> = scored.into_iter().map(|(_, row)| row).collect();
            rows.dedup();
            rows.truncate(count);
            rows
        };
        let (exact, estimated) = (best(exact, TOP_K), best(estimated, SHORTLISTED));
        let found = exact.iter().filter(|row| estimated.contains(row)).count();
        Ok(found as f32 / exact.len().max(1) as f32)
    });
    let shares = shares.collect::<Result<Vec<f32>>>()?;
    Ok(shares.iter().sum::<f32>() / shares.len().max(1) as f32)
}

/// Measures an index and notes in the header what it is like.
pub(super) fn measure(
    source: &dyn VectorSource,
    draft: Vec<u8>,
    seed: u64,
    header: &mut Header,
) -> Result<()> {
    let sampled = truth::sample(source, header.distance, QUERIES, MANY, seed)?;
    let mut index = Spfresh::open(draft.into()).map_err(crate::error::Error::internal)?;
    header.margin = margin(&index, source, &sampled);
    index.margin = header.margin;
    for effort in EFFORTS {
        let recall = |top_k| recall(&index, source, &sampled, Effort::new(effort), top_k);
        header.calibration.push((effort, recall(TOP_K)?));
        header.calibration_100.push((effort, recall(MANY)?));
    }
    Ok(())
}

/// How far the estimates of the best rows are below their scores, but for a few.
fn margin(index: &Spfresh, source: &dyn VectorSource, sampled: &[Sampled]) -> f32 {
    let everything = Breadth { lists: index.lists.len(), scored: 4096, wanted: 0 };
    let errors = sampled.par_iter().flat_map_iter(|sampled| {
        let admits = sampled.admits();
        let request = request(&sampled.query, source, &admits, Effort::FULL);
        let candidates = index.candidates(&request, everything, &mut Cost::default());
        let error = |(row, score): &(u32, f32)| {
            let estimate = candidates.iter().find(|candidate| candidate.1 == *row)?.0;
            Some((sampled.query.product_of(*score) - estimate).max(0.0))
        };
        sampled.best.iter().take(TOP_K).filter_map(error).collect::<Vec<f32>>()
    });
    let mut errors: Vec<f32> = errors.collect();
    if errors.is_empty() {
        return f32::MAX;
    }
    let place = ((errors.len() - 1) as f32 * WITHIN_MARGIN) as usize;
    *errors.select_nth_unstable_by(place, f32::total_cmp).1
}

fn recall(
    index: &Spfresh,
    source: &dyn VectorSource,
    sampled: &[Sampled],
    effort: Effort,
    top_k: usize,
) -> Result<f32> {
    let recalls = sampled.par_iter().map(|sampled| {
        let admits = sampled.admits();
        let request = request(&sampled.query, source, &admits, effort);
        let (found, _) = best_of(index, &request, top_k)?;
        let found: Vec<u32> = found.iter().map(|scored| scored.row as u32).collect();
        Ok(sampled.recall(&found, top_k))
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

/// The least effort that is known to find the share `recall` of the best `top_k` rows.
///
/// Queries of users are rarely rows: measured on rows, so many more of the best have to be found
/// (`docs/benchmarks.md` has the difference on the shared set).
pub(super) fn effort_for(header: &Header, recall: f32, top_k: usize) -> Effort {
    let wanted = 1.0 - (1.0 - recall) / MISSES_OF_ROWS;
    let of = |answers: &[(f32, f32)]| interpolate(answers, wanted);
    match top_k {
        0..=TOP_K => of(&header.calibration),
        // More rows lie further away.
        _ => of(&header.calibration_100).max(of(&header.calibration)),
    }
}

/// The least effort at which this recall was reached.
fn interpolate(calibration: &[(f32, f32)], recall: f32) -> Effort {
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
