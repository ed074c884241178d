//! Lists that continue those of an older index, so that the work follows what changed.
//!
//! LIRE (Xu et al., SOSP 2023, 3.2), at the pace of merges: new rows join the nearest list; lists that
//! get too long are split and too short ones dissolved, and only rows around them look for another
//! list ([`super::balance`]). What LIRE leaves to chance is done here as well: a list many of whose
//! rows are new in it gets their mean as its centroid. Without that, centroids stay behind when data
//! drift, and after a dozen merges recall is 1.5 to 4 points lower than that of a fresh build.
//!
//! All other lists keep their rows, and their centroids to the byte.

use std::collections::BTreeMap;

use super::{
    balance::{balance, members},
    clusters::{Clusters, gather},
    groups::Groups,
    heritage::{Heritage, NONE},
    partition::{Division, Partition, assign},
    space::Space,
};
use crate::{engine::index::VectorSource, error::Result};

/// Lists are kept unless there are so many times more than wanted.
const SURPLUS: f32 = 1.25;

/// Divides rows of which most are in lists already.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn extend(
    source: &dyn VectorSource,
    space: &Space,
    division: &Division,
    heritage: Heritage,
) -> Result<Partition> {
    let Heritage { clusters, mut own, beyond } = heritage;
    let new = homeless(&own);
    let groups = Groups::over(clusters, division.seed);
    assign(source, space, &groups, &new, &mut own)?;
    let (clusters, kept, dissolved) = thin(source, space, division, groups.into_all(), &mut own)?;
    let mut balanced = balance(source, space, division, clusters, &mut own)?;
    new.iter().chain(&dissolved).for_each(|row| balanced.strayed[*row as usize] = true);
    balanced.settle(source, space, division.seed, &mut own)?;
    let origins = balanced.origins.iter().map(|origin| Some(kept[(*origin)? as usize])).collect();
    let lists = members(balanced.clusters.len(), &own);
    let mut partition = Partition { clusters: balanced.clusters, lists, origins };
    let open = stay(&mut partition, &own, &beyond, &balanced.strayed);
    partition.close(source, space, division, &own, &open)?;
    Ok(partition)
}

/// Rows that are in no list.
fn homeless(own: &[u32]) -> Vec<u32> {
    (0..own.len() as u32).filter(|row| own[*row as usize] == NONE).collect()
}

/// Leaves rows that are where they were in their second lists, if those are; returns the other rows,
/// which may have another second list now.
fn stay(partition: &mut Partition, own: &[u32], beyond: &[u32], strayed: &[bool]) -> Vec<u32> {
    let origins = partition.origins.iter().enumerate();
    let now: BTreeMap<u32, u32> =
        origins.filter_map(|(list, origin)| Some(((*origin)?, list as u32))).collect();
    let mut open = Vec::new();
    for (row, beyond) in beyond.iter().enumerate() {
        match now.get(beyond) {
            _ if strayed[row] => open.push(row as u32),
            _ if *beyond == NONE => {}
            Some(list) if *list != own[row] => partition.lists[*list as usize].push(row as u32),
            _ => open.push(row as u32),
        }
    }
    open
}

/// Dissolves the shortest lists if there are far more than wanted; says which are left, and which rows
/// were in others.
fn thin(
    source: &dyn VectorSource,
    space: &Space,
    division: &Division,
    clusters: Clusters,
    own: &mut [u32],
) -> Result<(Clusters, Vec<u32>, Vec<u32>)> {
    let mut left: Vec<u32> = (0..clusters.len() as u32).collect();
    let wanted = own.len().div_ceil(division.list_rows).max(1);
    if left.len() as f32 <= SURPLUS * wanted as f32 {
        return Ok((clusters, left, Vec::new()));
    }
    let lengths: Vec<usize> = members(clusters.len(), own).iter().map(Vec::len).collect();
    left.sort_by_key(|list| (usize::MAX - lengths[*list as usize], *list));
    left.truncate(wanted);
    left.sort_unstable();
    let mut number = vec![NONE; clusters.len()];
    left.iter().enumerate().for_each(|(new, old)| number[*old as usize] = new as u32);
    own.iter_mut().for_each(|list| *list = number[*list as usize]);
    let values = gather(space.dimension(), clusters.values(), left.iter().map(|list| *list as usize));
    let groups = Groups::over(Clusters::new(space.dimension(), values), division.seed);
    let dissolved = homeless(own);
    assign(source, space, &groups, &dissolved, own)?;
    Ok((groups.into_all(), left, dissolved))
}
