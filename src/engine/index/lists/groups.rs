//! Centroids in groups of near ones, so that a vector is compared with the centroids of a few groups
//! and not with all.
//!
//! With `k` centroids in `√k` groups, finding the nearest one takes a small multiple of `√k`
//! products. It is nearly always the nearest of all, and never far from it.

use rayon::prelude::*;

use super::clusters::{Clusters, NOWHERE, Nearest, gather, insert};

/// Fewer centroids than this are one group.
const MIN_GROUPED: usize = 256;
/// The nearest groups whose centroids are looked at.
const BEAM: usize = 6;
/// Vectors per task: enough for each group to meet several.
const TASK_ROWS: usize = 4096;

/// Centroids in groups.
#[derive(Debug)]
pub struct Groups {
    coarse: Clusters,
    fine: Vec<Group>,
    /// All centroids by number.
    all: Clusters,
}

#[derive(Debug)]
struct Group {
    clusters: Clusters,
    numbers: Vec<u32>,
}

impl Groups {
    /// Groups these centroids.
    pub fn over(all: Clusters, seed: u64) -> Self {
        let (dimension, len) = (all.dimension(), all.len());
        if len < MIN_GROUPED {
            return Self { coarse: Clusters::new(dimension, Vec::new()), fine: Vec::new(), all };
        }
        let coarse = Clusters::train(dimension, all.values(), len.isqrt(), seed);
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); coarse.len()];
        for (centroid, [(_, group)]) in coarse.nearest::<1>(all.values()).iter().enumerate() {
            members[*group as usize].push(centroid as u32);
        }
        let group = |numbers: Vec<u32>| {
            let values = gather(dimension, all.values(), numbers.iter().map(|number| *number as usize));
            Group { clusters: Clusters::new(dimension, values), numbers }
        };
        let fine = members.into_iter().map(group).collect();
        Self { coarse, fine, all }
    }

    /// About `count` centroids of these vectors, trained in two levels.
    pub fn train(dimension: usize, vectors: &[f32], count: usize, seed: u64) -> Clusters {
        let rows = vectors.len() / dimension;
        let count = count.clamp(1, rows.max(1));
        if count < MIN_GROUPED {
            return Clusters::train(dimension, vectors, count, seed);
        }
        let coarse = Clusters::train(dimension, vectors, count.isqrt(), seed);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); coarse.len()];
        for (row, [(_, group)]) in coarse.nearest::<1>(vectors).iter().enumerate() {
            members[*group as usize].push(row);
        }
        let train = |(group, members): (usize, &Vec<usize>)| {
            let share = (members.len() * count).div_ceil(rows).min(members.len());
            let members = gather(dimension, vectors, members.iter().copied());
            Clusters::train(dimension, &members, share, seed ^ (group as u64 + 1)).values().to_vec()
        };
        let centroids: Vec<Vec<f32>> = members.par_iter().enumerate().map(train).collect();
        Clusters::new(dimension, centroids.concat())
    }

    /// All centroids by number.
    pub fn all(&self) -> &Clusters {
        &self.all
    }

    /// All centroids by number, without the groups.
    pub fn into_all(self) -> Clusters {
        self.all
    }

    /// The nearest centroids of each vector, as [`Clusters::nearest`].
    pub fn nearest<const N: usize>(&self, vectors: &[f32]) -> Vec<Nearest<N>> {
        if self.fine.is_empty() {
            return self.all.nearest(vectors);
        }
        let mut nearest = vec![[NOWHERE; N]; vectors.len() / self.all.dimension()];
        nearest
            .par_chunks_mut(TASK_ROWS)
            .zip(vectors.par_chunks(TASK_ROWS * self.all.dimension()))
            .for_each(|(nearest, vectors)| self.assign(vectors, nearest));
        nearest
    }

    /// Group by group, so that many vectors meet its centroids while those are in the cache.
    fn assign<const N: usize>(&self, vectors: &[f32], nearest: &mut [Nearest<N>]) {
        let dimension = self.all.dimension();
        let mut beams = vec![[NOWHERE; BEAM]; nearest.len()];
        self.coarse.assign(vectors, &mut beams);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.fine.len()];
        for (row, beam) in beams.iter().enumerate() {
            for (_, group) in beam.iter().filter(|near| **near != NOWHERE) {
                members[*group as usize].push(row);
            }
        }
        for (group, members) in self.fine.iter().zip(&members) {
            let rows = members.iter().map(|row| &vectors[row * dimension..(row + 1) * dimension]);
            let mut found = vec![[NOWHERE; N]; members.len()];
            group.clusters.assign_each(rows, &mut found);
            for (row, found) in members.iter().zip(found) {
                for (score, index) in found.into_iter().filter(|near| *near != NOWHERE) {
                    insert(&mut nearest[*row], (score, group.numbers[index as usize]));
                }
            }
        }
    }
}
