//! Centroids: vectors that stand for the many near them.
//!
//! Vectors are assigned by the largest `⟨vector, centroid⟩ - ‖centroid‖²/2`, which is the smallest
//! euclidean distance; many vectors and centroids are multiplied at a time. Training is Lloyd's
//! algorithm on a sample ("Least squares quantization in PCM", 1982).
//!
//! Invariant: the result follows from the vectors and the seed, whatever the number of threads.

use rayon::prelude::*;

use crate::engine::index::{
    kernel::{Kernel, Rows, Selection},
    random::Numbers,
};

/// Vectors that are multiplied at a time, a multiple of what each kernel computes at once.
const GROUP: usize = 36;
/// Bytes of centroids that are multiplied at a time: they stay in the second-level cache.
const BLOCK_BYTES: usize = 256 << 10;
/// Candidates that are looked at together.
const TILE: usize = 16;
/// Vectors per task.
const TASK_ROWS: usize = GROUP * 16;
/// Rounds of Lloyd's algorithm.
const ROUNDS: usize = 8;
/// Vectors per centroid that training looks at.
const SAMPLED: usize = 64;

/// The nearest `N` centroids of a vector, the nearest first, with `⟨vector, c⟩ - ‖c‖²/2`.
pub type Nearest<const N: usize> = [(f32, u32); N];

/// Nothing yet.
pub const NOWHERE: (f32, u32) = (f32::NEG_INFINITY, 0);

/// Centroids to assign vectors to.
#[derive(Debug, Clone, Default)]
pub struct Clusters {
    dimension: usize,
    centroids: Vec<f32>,
    /// `‖centroid‖²/2`
    half_squares: Vec<f32>,
}

impl Clusters {
    /// Of these centroids, one after the other.
    pub fn new(dimension: usize, centroids: Vec<f32>) -> Self {
        let half_square = |centroid: &[f32]| centroid.iter().map(|value| value * value).sum::<f32>() / 2.0;
        let half_squares = centroids.chunks_exact(dimension).map(half_square).collect();
        Self { dimension, centroids, half_squares }
    }

    /// `count` centroids of these vectors (fewer, if there are not as many).
    pub fn train(dimension: usize, vectors: &[f32], count: usize, seed: u64) -> Self {
        let rows = vectors.len() / dimension;
        let mut numbers = Numbers::new(seed);
        let mut clusters = Self::new(dimension, gather(dimension, vectors, numbers.sample(count, rows)));
        let sample = gather(dimension, vectors, numbers.sample(count * SAMPLED, rows));
        for _ in 0..ROUNDS {
            let mut means = Means::new(&clusters);
            means.add(&sample, &clusters.nearest::<1>(&sample));
            clusters = means.finish(&clusters);
        }
        clusters
    }

    /// Values per centroid.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.half_squares.len()
    }

    /// A centroid.
    pub fn centroid(&self, index: usize) -> &[f32] {
        &self.centroids[index * self.dimension..(index + 1) * self.dimension]
    }

    /// `⟨vector, c⟩ - ‖c‖²/2` of a centroid.
    pub fn score(&self, index: u32, vector: &[f32]) -> f32 {
        let centroid = self.centroid(index as usize).iter();
        centroid.zip(vector).map(|(left, right)| left * right).sum::<f32>()
            - self.half_squares[index as usize]
    }

    /// All of them, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.centroids
    }

    /// The nearest centroids of each vector, equally near ones by number. If there are fewer than
    /// `N`, the rest is [`NOWHERE`].
    pub fn nearest<const N: usize>(&self, vectors: &[f32]) -> Vec<Nearest<N>> {
        let mut nearest = vec![[NOWHERE; N]; vectors.len() / self.dimension];
        nearest
            .par_chunks_mut(TASK_ROWS)
            .zip(vectors.par_chunks(TASK_ROWS * self.dimension))
            .for_each(|(nearest, vectors)| self.assign(vectors, nearest));
        nearest
    }

    /// The same on this thread.
    pub fn assign<const N: usize>(&self, vectors: &[f32], nearest: &mut [Nearest<N>]) {
        self.assign_each(vectors.chunks_exact(self.dimension), nearest);
    }

    /// The same for vectors that lie anywhere.
    pub fn assign_each<'a, const N: usize>(
        &self,
        mut vectors: impl Iterator<Item = &'a [f32]>,
        nearest: &mut [Nearest<N>],
    ) {
        let kernel = Kernel::detected();
        let block = (BLOCK_BYTES / size_of::<f32>() / self.dimension).max(1);
        let mut products = vec![0.0; GROUP * block.min(self.len())];
        for nearest in nearest.chunks_mut(GROUP) {
            let mut rows: [&[f32]; GROUP] = [&[]; GROUP];
            for (slot, row) in rows.iter_mut().zip(vectors.by_ref()) {
                *slot = row;
            }
            let rows = &rows[..nearest.len()];
            for first in (0..self.len()).step_by(block) {
                let last = self.len().min(first + block);
                let table = &self.centroids[first * self.dimension..last * self.dimension];
                let products = &mut products[..rows.len() * (last - first)];
                kernel.dot(rows, &Rows::new(table, self.dimension, Selection::All), products);
                for (products, nearest) in products.chunks_exact(last - first).zip(nearest.iter_mut()) {
                    insert_all(nearest, products, &self.half_squares[first..last], first);
                }
            }
        }
    }
}

