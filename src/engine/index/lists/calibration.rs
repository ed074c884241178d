//! What is measured when an index of lists is built: how far estimates are off, and which effort finds
//! which share of the best rows.
//!
//! They are measured on made-up queries ([`crate::engine::index::truth`]).

use rayon::prelude::*;

use super::{
    file::{Header, Lists},
    index::{Kind, ListIndex},
    probe::{Breadth, count},
};
use crate::{
    engine::index::{
        Cost, Effort, Mask, Query, Request, VectorSource, best_of,
        truth::{self, Probe},
    },
    error::Result,
};

/// Queries that are made up.
const QUERIES: usize = 256;
/// Rows per answer.
pub const TOP_K: usize = 10;
const MANY: usize = 100;
/// The share of the rows missed that is left as a margin, since real queries are other ones.
const MARGIN: f32 = 0.5;
/// Efforts that are measured.
const EFFORTS: [f32; 14] = [0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.94, 0.97];
/// The share of the best rows whose estimates are within the margin.
const WITHIN_MARGIN: f32 = 0.998;

/// At least this share of the queries is new whenever an index is measured.
const RENEWED: f32 = 0.25;

/// What was measured of an index that this one continues.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What it says of itself.
    pub header: &'a Header,
    /// Its share of the rows.
    pub share: f32,
}

/// Measures an index and notes in the header what it is like. What is known counts for so many queries
/// as the index that it is known of has rows, so the others are as many as there was change.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn measure<K: Kind>(
    index: &mut ListIndex<K>,
    source: &dyn VectorSource,
    seed: u64,
    header: &mut Header,
    known: Option<Known<'_>>,
) -> Result<()> {
    let known = known.filter(|known| known.is_of_use());
    let renewed = known.map_or(1.0, |known| (1.0 - known.share).clamp(RENEWED, 1.0));
    let mixed = |new: f32, old: f32| renewed * new + (1.0 - renewed) * old;
    let queries = (QUERIES as f32 * renewed) as usize;
    let probes = truth::probes(source, header.distance, queries, MANY, seed)?;
    header.margin = margin(index, source, &probes)?;
    if let Some(known) = known {
        header.margin = mixed(header.margin, known.header.margin);
    }
    index.lists.set_margin(header.margin);
    let ranks = ranks(&index.lists, &probes);
    for (place, effort) in EFFORTS.into_iter().enumerate() {
        let answers = |top_k| answers(index, source, &probes, Effort::new(effort), top_k);
        let noted = |measured, old: fn(&Header) -> &[(f32, f32)]| {
            (effort, known.map_or(measured, |known| mixed(measured, old(known.header)[place].1)))
        };
        let (few, many) = (answers(TOP_K)?, answers(MANY)?);
        let gap = mean_gap(&index.lists, &probes, &ranks, &few, Effort::new(effort));
        header.gaps.push(noted(gap, |header| &header.gaps));
        header.calibration.push(noted(recall(&probes, &few, TOP_K), |header| &header.calibration));
        header.calibration_100.push(noted(recall(&probes, &many, MANY), |header| &header.calibration_100));
    }
    Ok(())
}

impl Known<'_> {
    /// Whether it is what is measured here, in numbers.
    fn is_of_use(&self) -> bool {
        let Header { calibration, calibration_100, gaps, margin, .. } = self.header;
        let measured = |noted: &[(f32, f32)]| noted.iter().map(|(effort, _)| *effort).eq(EFFORTS);
        let shares = |noted: &[(f32, f32)]| noted.iter().all(|(_, recall)| (0.0..=1.0).contains(recall));
        [calibration, calibration_100, gaps].into_iter().all(|noted| measured(noted))
            && shares(calibration)
            && shares(calibration_100)
            && gaps.iter().all(|(_, gap)| gap.is_finite())
            && (0.0..f32::MAX).contains(margin)
    }
}

