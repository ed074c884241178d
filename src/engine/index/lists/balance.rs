//! Lists within bounds: long ones are split, short ones dissolved, and the rows around a change look
//! for their nearest list anew.
//!
//! LIRE (Xu et al., "SPFresh: Incremental In-Place Update for Billion-Scale Vector Search", SOSP
//! 2023, 3.2): after a split, only rows of the list itself and of lists near it can have another
//! nearest centroid. So the cost follows the lists that changed, not the number of rows.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::{
    clusters::{Clusters, Nearest},
    groups::Groups,
    heritage::NONE,
    partition::Division,
    space::Space,
};
use crate::{engine::index::VectorSource, error::Result};

/// Splits may make new long or short lists; so often at most.
const MAX_ROUNDS: usize = 6;
/// Lists around a new centroid whose rows are assigned anew.
const NEIGHBOURS: usize = 8;
/// If a larger share of the rows of a list is new there, its centroid is not where it should be.
const UNSETTLED: f32 = 0.1;

/// Lists within bounds.
#[derive(Debug)]
pub struct Balanced {
    /// One centroid a list.
    pub clusters: Clusters,
    /// For each list which one it was before; none if its centroid is new.
    pub origins: Vec<Option<u32>>,
    /// Whether a row is in another list than before.
    pub strayed: Vec<bool>,
}

/// Changes the lists until they are within bounds; `nearest` is the list of each row. Rows that no
/// number of centroids tells apart (equal ones) may stay in a long list.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn balance(
    source: &dyn VectorSource,
    space: &Space,
    division: &Division,
    clusters: Clusters,
    nearest: &mut [u32],
) -> Result<Balanced> {
    let origins = (0..clusters.len() as u32).map(Some).collect();
    let mut balanced = Balanced { clusters, origins, strayed: vec![false; nearest.len()] };
    let mut inseparable = BTreeSet::new();
    for round in 0..MAX_ROUNDS {
        let lists = members(balanced.clusters.len(), nearest);
        let long: Vec<usize> = (0..lists.len())
            .filter(|list| lists[*list].len() > division.longest() && !inseparable.contains(&lists[*list][0]))
            .collect();
        let short: Vec<usize> =
            (0..lists.len()).filter(|list| lists[*list].len() < division.shortest()).collect();
        if long.is_empty() && (short.is_empty() || short.len() == lists.len()) {
            break;
        }
        let halves = long
            .par_iter()
            .map(|list| split(source, space, division, &lists[*list]))
            .collect::<Result<Vec<_>>>()?;
        let mut gone: BTreeSet<usize> =
            if short.len() < lists.len() { short.into_iter().collect() } else { BTreeSet::new() };
        let mut fresh = Vec::new();
        for (list, halves) in long.iter().zip(halves) {
            match halves {
                Some(halves) => {
                    gone.insert(*list);
                    fresh.extend(halves);
                }
                None => {
                    inseparable.insert(lists[*list][0]);
                }
            }
        }
        if gone.is_empty() {
            break;
        }
        let change = Change { lists: &lists, gone: &gone, fresh };
        balanced.replace(source, space, division.seed ^ round as u64, change, nearest)?;
    }
    Ok(balanced)
}

/// The rows of each of so many lists, ascending; rows of other lists are left out.
pub fn members(lists: usize, own: &[u32]) -> Vec<Vec<u32>> {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); lists];
    for (row, list) in own.iter().enumerate() {
        if let Some(rows) = members.get_mut(*list as usize) {
            rows.push(row as u32);
        }
    }
    members
}

/// Two or more centroids for the rows of a list; none if the rows are equal.
fn split(
    source: &dyn VectorSource,
    space: &Space,
    division: &Division,
    rows: &[u32],
) -> Result<Option<Vec<f32>>> {
    let placed = space.rows(source, rows)?;
    let parts = rows.len().div_ceil(division.list_rows).clamp(2, 64);
    let clusters = Clusters::train(space.dimension(), &placed, parts, division.seed);
    let nearest = clusters.nearest::<1>(&placed);
    let separated = nearest.iter().any(|[(_, part)]| *part != nearest[0][0].1);
    Ok(separated.then(|| clusters.values().to_vec()))
}

/// Lists that are taken away, and centroids that come instead.
struct Change<'a> {
    /// The rows of each list.
    lists: &'a [Vec<u32>],
    gone: &'a BTreeSet<usize>,
    fresh: Vec<f32>,
}