/// [`insert`]s the candidates of these products, the first of which is number `first`.
fn insert_all<const N: usize>(
    nearest: &mut Nearest<N>,
    products: &[f32],
    half_squares: &[f32],
    first: usize,
) {
    let tiles = products.chunks(TILE).zip(half_squares.chunks(TILE));
    for ((products, halves), first) in tiles.zip((first..).step_by(TILE)) {
        let whole = products.as_array::<TILE>().zip(halves.as_array::<TILE>());
        let worst = nearest.last().map_or(f32::INFINITY, |last| last.0);
        if whole.is_some_and(|(products, halves)| !is_any_above(products, halves, worst)) {
            continue;
        }
        for (index, (product, half)) in products.iter().zip(halves).enumerate() {
            insert(nearest, (product - half, (first + index) as u32));
        }
    }
}

/// Whether any of these candidates is to be inserted: nearly always none is, and so many at a time are compared
/// at once.
fn is_any_above(products: &[f32; TILE], half_squares: &[f32; TILE], worst: f32) -> bool {
    let mut any = false;
    for (product, half) in products.iter().zip(half_squares) {
        any |= product - half > worst;
    }
    any
}

/// Keeps the best, the best first; of equal ones those that came first.
#[inline]
pub fn insert<const N: usize>(nearest: &mut Nearest<N>, candidate: (f32, u32)) {
    let worst = nearest.last().map_or(f32::INFINITY, |last| last.0);
    if candidate.0 <= worst || candidate.0.is_nan() {
        return;
    }
    let mut place = N - 1;
    while place > 0 && nearest[place - 1].0 < candidate.0 {
        nearest[place] = nearest[place - 1];
        place -= 1;
    }
    nearest[place] = candidate;
}

/// The means of the vectors that are assigned to each centroid: a round of Lloyd's algorithm, on
/// vectors that come in pieces.
#[derive(Debug)]
pub struct Means {
    dimension: usize,
    sums: Vec<f32>,
    counts: Vec<u32>,
    /// For each centroid a vector that it would give up: the last one assigned.
    spare: Vec<Vec<f32>>,
}

impl Means {
    /// Of nothing yet.
    pub fn new(clusters: &Clusters) -> Self {
        Self {
            dimension: clusters.dimension,
            sums: vec![0.0; clusters.centroids.len()],
            counts: vec![0; clusters.len()],
            spare: vec![Vec::new(); clusters.len()],
        }
    }

    /// Adds vectors with what they are assigned to: to each centroid in their order, to several at once.
    pub fn add(&mut self, vectors: &[f32], nearest: &[Nearest<1>]) {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.counts.len()];
        for (row, [(_, cluster)]) in nearest.iter().enumerate() {
            members[*cluster as usize].push(row);
        }
        let sums = self.sums.par_chunks_mut(self.dimension).zip(&mut self.counts).zip(&mut self.spare);
        sums.zip(members).for_each(|(((sums, count), spare), members)| {
            for row in members {
                let vector = &vectors[row * self.dimension..(row + 1) * self.dimension];
                sums.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
                *count += 1;
                if count.is_power_of_two() {
                    spare.clear();
                    spare.extend_from_slice(vector);
                }
            }
        });
    }

    /// The centroids moved to the means; one without vectors takes one from the largest.
    pub fn finish(mut self, clusters: &Clusters) -> Clusters {
        let mut centroids = clusters.centroids.clone();
        let pieces = centroids.chunks_exact_mut(self.dimension).zip(self.sums.chunks_exact(self.dimension));
        for ((centroid, sums), count) in pieces.zip(&self.counts) {
            if *count > 0 {
                centroid.iter_mut().zip(sums).for_each(|(value, sum)| *value = sum / *count as f32);
            }
        }
        for empty in 0..self.counts.len() {
            if self.counts[empty] > 0 {
                continue;
            }
            let largest =
                (0..self.counts.len()).max_by_key(|index| (self.counts[*index], usize::MAX - index));
            let Some(largest) = largest.filter(|largest| self.counts[*largest] > 1) else { break };
            centroids[empty * self.dimension..(empty + 1) * self.dimension]
                .copy_from_slice(&self.spare[largest]);
            self.counts[empty] = self.counts[largest] / 2;
            self.counts[largest] -= self.counts[empty];
            self.spare[empty] = self.spare[largest].clone();
        }
        Clusters::new(self.dimension, centroids)
    }
}

/// Some of these vectors, one after the other.
pub fn gather(dimension: usize, vectors: &[f32], rows: impl IntoIterator<Item = usize>) -> Vec<f32> {
    let rows = rows.into_iter();
    let mut gathered = Vec::with_capacity(rows.size_hint().0 * dimension);
    rows.for_each(|row| gathered.extend_from_slice(&vectors[row * dimension..(row + 1) * dimension]));
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, whose products are exact, and many of which are equal.
    #[test]
    fn the_nearest_are_those_of_a_look_at_each() {
        let mut numbers = Numbers::new(5);
        for count in [1, 3, 15, 16, 17, 40] {
            let mut values =
                |rows: usize| -> Vec<f32> { (0..rows * 4).map(|_| numbers.below(7) as f32 - 3.0).collect() };
            let (clusters, vectors) = (Clusters::new(4, values(count)), values(100));
            for (vector, nearest) in vectors.chunks_exact(4).zip(clusters.nearest::<3>(&vectors)) {
                let score = |index: u32| (clusters.score(index, vector), index);
                let mut expected: Vec<(f32, u32)> = (0..count as u32).map(score).collect();
                expected.sort_by(|one, other| other.0.total_cmp(&one.0));
                expected.resize(expected.len().max(3), NOWHERE);
                assert_eq!(nearest[..], expected[..3], "{count}");
            }
        }
    }
}
