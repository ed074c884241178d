//! Rows in lists of near ones, none of them long.
//!
//! Centroids are trained on a sample and moved by passes over all rows, which come in pieces, so
//! memory is bounded by the numbers of lists and not by the rows' vectors. Then lists are brought
//! into bounds ([`super::balance`]), and rows near a border join the list beyond it as well
//! (closure assignment; Chen et al., "SPANN: Highly-efficient Billion-scale Approximate Nearest
//! Neighbor Search", NeurIPS 2021, 3.2), so that fewer lists have to be looked at.

use rayon::prelude::*;

use super::{
    balance::balance,
    clusters::{Clusters, Means, Nearest},
    groups::Groups,
    space::Space,
};
use crate::{
    engine::index::{VectorSource, random::Numbers},
    error::Result,
};

/// Bytes of vectors that are in memory at a time, and of the sample.
const PIECE_BYTES: usize = 32 << 20;
const SAMPLE_BYTES: usize = 96 << 20;
/// Passes over the rows after the training.
const PASSES: usize = 2;

/// How to divide rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Division {
    /// Rows per list, on average.
    pub list_rows: usize,
    /// The share of rows that are in a second list, from 0 to 1.
    pub closure: f32,
    /// Chance.
    pub seed: u64,
}

/// Rows divided into lists.
#[derive(Debug)]
pub struct Partition {
    /// One centroid a list.
    pub clusters: Clusters,
    /// Row numbers of each list, ascending; at most [`Division::longest`] of those for which it is
    /// the nearest.
    pub lists: Vec<Vec<u32>>,
}

impl Division {
    /// The most rows in a list, those of a border not counted.
    pub fn longest(&self) -> usize {
        self.list_rows * 3
    }

    /// Lists with fewer rows are dissolved.
    pub fn shortest(&self) -> usize {
        self.list_rows / 8
    }
}

impl Partition {
    /// Divides all rows.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a row is damaged.
    pub fn build(source: &dyn VectorSource, space: &Space, division: &Division) -> Result<Self> {
        let rows = source.rows();
        let count = rows.div_ceil(division.list_rows).max(1);
        let mut numbers = Numbers::new(division.seed);
        let sampled = SAMPLE_BYTES / (space.dimension() * size_of::<f32>());
        let sample: Vec<u32> =
            numbers.sample(sampled.max(2 * count), rows).into_iter().map(|row| row as u32).collect();
        let sample = space.rows(source, &sample)?;
        let mut clusters = Groups::train(space.dimension(), &sample, count, division.seed);
        drop(sample);
        for _ in 0..if count > 1 { PASSES } else { 0 } {
            let groups = Groups::over(clusters, division.seed);
            let mut means = Means::new(groups.all());
            pieces(source, space, |_, placed| means.add(placed, &groups.nearest(placed)))?;
            clusters = means.finish(groups.all());
        }
        let groups = Groups::over(clusters, division.seed);
        let mut nearest: Vec<u32> = Vec::with_capacity(rows);
        pieces(source, space, |_, placed| {
            nearest.extend(groups.nearest(placed).iter().map(|[(_, list)]: &Nearest<1>| *list));
        })?;
        Self::balanced(source, space, division, groups.all().clone(), nearest)
    }

    /// Of rows that are assigned to lists: brings lists into bounds and closes them.
    ///
    /// # Errors
    /// As [`Partition::build`].
    pub fn balanced(
        source: &dyn VectorSource,
        space: &Space,
        division: &Division,
        clusters: Clusters,
        mut nearest: Vec<u32>,
    ) -> Result<Self> {
        let clusters = balance(source, space, division, clusters, &mut nearest)?;
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); clusters.len()];
        for (row, list) in nearest.iter().enumerate() {
            lists[*list as usize].push(row as u32);
        }
        let mut partition = Self { clusters, lists };
        if division.closure > 0.0 && partition.lists.len() > 1 {
            partition.close(source, space, division, &nearest)?;
        }
        Ok(partition)
    }

    /// Adds the rows that are nearest to a border to the list beyond it.
    fn close(
        &mut self,
        source: &dyn VectorSource,
        space: &Space,
        division: &Division,
        own: &[u32],
    ) -> Result<()> {
        let groups = Groups::over(self.clusters.clone(), division.seed);
        let mut beyond: Vec<(f32, u32)> = Vec::with_capacity(own.len());
        pieces(source, space, |first, placed| {
            let second = placed
                .par_chunks(space.dimension())
                .zip(groups.nearest::<2>(placed))
                .zip(&own[first..])
                .map(|((row, nearest), own)| border(row, nearest, *own));
            beyond.par_extend(second);
        })?;
        let mut ratios: Vec<f32> = beyond.iter().map(|(ratio, _)| *ratio).collect();
        let cut = ((own.len() as f32 * division.closure) as usize).min(own.len() - 1);
        let (_, cut, _) = ratios.select_nth_unstable_by(cut, f32::total_cmp);
        let longest = division.longest();
        for (row, (ratio, list)) in beyond.iter().enumerate() {
            let list = &mut self.lists[*list as usize];
            if ratio < cut && list.len() < 2 * longest {
                list.push(row as u32);
            }
        }
        self.lists.par_iter_mut().for_each(|list| list.sort_unstable());
        Ok(())
    }
}

/// How near a row is to the border of the next list (1 is on it), and that list.
fn border(row: &[f32], nearest: Nearest<2>, own: u32) -> (f32, u32) {
    let square: f32 = row.iter().map(|value| value * value).sum();
    let distance = |score: f32| (square - 2.0 * score).max(0.0).sqrt();
    let [first, second] = nearest;
    let other = if first.1 == own { second } else { first };
    let ratio = distance(other.0) / distance(first.0).max(f32::MIN_POSITIVE);
    // A row without a second list is on no border.
    (if ratio.is_finite() && other.1 != own { ratio } else { f32::INFINITY }, other.1)
}

/// All rows in pieces, placed, with the number of the first.
pub fn pieces(source: &dyn VectorSource, space: &Space, mut each: impl FnMut(usize, &[f32])) -> Result<()> {
    let rows = (PIECE_BYTES / (space.dimension() * size_of::<f32>())).max(1);
    for first in (0..source.rows()).step_by(rows) {
        let last = source.rows().min(first + rows);
        let numbers: Vec<u32> = (first as u32..last as u32).collect();
        each(first, &space.rows(source, &numbers)?);
    }
    Ok(())
}