impl Balanced {
    /// Moves the centroids of lists to the means of their rows, if many of those are new there, and lets
    /// the rows around look for their lists.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a row is damaged.
    pub fn settle(
        &mut self,
        source: &dyn VectorSource,
        space: &Space,
        seed: u64,
        nearest: &mut [u32],
    ) -> Result<()> {
        let lists = members(self.clusters.len(), nearest);
        let unsettled = |list: &usize| {
            let new = lists[*list].iter().filter(|row| self.strayed[**row as usize]).count();
            new as f32 > UNSETTLED * lists[*list].len() as f32
        };
        let moved: Vec<usize> = (0..lists.len()).filter(unsettled).collect();
        let means = moved.par_iter().map(|list| mean(source, space, &lists[*list]));
        let means = means.collect::<Result<Vec<Vec<f32>>>>()?;
        let mut values = self.clusters.values().to_vec();
        for (list, mean) in moved.iter().zip(&means) {
            values[list * space.dimension()..(list + 1) * space.dimension()].copy_from_slice(mean);
            self.origins[*list] = None;
        }
        let after = Groups::over(Clusters::new(space.dimension(), values), seed);
        let concerned = around(&after, &means.concat(), moved.into_iter().collect());
        self.look(source, space, &after, rows_of(&lists, &concerned), nearest)?;
        self.clusters = after.into_all();
        Ok(())
    }

    /// Lets rows look for the nearest list, and notes which have another one then.
    fn look(
        &mut self,
        source: &dyn VectorSource,
        space: &Space,
        groups: &Groups,
        mut rows: Vec<u32>,
        nearest: &mut [u32],
    ) -> Result<()> {
        // As they lie, which is the least to read.
        rows.sort_unstable();
        for rows in rows.chunks(16 << 10) {
            let found = groups.nearest::<1>(&space.rows(source, rows)?);
            for (row, [(_, list)]) in rows.iter().zip(found) {
                self.strayed[*row as usize] |= nearest[*row as usize] != list;
                nearest[*row as usize] = list;
            }
        }
        Ok(())
    }

    /// Removes and adds centroids, and assigns the rows anew that this concerns.
    fn replace(
        &mut self,
        source: &dyn VectorSource,
        space: &Space,
        seed: u64,
        Change { lists, gone, fresh }: Change<'_>,
        nearest: &mut [u32],
    ) -> Result<()> {
        // Before the change, since neighbours are lists of before.
        let before = Groups::over(std::mem::take(&mut self.clusters), seed);
        let concerned = around(&before, &fresh, gone.clone());
        let clusters = before.all();
        let mut number = vec![NONE; clusters.len()];
        let mut origins = Vec::new();
        let mut values = Vec::with_capacity(clusters.values().len() + fresh.len());
        for old in (0..clusters.len()).filter(|list| !gone.contains(list)) {
            number[old] = origins.len() as u32;
            origins.push(self.origins[old]);
            values.extend_from_slice(clusters.centroid(old));
        }
        origins.resize(origins.len() + fresh.len() / space.dimension(), None);
        values.extend(fresh);
        let after = Groups::over(Clusters::new(space.dimension(), values), seed);
        nearest.iter_mut().for_each(|list| *list = number[*list as usize]);
        self.look(source, space, &after, rows_of(lists, &concerned), nearest)?;
        self.clusters = after.into_all();
        self.origins = origins;
        Ok(())
    }
}

/// These lists, and those around centroids.
fn around(groups: &Groups, centroids: &[f32], mut lists: BTreeSet<usize>) -> BTreeSet<usize> {
    for around in groups.nearest::<NEIGHBOURS>(centroids) as Vec<Nearest<NEIGHBOURS>> {
        lists.extend(around.iter().filter(|near| near.0.is_finite()).map(|(_, list)| *list as usize));
    }
    lists
}

/// The rows of some of these lists.
fn rows_of(lists: &[Vec<u32>], some: &BTreeSet<usize>) -> Vec<u32> {
    some.iter().flat_map(|list| &lists[*list]).copied().collect()
}

/// The mean of rows.
fn mean(source: &dyn VectorSource, space: &Space, rows: &[u32]) -> Result<Vec<f32>> {
    let placed = space.rows(source, rows)?;
    let mut mean = vec![0.0; space.dimension()];
    for row in placed.chunks_exact(space.dimension()) {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / rows.len() as f32);
    }
    Ok(mean)
}
