//! Searching a snapshot: exactly, on all cores, off the async workers.
//!
//! The chunks of a snapshot are divided among the threads of one pool, each collects its best
//! rows, and the collections are merged. Every query of a batch is answered on the same snapshot.

use std::{cmp::Ordering, sync::Arc};

use rayon::prelude::*;

use super::log::Snapshot;
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    types::Distance,
};

/// The threads that search.
#[derive(Debug)]
pub struct Searchers {
    pool: rayon::ThreadPool,
}

/// A query on a snapshot.
#[derive(Debug, Clone)]
pub struct Target {
    /// The vector, of the snapshot's dimension.
    pub vector: Vec<f32>,
    /// The metric.
    pub distance: Distance,
    /// How many rows at most.
    pub top_k: usize,
}

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Higher is better.
    pub score: f32,
    /// The chunk of the snapshot.
    pub chunk: usize,
    /// The row in the chunk.
    pub row: usize,
}

impl Searchers {
    /// `threads` of them; 0 means one per core.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub fn new(threads: usize) -> Result<Self> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("search-{index}"))
            .build()
            .map(|pool| Self { pool })
            .map_err(|error| Error::internal(format!("cannot start search threads: {error}")))
    }

    /// The best rows for each target among those visible at `now`: best first, equal scores in id
    /// order.
    pub async fn search(
        self: &Arc<Self>,
        snapshot: Arc<Snapshot>,
        targets: Vec<Target>,
        now: Timestamp,
    ) -> Result<Vec<Vec<Found>>> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.pool.spawn(move || {
            let found = exact(&snapshot, &targets, now);
            // A caller that has gone away needs no answer.
            let _ = reply.send(found);
        });
        answer.await.map_err(|_| Error::internal("a search thread panicked"))
    }
}

fn exact(snapshot: &Snapshot, targets: &[Target], now: Timestamp) -> Vec<Vec<Found>> {
    targets
        .par_iter()
        .map(|target| {
            let mut all: Vec<Found> = Vec::new();
            for (index, chunk) in snapshot.chunks.iter().enumerate() {
                let visible = chunk.visible(now);
                for row in (0..chunk.len()).filter(|row| visible[row / 64] >> (row % 64) & 1 == 1) {
                    let vector = chunk.vector(row, snapshot.dimension);
                    let dot: f32 = vector.iter().zip(&target.vector).map(|(a, b)| a * b).sum();
                    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
                    let score = match target.distance {
                        Distance::DotProduct => dot,
                        Distance::Cosine => {
                            let n = norm(&target.vector);
                            if n == 0.0 { 0.0 } else { dot * chunk.inverse_norms()[row] / n }
                        }
                        Distance::Euclidean => -vector
                            .iter()
                            .zip(&target.vector)
                            .map(|(a, b)| (a - b) * (a - b))
                            .sum::<f32>()
                            .sqrt(),
                    };
                    all.push(Found { score, chunk: index, row });
                }
            }
            all.sort_by(|a, b| better(snapshot, a, b));
            all.truncate(target.top_k);
            all
        })
        .collect()
}

fn better(snapshot: &Snapshot, a: &Found, b: &Found) -> Ordering {
    b.score
        .total_cmp(&a.score)
        .then_with(|| snapshot.chunks[a.chunk].id(a.row).cmp(snapshot.chunks[b.chunk].id(b.row)))
}
