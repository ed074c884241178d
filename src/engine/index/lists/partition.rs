//! Rows in lists of near ones, none of them long.
//!
//! Centroids are trained on a sample and moved by passes over all rows, which come in pieces, so
//! memory is bounded by the numbers of lists and not by the rows' vectors. Then lists are brought
//! into bounds ([`super::balance`]), and rows near a border join the list beyond it as well
//! (closure assignment; Chen et al., "SPANN: Highly-efficient Billion-scale Approximate Nearest
//! Neighbor Search", NeurIPS 2021, 3.2), so that fewer lists have to be looked at.

use rayon::prelude::*;

use super::{
    balance::{Balanced, balance, members},
    clusters::{Clusters, Means, Nearest},
    groups::Groups,
    heritage::NONE,
    space::Space,
};
use crate::{
    engine::index::{VectorSource, random::Numbers},
    error::Result,
};

/// Bytes of vectors that are in memory at a time, and of the sample.
pub const PIECE_BYTES: usize = 32 << 20;
const SAMPLE_BYTES: usize = 96 << 20;
/// Passes over the rows that move the centroids.
const PASSES: usize = 2;
/// Rows that tell how near to a border the wanted share of them is.
const BORDER_SAMPLE: usize = 4096;

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
    /// For each list which one of the kept ones it is; none if its centroid is another one.
    pub origins: Vec<Option<u32>>,
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
        let all: Vec<u32> = (0..source.rows() as u32).collect();
        let mut clusters = train(source, space, division)?;
        for _ in 0..if clusters.len() > 1 { PASSES } else { 0 } {
            let groups = Groups::over(clusters, division.seed);
            let mut means = Means::new(groups.all());
            some(source, space, &all, |_, placed| means.add(placed, &groups.nearest(placed)))?;
            clusters = means.finish(groups.all());
        }
        let groups = Groups::over(clusters, division.seed);
        let mut own = vec![NONE; all.len()];
        assign(source, space, &groups, &all, &mut own)?;
        let Balanced { clusters, .. } = balance(source, space, division, groups.into_all(), &mut own)?;
        let origins = vec![None; clusters.len()];
        let mut partition = Self { lists: members(clusters.len(), &own), clusters, origins };
        partition.close(source, space, division, &own, &all)?;
        Ok(partition)
    }

    /// Adds those of some rows that are near to a border to the list beyond it. How near that is, for
    /// the wanted share of rows, is found with all of them, or with some that are chosen by chance.
    ///
    /// # Errors
    /// As [`Partition::build`].
    pub fn close(
        &mut self,
        source: &dyn VectorSource,
        space: &Space,
        division: &Division,
        own: &[u32],
        rows: &[u32],
    ) -> Result<()> {
        if division.closure > 0.0 && self.lists.len() > 1 {
            let groups = Groups::over(self.clusters.clone(), division.seed);
            let borders = |rows: &[u32]| -> Result<Vec<(f32, u32)>> {
                let mut borders = Vec::with_capacity(rows.len());
                some(source, space, rows, |rows, placed| {
                    borders.extend(borders_of(space, rows, placed, groups.nearest::<2>(placed), own));
                })?;
                Ok(borders)
            };
            let found = borders(rows)?;
            let cut = if rows.len() == own.len() {
                cut(found.iter(), division.closure)
            } else {
                let sample = Numbers::new(division.seed).sample(BORDER_SAMPLE, own.len());
                let sample: Vec<u32> = sample.into_iter().map(|row| row as u32).collect();
                cut(borders(&sample)?.iter(), division.closure)
            };
            for (row, (_, list)) in rows.iter().zip(found).filter(|(_, (ratio, _))| *ratio < cut) {
                let list = &mut self.lists[list as usize];
                if list.len() < 2 * division.longest() {
                    list.push(*row);
                }
            }
        }
        self.lists.par_iter_mut().for_each(|list| list.sort_unstable());
        Ok(())
    }
}

/// Centroids of rows, as many as there are to be lists.
fn train(source: &dyn VectorSource, space: &Space, division: &Division) -> Result<Clusters> {
    let count = source.rows().div_ceil(division.list_rows).max(1);
    let sampled = (SAMPLE_BYTES / (space.dimension() * size_of::<f32>())).max(2 * count);
    let sample = Numbers::new(division.seed).sample(sampled, source.rows());
    let sample: Vec<u32> = sample.into_iter().map(|row| row as u32).collect();
    Ok(Groups::train(space.dimension(), &space.rows(source, &sample)?, count, division.seed))
}

/// Puts rows into the nearest lists.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn assign(
    source: &dyn VectorSource,
    space: &Space,
    groups: &Groups,
    rows: &[u32],
    own: &mut [u32],
) -> Result<()> {
    some(source, space, rows, |rows, placed| {
        for (row, [(_, list)]) in rows.iter().zip(groups.nearest::<1>(placed)) {
            own[*row as usize] = list;
        }
    })
}

/// The ratio that a share of these are below.
fn cut<'a>(borders: impl Iterator<Item = &'a (f32, u32)>, share: f32) -> f32 {
    let mut ratios: Vec<f32> = borders.map(|(ratio, _)| *ratio).collect();
    let place = ((ratios.len() as f32 * share) as usize).min(ratios.len().saturating_sub(1));
    if ratios.is_empty() { 0.0 } else { *ratios.select_nth_unstable_by(place, f32::total_cmp).1 }
}

/// [`border`] of rows.
fn borders_of(
    space: &Space,
    rows: &[u32],
    placed: &[f32],
    nearest: Vec<Nearest<2>>,
    own: &[u32],
) -> Vec<(f32, u32)> {
    let rows = placed.par_chunks(space.dimension()).zip(nearest).zip(rows);
    rows.map(|((placed, nearest), row)| border(placed, nearest, own[*row as usize])).collect()
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

/// Some rows in pieces, with their numbers.
fn some(
    source: &dyn VectorSource,
    space: &Space,
    rows: &[u32],
    mut each: impl FnMut(&[u32], &[f32]),
) -> Result<()> {
    let mut placed = Vec::new();
    for rows in rows.chunks((PIECE_BYTES / (space.dimension() * size_of::<f32>())).max(1)) {
        space.rows_into(source, rows, &mut placed)?;
        each(rows, &placed);
    }
    Ok(())
}
