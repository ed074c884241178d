//! How long the codes of a segment have to be: the shortest whose best estimates hold the best rows.
//!
//! Rows of the segment stand in for queries, and some lists for all; each row is kept out of its own
//! answer.

use rayon::prelude::*;

use super::build::Coder;
use crate::{
    engine::index::{
        Query,
        codes::{CodeQuery, CodeType, Coded, Codes, Estimate, pack},
        flat,
        lists::calibration::TOP_K,
        random::Numbers,
    },
    error::Result,
};

/// Lists and queries on which codes are compared.
const COMPARED_LISTS: usize = 24;
const COMPARED_QUERIES: usize = 24;
/// So many rows with the best estimates must hold the share of the best ones.
const SHORTLISTED: usize = 100;
const SHORTLISTED_SHARE: f32 = 0.99;

/// The shortest codes whose best estimates hold the best rows.
pub(super) fn choose(coder: &Coder<'_>, seed: u64) -> Result<CodeType> {
    for code_type in CodeType::ALL {
        if code_type == CodeType::Eight || shortlisted(coder, code_type, seed)? >= SHORTLISTED_SHARE {
            return Ok(code_type);
        }
    }
    Ok(CodeType::Eight)
}

/// The share of the best rows of some lists that are among those with the best estimates.
fn shortlisted(coder: &Coder<'_>, code_type: CodeType, seed: u64) -> Result<f32> {
    let queries = Numbers::new(seed).sample(COMPARED_QUERIES, coder.source.rows());
    let shares = queries.par_iter().map(|query| {
        let query = *query as u32;
        let (vector, &inverse_norm) = coder.source.row(query)?;
        let mut placed = vec![0.0; coder.space.dimension()];
        coder.space.place(vector, inverse_norm, &mut placed);
        let near = coder.centroids.clusters.nearest::<COMPARED_LISTS>(&placed);
        let code_query = CodeQuery::new(code_type, &placed);
        let exact_query = Query::new(coder.space.distance(), vector);
        let (mut estimated, mut exact) = (Vec::new(), Vec::new());
        for (_, list) in near[0].iter().filter(|near| near.0.is_finite()) {
            let list = *list as usize;
            let rows = coder.rows(&coder.read(code_type, list..list + 1)?, list);
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
                    let (vector, &inverse_norm) = coder.source.row(*row)?;
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
