//! What is measured when an index of lists is built: how far estimates are off, and which effort finds
//! which share of the best rows.
//!
//! They are measured on made-up queries ([`crate::engine::index::truth`]).

use std::collections::HashMap;

use rayon::prelude::*;

use super::{
    file::{Header, Lists},
    index::{Kind, ListIndex},
    probe::{Breadth, count},
};
use crate::{
    engine::index::{
        Cost, Effort, Mask, Query, Request, VectorSource, best_of,
        top::TopK,
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
/// The share of the best rows at which nothing is missed that anybody asks for.
const EVERYTHING: f32 = 0.9995;
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
    let mut trials: Vec<Trial<'_>> =
        probes.par_iter().map(|probe| Trial::new(&index.lists, source, probe)).collect();
    let mut measured = Measured::default();
    for (place, effort) in EFFORTS.into_iter().enumerate() {
        if !measured.is_everything() {
            trials.par_iter_mut().try_for_each(|trial| trial.search(index, Effort::new(effort)))?;
            measured = Measured::of(&trials);
        }
        measured.gap = mean_gap(&index.lists, &trials, Effort::new(effort));
        let noted = |measured, old: fn(&Header) -> &[(f32, f32)]| {
            (effort, known.map_or(measured, |known| mixed(measured, old(known.header)[place].1)))
        };
        header.gaps.push(noted(measured.gap, |header| &header.gaps));
        header.calibration.push(noted(measured.few, |header| &header.calibration));
        header.calibration_100.push(noted(measured.many, |header| &header.calibration_100));
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
    let places = Places::of(&index.lists);
    let errors = probes.par_iter().map(|probe| {
        let request = request(&probe.query, source, Effort::FULL);
        let best = &probe.best[..probe.best.len().min(TOP_K)];
        let lists = index.lists.only(best.iter().flat_map(|(row, _)| places.of_row(*row)));
        let estimates =
            index.kind.candidates(&lists, &request, Breadth::of_all(&lists), &mut Cost::default())?;
        let error = |(row, score): &(u32, f32)| {
            let estimate = estimates.iter().find(|estimate| estimate.1 == *row)?.0;
            Some((probe.query.product_of(*score) - estimate).max(0.0))
        };
        Ok(best.iter().filter_map(error).collect::<Vec<f32>>())
    });
    let mut errors: Vec<f32> = errors.collect::<Result<Vec<_>>>()?.concat();
    if errors.is_empty() {
        return Ok(f32::MAX);
    }
    let place = ((errors.len() - 1) as f32 * WITHIN_MARGIN) as usize;
    let margin = *errors.select_nth_unstable_by(place, f32::total_cmp).1;
    Ok(if margin.is_finite() { margin } else { f32::MAX })
}

/// The lists that rows are in, one of them and, if there is one, another.
struct Places(Vec<[u32; 2]>);

impl Places {
    fn of(lists: &Lists) -> Self {
        let mut places = vec![[u32::MAX; 2]; lists.header().rows];
        for list in 0..lists.len() {
            for row in lists.list(list).rows {
                if let Some([first, second]) = places.get_mut(u32::from_le_bytes(*row) as usize) {
                    *(if *first == u32::MAX { first } else { second }) = list as u32;
                }
            }
        }
        Self(places)
    }

    fn of_row(&self, row: u32) -> impl Iterator<Item = u32> {
        let places = self.0.get(row as usize).copied().unwrap_or([u32::MAX; 2]);
        places.into_iter().filter(|list| *list != u32::MAX)
    }
}

/// A made-up query that is searched for with more and more effort. Rows are read once and not for each
/// effort: they lie anywhere.
struct Trial<'a> {
    probe: &'a Probe,
    source: &'a dyn VectorSource,
    /// The ranks of all lists, the nearest first.
    ranks: Vec<f32>,
    /// The scores of rows.
    scores: HashMap<u32, f32>,
    /// The scores of the best [`TOP_K`] rows that were found, and of the best [`MANY`], the best first.
    few: Vec<f32>,
    many: Vec<f32>,
}

impl<'a> Trial<'a> {
    fn new(lists: &Lists, source: &'a dyn VectorSource, probe: &'a Probe) -> Self {
        let mut ranks = lists.ranks(&lists.products_with(&probe.query));
        ranks.sort_unstable_by(|left, right| right.total_cmp(left));
        Self { probe, source, ranks, scores: HashMap::new(), few: Vec::new(), many: Vec::new() }
    }

    fn search<K: Kind>(&mut self, index: &ListIndex<K>, effort: Effort) -> Result<()> {
        let request = request(&self.probe.query, self.source, effort);
        if !K::ESTIMATES {
            let found = |top_k| -> Result<Vec<f32>> {
                Ok(best_of(index, &request, top_k)?.0.iter().map(|scored| scored.score).collect())
            };
            (self.few, self.many) = (found(TOP_K)?, found(MANY)?);
            return Ok(());
        }
        let [few, many] = [TOP_K, MANY].map(|top_k| Breadth::new(&index.lists, &request, top_k));
        let mut cost = Cost::default();
        let candidates = index.kind.candidates(&index.lists, &request, many, &mut cost)?;
        self.many = self.best(&request, &candidates, index.lists.header().margin, MANY)?;
        // The same lists, and of their rows fewer: but for a search that has to look further for many.
        self.few = if cost.visited as usize == few.lists {
            let scored = candidates.len().min(few.scored);
            self.best(&request, &candidates[..scored], index.lists.header().margin, TOP_K)?
        } else {
            let candidates = index.kind.candidates(&index.lists, &request, few, &mut cost)?;
            self.best(&request, &candidates, index.lists.header().margin, TOP_K)?
        };
        Ok(())
    }

    /// The best scores of candidates, as [`super::probe::rerank`] finds them.
    fn best(
        &mut self,
        request: &Request<'_>,
        candidates: &[(f32, u32)],
        margin: f32,
        top_k: usize,
    ) -> Result<Vec<f32>> {
        let mut best = TopK::new(top_k);
        let tie = |left: u64, right: u64| left.cmp(&right);
        for (estimate, row) in candidates {
            if request.query.score_of(estimate + margin) < best.threshold() {
                break;
            }
            let score = match self.scores.get(row) {
                Some(score) => *score,
                None => {
                    let score = request.score(*row)?;
                    self.scores.insert(*row, score);
                    score
                }
            };
            best.push(score, u64::from(*row), &tie);
        }
        Ok(best.into_sorted(&tie).into_iter().map(|scored| scored.score).collect())
    }
}

/// What an effort finds.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    /// The share of the best [`TOP_K`] rows.
    few: f32,
    /// The share of the best [`MANY`] rows.
    many: f32,
    gap: f32,
}

impl Measured {
    fn of(trials: &[Trial<'_>]) -> Self {
        let mean = |recall: fn(&Trial<'_>) -> f32| {
            trials.iter().map(recall).sum::<f32>() / trials.len().max(1) as f32
        };
        let few = mean(|trial| trial.probe.recall(&trial.few, TOP_K));
        Self { few, many: mean(|trial| trial.probe.recall(&trial.many, MANY)), gap: 0.0 }
    }

    /// Whether more effort finds no more that matters: it would take longer to measure than all before.
    fn is_everything(&self) -> bool {
        self.few >= EVERYTHING && self.many >= EVERYTHING
    }
}

/// How far the last list that is looked at ranks below the last row that was found, on average.
fn mean_gap(lists: &Lists, trials: &[Trial<'_>], effort: Effort) -> f32 {
    let gaps = trials.iter().filter_map(|trial| {
        let last = trial.ranks.get(count(lists, effort) - 1)?;
        Some(f64::from(trial.probe.query.product_of(*trial.few.last()?) - last))
    });
    let gaps: Vec<f64> = gaps.filter(|gap| gap.is_finite()).collect();
    (gaps.iter().sum::<f64>() / gaps.len().max(1) as f64) as f32
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
