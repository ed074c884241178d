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
    partition::Division,
    space::Space,
};
use crate::{engine::index::VectorSource, error::Result};

/// Splits may make new long or short lists; so often at most.
const MAX_ROUNDS: usize = 6;
/// Lists around a new centroid whose rows are assigned anew.
const NEIGHBOURS: usize = 8;

/// Changes the lists until they are within bounds, and returns the centroids; `nearest` is the list
/// of each row. Rows that no number of centroids tells apart (equal ones) may stay in a long list.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn balance(
    source: &dyn VectorSource,
    space: &Space,
    division: &Division,
    mut clusters: Clusters,
    nearest: &mut [u32],
) -> Result<Clusters> {
    let mut inseparable = BTreeSet::new();
    for round in 0..MAX_ROUNDS {
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); clusters.len()];
        for (row, list) in nearest.iter().enumerate() {
            lists[*list as usize].push(row as u32);
        }
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
        clusters =
            replace(source, space, division.seed ^ round as u64, &clusters, &lists, &gone, fresh, nearest)?;
    }
    Ok(clusters)
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

/// Removes and adds centroids, and assigns the rows anew that this concerns.
#[expect(clippy::too_many_arguments, reason = "one step of one loop")]
fn replace(
    source: &dyn VectorSource,
    space: &Space,
    seed: u64,
    clusters: &Clusters,
    lists: &[Vec<u32>],
    gone: &BTreeSet<usize>,
    fresh: Vec<f32>,
    nearest: &mut [u32],
) -> Result<Clusters> {
    // Before the change, since neighbours are lists of before.
    let before = Groups::over(clusters.clone(), seed);
    let mut concerned: BTreeSet<usize> = gone.clone();
    for around in before.nearest::<NEIGHBOURS>(&fresh) as Vec<Nearest<NEIGHBOURS>> {
        concerned.extend(around.iter().filter(|near| near.0.is_finite()).map(|(_, list)| *list as usize));
    }
    let kept: Vec<usize> = (0..clusters.len()).filter(|list| !gone.contains(list)).collect();
    let mut number = vec![0; clusters.len()];
    let mut values = Vec::with_capacity(clusters.values().len() + fresh.len());
    for (new, old) in kept.iter().enumerate() {
        number[*old] = new as u32;
        values.extend_from_slice(clusters.centroid(*old));
    }
    values.extend(fresh);
    let after = Groups::over(Clusters::new(space.dimension(), values), seed);
    nearest.iter_mut().for_each(|list| *list = number[*list as usize]);
    let rows: Vec<u32> = concerned.iter().flat_map(|list| &lists[*list]).copied().collect();
    for rows in rows.chunks(16 << 10) {
        let found = after.nearest::<1>(&space.rows(source, rows)?);
        for (row, [(_, list)]) in rows.iter().zip(found) {
            nearest[*row as usize] = list;
        }
    }
    Ok(after.all().clone())
}
