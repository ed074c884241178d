//! A random rotation in `O(d log d)`: it spreads what a vector says evenly over its values, so that
//! a few bits per value keep most of it.
//!
//! Rounds of random signs and a Hadamard transform (Ailon and Chazelle, "The Fast
//! Johnson-Lindenstrauss Transform", 2009). The transform wants a power of two: it is applied to as
//! many of the first values as that allows, and in the next round to as many of the last.
//!
//! Invariant: inner products and lengths stay what they were, but for rounding.

use super::random::Numbers;

/// Values are padded with zeros to a multiple of it: the bits of one word.
const ALIGNMENT: usize = 64;
/// Values that are transformed among themselves before others are looked at.
const TILE: usize = 16;
/// Rounds; each half of the values meets the other twice.
const ROUNDS: usize = 4;

/// A rotation of vectors of one dimension.
#[derive(Debug, Clone)]
pub(super) struct Rotation {
    dimension: usize,
    /// A sign for every value, as its factor, round after round.
    signs: Vec<f32>,
}

impl Rotation {
    /// The rotation of a seed for vectors of a dimension.
    pub(super) fn new(dimension: usize, seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let values = rotated_dimension(dimension) * ROUNDS;
        let signs = (0..values).map(|_| if numbers.next() >> 63 == 0 { 1.0 } else { -1.0 }).collect();
        Self { dimension, signs }
    }

    /// Values of a rotated vector.
    pub(super) fn rotated_dimension(&self) -> usize {
        rotated_dimension(self.dimension)
    }

    /// Rotates a vector, multiplied by `factor`, into `rotated`.
    ///
    /// # Panics
    /// If either has another number of values than the rotation.
    pub(super) fn rotate(&self, vector: &[f32], factor: f32, rotated: &mut [f32]) {
        assert_eq!((vector.len(), rotated.len()), (self.dimension, self.rotated_dimension()));
        rotated[self.dimension..].fill(0.0);
        for (to, from) in rotated.iter_mut().zip(vector) {
            *to = from * factor;
        }
        let block = 1 << rotated.len().ilog2();
        let scale = 1.0 / (block as f32).sqrt();
        for (round, signs) in self.signs.chunks_exact(rotated.len()).enumerate() {
            let start = if round % 2 == 0 { 0 } else { rotated.len() - block };
            for (value, sign) in rotated.iter_mut().zip(signs) {
                *value *= sign;
            }
            let values = &mut rotated[start..start + block];
            hadamard(values);
            values.iter_mut().for_each(|value| *value *= scale);
        }
    }
}

/// Values of a rotated vector of a dimension.
pub(super) fn rotated_dimension(dimension: usize) -> usize {
    dimension.next_multiple_of(ALIGNMENT)
}

/// The unnormalised Walsh-Hadamard transform, in place; the number of values is a power of two, and at least
/// [`TILE`]. Its steps are those of the textbook in their order, so that rounding is the same: those within a tile
/// without leaving registers, the others two at a time.
fn hadamard(values: &mut [f32]) {
    for tile in values.as_chunks_mut::<TILE>().0 {
        step_within::<1>(tile);
        step_within::<2>(tile);
        step_within::<4>(tile);
        step_within::<8>(tile);
    }
    let mut half = TILE;
    while 2 * half < values.len() {
        for four in values.chunks_exact_mut(4 * half) {
            two_steps(four);
        }
        half *= 4;
    }
    if half < values.len() {
        let (left, right) = values.split_at_mut(half);
        for (left, right) in left.iter_mut().zip(right) {
            (*left, *right) = (*left + *right, *left - *right);
        }
    }
}

/// Each value becomes the sum or the difference of itself and the one `HALF` places further.
fn step_within<const HALF: usize>(tile: &mut [f32; TILE]) {
    let before = *tile;
    for (place, value) in tile.iter_mut().enumerate() {
        let other = before[place ^ HALF];
        *value = if place & HALF == 0 { before[place] + other } else { other - before[place] };
    }
}

/// The step between neighbouring quarters, and that between halves.
fn two_steps(values: &mut [f32]) {
    let (left, right) = values.split_at_mut(values.len() / 2);
    let (first, second) = left.split_at_mut(left.len() / 2);
    let (third, fourth) = right.split_at_mut(right.len() / 2);
    for (((first, second), third), fourth) in first.iter_mut().zip(second).zip(third).zip(fourth) {
        let (sum, difference) = (*first + *second, *first - *second);
        let (other_sum, other_difference) = (*third + *fourth, *third - *fourth);
        (*first, *third) = (sum + other_sum, sum - other_sum);
        (*second, *fourth) = (difference + other_difference, difference - other_difference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(dimension: usize, seed: u64) -> Vec<f32> {
        let mut numbers = Numbers::new(seed);
        (0..dimension).map(|_| numbers.below(2001) as f32 / 1000.0 - 1.0).collect()
    }

    fn dot(left: &[f32], right: &[f32]) -> f64 {
        left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
    }

    #[test]
    fn keeps_inner_products() {
        for dimension in [1, 2, 63, 64, 65, 100, 384, 768, 1000, 4096] {
            let rotation = Rotation::new(dimension, 7);
            let [left, right] = [1, 2].map(|seed| vector(dimension, seed));
            let rotate = |vector: &[f32]| {
                let mut rotated = vec![9.0; rotation.rotated_dimension()];
                rotation.rotate(vector, 0.5, &mut rotated);
                rotated
            };
            let (before, after) = (dot(&left, &right) / 4.0, dot(&rotate(&left), &rotate(&right)));
            assert!((before - after).abs() < 1e-4 * dimension as f64, "{dimension}: {before} and {after}");
        }
    }

    /// To the bit, since indexes that are stored were made with it.
    #[test]
    fn the_transform_is_that_of_the_textbook() {
        for length in [16, 32, 64, 128, 256, 512, 1024, 4096] {
            let mut expected = vector(length, length as u64);
            let mut transformed = expected.clone();
            let mut half = 1;
            while half < length {
                for pair in expected.chunks_exact_mut(2 * half) {
                    for place in 0..half {
                        let (left, right) = (pair[place], pair[place + half]);
                        (pair[place], pair[place + half]) = (left + right, left - right);
                    }
                }
                half *= 2;
            }
            hadamard(&mut transformed);
            assert_eq!(transformed, expected, "{length}");
        }
    }

    /// One value alone ends up everywhere, as does each of a vector that is not spread at all.
    #[test]
    fn spreads_what_was_in_one_place() {
        for dimension in [64, 100, 384, 1000] {
            let rotation = Rotation::new(dimension, 3);
            for place in [0, dimension / 2, dimension - 1] {
                let mut lone = vec![0.0; dimension];
                lone[place] = 1.0;
                let mut rotated = vec![0.0; rotation.rotated_dimension()];
                rotation.rotate(&lone, 1.0, &mut rotated);
                let largest = rotated.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                let even = 1.0 / (rotated.len() as f32).sqrt();
                assert!(largest < 6.0 * even, "{dimension}, {place}: {largest}");
            }
        }
    }
}
