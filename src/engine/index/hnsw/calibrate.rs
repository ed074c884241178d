//! How much effort which recall takes, measured when the index is built.
//!
//! Rows themselves are easier to find than what people ask for: on embeddings of sentences a walk of
//! 16 candidates finds .98 of the neighbours of rows and .84 of those of real queries. So the queries
//! here are rows with noise that has the covariance of the rows and as much variance. Their recall
//! is that of the real queries within 2 points at every effort, and the rest is left as a margin.

use rayon::prelude::*;

use super::{
    super::{
        Effort, Mask, Query, Request, VectorSource, best_of,
        flat::{self, ChunkView, Queries},
        random::Numbers,
        top::TopK,
    },
    Hnsw,
};
use crate::{error::Result, types::Distance};

/// Efforts that are measured: 0, 1/16, 2/16, …
const RUNGS: usize = 16;
/// Queries that are made up.
const QUERIES: usize = 512;
/// Differences of rows that make up the noise of a query.
const DIFFERENCES: u32 = 8;
/// The share of the rows missed that is left as a margin.
const MARGIN: f32 = 0.2;
/// How many rows a query is to find.
pub(super) const NEIGHBOURS: usize = 10;
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
    let wanted = NEIGHBOURS.min(rows.rows());
    if wanted == 0 {
        return Ok(Ladder([1.0; RUNGS]));
    }
    let probes = probes(index, rows, wanted, seed)?;
    let mut recalls = [1.0; RUNGS];
    for (rung, recall) in recalls.iter_mut().enumerate() {
        let effort = Effort::new(rung as f32 / RUNGS as f32);
        let found: usize =
            probes.par_iter().map(|probe| probe.found(index, rows, wanted, effort)).sum::<Result<usize>>()?;
        *recall = found as f32 / (wanted * probes.len()) as f32;
        // More effort finds no less, so the rest of the ladder is all of it.
        if found == wanted * probes.len() {
            break;
        }
    }
    Ok(Ladder(recalls))
}

/// A query, and how good what it should find is.
struct Probe {
    query: Query,
    /// The score of the last of the rows that it should find.
    threshold: f32,
}

impl Probe {
    /// How many of the rows that it should find it finds.
    fn found(&self, index: &Hnsw, rows: &dyn VectorSource, wanted: usize, effort: Effort) -> Result<usize> {
        let request = Request { query: &self.query, rows, mask: Mask::All, effort, stop: &|| false };
        let (found, _) = best_of(index, &request, wanted)?;
        Ok(found.iter().filter(|scored| scored.score >= self.threshold).count())
    }
}

fn probes(index: &Hnsw, rows: &dyn VectorSource, wanted: usize, seed: u64) -> Result<Vec<Probe>> {
    let mut numbers = Numbers::new(seed ^ 0x7175_6572_6965_7321);
    let count = QUERIES.min(rows.rows());
    let vectors = (0..count).map(|_| stranger(rows, index.layout.distance, &mut numbers));
    let vectors = vectors.collect::<Result<Vec<Vec<f32>>>>()?;
    let groups: Result<Vec<Vec<Probe>>> =
        vectors.par_chunks(GROUP).map(|group| probes_of(index, rows, group, wanted)).collect();
    Ok(groups?.into_iter().flatten().collect())
}

/// A vector that is related to a row as rows are to each other: the row, plus differences of others,
/// scaled so that together they vary as much as rows do.
fn stranger(rows: &dyn VectorSource, distance: Distance, numbers: &mut Numbers) -> Result<Vec<f32>> {
    let mut sum = vec![0.0_f64; rows.dimension()];
    let mut add = |weight: f64| -> Result<()> {
        let (vector, inverse_norm) = rows.row(numbers.below(rows.rows()) as u32)?;
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

fn probes_of(
    index: &Hnsw,
    rows: &dyn VectorSource,
    vectors: &[Vec<f32>],
    wanted: usize,
) -> Result<Vec<Probe>> {
    let distance = index.layout.distance;
    let mut collectors = vec![TopK::new(wanted); vectors.len()];
    scan(rows, &Queries::new(distance, vectors.iter().map(Vec::as_slice)), &mut collectors)?;
    let probes = vectors.iter().zip(collectors).map(|(vector, collector)| {
        let best = collector.into_sorted(&|left, right| left.cmp(&right));
        let threshold = best.last().map_or(f32::NEG_INFINITY, |scored| scored.score);
        Probe { query: Query::new(distance, vector), threshold }
    });
    Ok(probes.collect())
}

/// Scans all rows.
fn scan(rows: &dyn VectorSource, queries: &Queries, collectors: &mut [TopK]) -> Result<()> {
    let live = vec![u64::MAX; rows.rows().div_ceil(64)];
    let mut first = 0;
    while first < rows.rows() {
        let run = rows.run(first)?;
        let chunk = ChunkView {
            vectors: run.vectors,
            dimension: rows.dimension(),
            inverse_norms: run.inverse_norms,
            live: &live,
            first_row: first as u64,
        };
        flat::scan(&chunk, queries, collectors, &|left, right| left.cmp(&right));
        first += run.inverse_norms.len();
    }
    Ok(())
}