/// How far the estimates of the best rows are below their scores, but for a few.
fn margin<K: Kind>(index: &ListIndex<K>, source: &dyn VectorSource, probes: &[Probe]) -> Result<f32> {
    let errors = probes.par_iter().map(|probe| {
        let request = request(&probe.query, source, Effort::FULL);
        let everything = Breadth::to_measure(&index.lists);
        let estimates = index.kind.candidates(&index.lists, &request, everything, &mut Cost::default())?;
        let error = |(row, score): &(u32, f32)| {
            let estimate = estimates.iter().find(|estimate| estimate.1 == *row)?.0;
            Some((probe.query.product_of(*score) - estimate).max(0.0))
        };
        Ok(probe.best.iter().take(TOP_K).filter_map(error).collect::<Vec<f32>>())
    });
    let mut errors: Vec<f32> = errors.collect::<Result<Vec<_>>>()?.concat();
    if errors.is_empty() {
        return Ok(f32::MAX);
    }
    let place = ((errors.len() - 1) as f32 * WITHIN_MARGIN) as usize;
    let margin = *errors.select_nth_unstable_by(place, f32::total_cmp).1;
    Ok(if margin.is_finite() { margin } else { f32::MAX })
}

/// For each probe the ranks of all lists, the nearest first.
fn ranks(lists: &Lists, probes: &[Probe]) -> Vec<Vec<f32>> {
    let ranks = probes.par_iter().map(|probe| {
        let mut ranks = lists.ranks(&lists.products_with(&probe.query));
        ranks.sort_unstable_by(|left, right| right.total_cmp(left));
        ranks
    });
    ranks.collect()
}

/// How far the last list that was looked at ranks below the last row that was found, on average.
fn mean_gap(
    lists: &Lists,
    probes: &[Probe],
    ranks: &[Vec<f32>],
    answers: &[Vec<f32>],
    effort: Effort,
) -> f32 {
    let gaps = probes.iter().zip(ranks).zip(answers).filter_map(|((probe, ranks), scores)| {
        let last = ranks.get(count(lists, effort) - 1)?;
        Some(f64::from(probe.query.product_of(*scores.last()?) - last))
    });
    let gaps: Vec<f64> = gaps.filter(|gap| gap.is_finite()).collect();
    (gaps.iter().sum::<f64>() / gaps.len().max(1) as f64) as f32
}

/// The scores that each probe finds, the best first.
fn answers<K: Kind>(
    index: &ListIndex<K>,
    source: &dyn VectorSource,
    probes: &[Probe],
    effort: Effort,
    top_k: usize,
) -> Result<Vec<Vec<f32>>> {
    let answers = probes.par_iter().map(|probe| {
        let (found, _) = best_of(index, &request(&probe.query, source, effort), top_k)?;
        Ok(found.iter().map(|scored| scored.score).collect())
    });
    answers.collect()
}

fn recall(probes: &[Probe], answers: &[Vec<f32>], top_k: usize) -> f32 {
    let recalls = probes.iter().zip(answers).map(|(probe, scores)| probe.recall(scores, top_k));
    recalls.sum::<f32>() / probes.len().max(1) as f32
}

fn request<'a>(query: &'a Query, rows: &'a dyn VectorSource, effort: Effort) -> Request<'a> {
    Request { query, rows, mask: Mask::All, effort, stop: &|| false }
}

/// The least effort that is known to find the share `recall` of the best `top_k` rows.
pub fn effort_for(header: &Header, recall: f32, top_k: usize) -> Effort {
    if recall >= 1.0 {
        return Effort::FULL;
    }
    let wanted = recall + MARGIN * (1.0 - recall);
    let of = |answers: &[(f32, f32)]| interpolate(answers, wanted);
    match top_k {
        0..=TOP_K => of(&header.calibration),
        // More rows lie further away.
        _ => of(&header.calibration_100).max(of(&header.calibration)),
    }
}

/// How far a list's rank may be below the last row that is wanted, so that of the rows that a mask admits
/// as many are found as of all: whether a row lies in such a list does not depend on what others there are.
/// Without a measurement it may be any.
pub fn gap(header: &Header, effort: Effort) -> f32 {
    let mut below = None;
    for (measured, gap) in header.gaps.iter().copied() {
        if measured >= effort.value() {
            let (from, low) = below.unwrap_or((0.0, gap));
            return low + (gap - low) * (effort.value() - from) / (measured - from);
        }
        below = Some((measured, gap));
    }
    f32::INFINITY
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
