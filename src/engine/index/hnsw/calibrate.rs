//! How much effort which recall takes, measured on made-up queries when the index is built.

use rayon::prelude::*;

use super::{
    super::{
        Effort, Mask, Request, VectorSource, best_of,
        truth::{self, Probe},
    },
    Hnsw,
};
use crate::error::Result;

/// Efforts that are measured: 0, 1/16, 2/16, …
const RUNGS: usize = 16;
/// Queries that are made up.
const QUERIES: usize = 512;
/// The share of the rows missed that is left as a margin.
const MARGIN: f32 = 0.2;
/// How many rows a query is to find.
pub(super) const NEIGHBOURS: usize = 10;

/// The recall that was measured at each rung.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ladder([f32; RUNGS]);

impl Default for Ladder {
    fn default() -> Self {
        Self([0.0; RUNGS])
    }
}

impl Ladder {
    /// Of the recall at each rung.
    ///
    /// # Errors
    /// If one of them is none.
    pub fn new(recall: impl Fn(usize) -> f32) -> Result<Self, String> {
        let recalls = std::array::from_fn(recall);
        match recalls.iter().find(|recall| !(0.0..=1.0).contains(*recall)) {
            Some(recall) => Err(format!("a recall of {recall}")),
            None => Ok(Self(recalls)),
        }
    }

    /// The recall at each rung.
    pub fn recalls(&self) -> &[f32] {
        &self.0
    }

    /// The least effort that reaches a recall, by interpolation; full effort if none does, and for
    /// certainty.
    pub fn effort_for(&self, recall: f32) -> Effort {
        if recall >= 1.0 {
            return Effort::FULL;
        }
        let recall = recall + MARGIN * (1.0 - recall);
        let mut below = 0.0;
        for (rung, reached) in self.0.iter().enumerate() {
            if *reached >= recall {
                let step = if rung == 0 { 0.0 } else { (recall - reached) / (reached - below) };
                return Effort::new((rung as f32 + step) / RUNGS as f32);
            }
            below = *reached;
        }
        Effort::FULL
    }
}

/// Measures the ladder of an index.
///
/// # Errors
/// As [`VectorSource::row`].
pub(super) fn measure(index: &Hnsw, rows: &dyn VectorSource, seed: u64) -> Result<Ladder> {
    let probes = truth::probes(rows, index.layout.distance, QUERIES, NEIGHBOURS, seed)?;
    if probes.is_empty() {
        return Ok(Ladder([1.0; RUNGS]));
    }
    let mut recalls = [1.0; RUNGS];
    for (rung, recall) in recalls.iter_mut().enumerate() {
        let effort = Effort::new(rung as f32 / RUNGS as f32);
        let recall_of = |probe: &Probe| {
            let request = Request { query: &probe.query, rows, mask: Mask::All, effort, stop: &|| false };
            let (found, _) = best_of(index, &request, NEIGHBOURS)?;
            let scores: Vec<f32> = found.iter().map(|scored| scored.score).collect();
            Ok(probe.recall(&scores, NEIGHBOURS))
        };
        let found = probes.par_iter().map(recall_of).collect::<Result<Vec<f32>>>()?;
        *recall = found.iter().sum::<f32>() / found.len() as f32;
        // More effort finds no less, so the rest of the ladder is all of it.
        if *recall >= 1.0 {
            break;
        }
    }
    Ok(Ladder(recalls))
}
