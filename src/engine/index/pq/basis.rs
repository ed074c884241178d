//! The directions in which residuals vary, shared out among the subspaces so that each has as much to
//! tell.
//!
//! Residuals of real data vary in some directions many times more than in others. Sixteen centroids
//! say the more of a subspace the less its values are alike: along the principal components, the
//! strong and the weak ones spread evenly, codes of the same length lose much less (the parametric
//! solution of Ge, He, Ke and Sun, "Optimized Product Quantization", TPAMI 2014, 3.2).
//!
//! Turning a vector takes a product per value, so long vectors are turned in blocks. As written, a
//! component is a byte per value, as for centroids ([`Quantized`]): queries are turned by those bytes,
//! and rows, before they are coded, by what was trained. What lies between the two is a hundredth of
//! the error of a code.

use rayon::prelude::*;

use super::codebooks::Shape;
use crate::engine::index::{
    kernel::{Kernel, Rows, Selection},
    lists::{Clusters, Quantized, products, words},
};

/// The most values that are turned together.
const MAX_BLOCK: usize = 512;
/// Vectors are padded to a multiple of it.
const ALIGNMENT: usize = 64;
/// Vectors that are turned at a time.
const GROUP: usize = 36;
/// Rounds of Jacobi's algorithm at most.
const SWEEPS: usize = 8;
/// Rows are orthogonal whose cosine is less.
const ORTHOGONAL: f32 = 1e-3;
/// So much of the mean variance is added to each, which of a small sample may be zero.
const FLOOR: f32 = 1e-3;

/// Principal components, and which subspace each belongs to.
#[derive(Debug)]
pub struct Basis {
    block: usize,
    /// For each block its components, one after the other.
    components: Vec<f32>,
    /// The components of each subspace, subspace after subspace.
    order: Vec<u32>,
}

/// Values of a block of such vectors: the largest multiple of 64 that divides them, within bounds.
fn block_of(values: usize) -> usize {
    let fits = |block: &usize| values.is_multiple_of(*block);
    (1..=MAX_BLOCK / ALIGNMENT).rev().map(|count| count * ALIGNMENT).find(fits).unwrap_or(values)
}

impl Basis {
    /// Of residuals, one after the other.
    pub fn train(shape: Shape, residuals: &[f32]) -> Self {
        let values = shape.values();
        let block = block_of(values);
        let blocks = (0..values / block).into_par_iter().map(|index| {
            let mut covariance = covariance(residuals, values, index * block, block);
            let components = diagonalise(&mut covariance, block);
            let variances: Vec<f32> =
                covariance.chunks_exact(block).map(|row| dot(row, row).sqrt()).collect();
            (components, variances)
        });
        let (components, variances): (Vec<_>, Vec<_>) = blocks.unzip();
        Self { block, components: components.concat(), order: share_out(shape, &variances.concat()) }
    }

    /// Turns vectors, one after the other.
    pub fn turn(&self, vectors: &[f32]) -> Vec<f32> {
        let (values, block) = (self.order.len(), self.block);
        let mut turned = vec![0.0; vectors.len()];
        let mut products = vec![0.0; GROUP * block];
        let mut all = vec![0.0; GROUP * values];
        for (vectors, turned) in vectors.chunks(GROUP * values).zip(turned.chunks_mut(GROUP * values)) {
            for (index, components) in self.components.chunks_exact(block * block).enumerate() {
                let places = index * block..(index + 1) * block;
                let pieces: Vec<&[f32]> =
                    vectors.chunks_exact(values).map(|vector| &vector[places.clone()]).collect();
                let products = &mut products[..pieces.len() * block];
                Kernel::detected().dot(&pieces, &Rows::new(components, block, Selection::All), products);
                for (all, products) in all.chunks_exact_mut(values).zip(products.chunks_exact(block)) {
                    all[places.clone()].copy_from_slice(products);
                }
            }
            for (turned, all) in turned.chunks_exact_mut(values).zip(all.chunks_exact(values)) {
                turned.iter_mut().zip(&self.order).for_each(|(value, from)| *value = all[*from as usize]);
            }
        }
        turned
    }

    /// As it is written.
    pub fn encode(&self) -> Vec<u8> {
        let components = Quantized::new(&Clusters::new(self.block, self.components.clone()));
        let order = self.order.iter().flat_map(|from| from.to_le_bytes());
        components.bytes().into_iter().chain(order).collect()
    }
}

/// A basis in its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    block: usize,
    components: &'a [u8],
    scales: &'a [[u8; 4]],
    order: &'a [[u8; 4]],
}

impl<'a> Written<'a> {
    /// Bytes of a basis for so many values.
    pub fn bytes(values: usize) -> usize {
        values * block_of(values) + values * 8
    }

    /// Of [`Written::bytes`] bytes.
    pub fn new(values: usize, bytes: &'a [u8]) -> Self {
        let block = block_of(values);
        let (components, rest) = bytes.split_at(values * block);
        let (scales, order) = rest.split_at(values * 4);
        Self { block, components, scales: words(scales), order: words(order) }
    }

    /// Whether every value comes from one that there is.
    pub fn is_valid(&self) -> bool {
        self.order.iter().all(|from| (u32::from_le_bytes(*from) as usize) < self.order.len())
    }

    /// Turns a query.
    ///
    /// # Panics
    /// If the basis is not valid, or the query has another number of values.
    pub fn turn(&self, query: &[f32]) -> Vec<f32> {
        let components = self.components.chunks_exact(self.block * self.block);
        let blocks = components.zip(self.scales.chunks_exact(self.block));
        let all: Vec<f32> = query
            .chunks_exact(self.block)
            .zip(blocks)
            .flat_map(|(piece, (components, scales))| products(components, scales, piece))
            .collect();
        self.order.iter().map(|from| all[u32::from_le_bytes(*from) as usize]).collect()
    }
}

/// Deals components to subspaces, the strongest first, each to the one that has least to tell: whose
/// variances have the smallest product.
fn share_out(shape: Shape, variances: &[f32]) -> Vec<u32> {
    let floor = variances.iter().sum::<f32>() / variances.len() as f32 * FLOOR + f32::MIN_POSITIVE;
    let mut components: Vec<u32> = (0..variances.len() as u32).collect();
    components.sort_by(|left, right| {
        variances[*right as usize].total_cmp(&variances[*left as usize]).then(left.cmp(right))
    });
    // Relative to the floor, so that each component adds something.
    let mut subspaces: Vec<(f32, Vec<u32>)> = vec![(0.0, Vec::new()); shape.subspaces];
    for component in components {
        let open = subspaces.iter_mut().filter(|(_, members)| members.len() < shape.width);
        if let Some((told, members)) = open.min_by(|left, right| left.0.total_cmp(&right.0)) {
            *told += (variances[component as usize] / floor + 1.0).ln();
            members.push(component);
        }
    }
    subspaces.into_iter().flat_map(|(_, members)| members).collect()
}

/// The means of the products of any two values of a block.
fn covariance(residuals: &[f32], values: usize, first: usize, block: usize) -> Vec<f32> {
    let count = residuals.len() / values;
    let mut covariance = vec![0.0; block * block];
    if count == 0 {
        return covariance;
    }
    let column = |value: usize| residuals.iter().skip(first + value).step_by(values).copied();
    let columns: Vec<f32> = (0..block).flat_map(column).collect();
    covariance.par_chunks_mut(GROUP * block).zip(columns.par_chunks(GROUP * count)).for_each(
        |(covariance, group)| {
            let group: Vec<&[f32]> = group.chunks_exact(count).collect();
            Kernel::detected().dot(&group, &Rows::new(&columns, count, Selection::All), covariance);
        },
    );
    covariance.iter_mut().for_each(|value| *value /= count as f32);
    covariance
}

/// Turns the rows of a symmetric matrix until they are orthogonal, and returns what turned them: its
/// eigenvectors, row by row. The length of a row is then the size of its eigenvalue (one-sided Jacobi
/// method; Hestenes, "Inversion of Matrices by Biorthogonalization and Related Results", 1958).
fn diagonalise(matrix: &mut [f32], size: usize) -> Vec<f32> {
    let mut turned: Vec<f32> = (0..size * size).map(|place| f32::from(place % (size + 1) == 0)).collect();
    for _ in 0..SWEEPS {
        let mut squares: Vec<f32> = matrix.chunks_exact(size).map(|row| dot(row, row)).collect();
        let mut changed = false;
        for second in 1..size {
            for first in 0..second {
                let [left, right] = two_rows(matrix, size, first, second);
                let product = dot(left, right);
                if product.abs() <= ORTHOGONAL * (squares[first] * squares[second]).sqrt() {
                    continue;
                }
                let zeta = (squares[second] - squares[first]) / (2.0 * product);
                let tangent = zeta.signum() / (zeta.abs() + zeta.mul_add(zeta, 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                rotate(left, right, cosine, cosine * tangent);
                let [left, right] = two_rows(&mut turned, size, first, second);
                rotate(left, right, cosine, cosine * tangent);
                squares[first] -= tangent * product;
                squares[second] += tangent * product;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    turned
}

fn two_rows(matrix: &mut [f32], size: usize, first: usize, second: usize) -> [&mut [f32]; 2] {
    let (before, from) = matrix.split_at_mut(second * size);
    [&mut before[first * size..(first + 1) * size], &mut from[..size]]
}

fn rotate(left: &mut [f32], right: &mut [f32], cosine: f32, sine: f32) {
    for (left, right) in left.iter_mut().zip(right) {
        (*left, *right) = (cosine * *left - sine * *right, sine * *left + cosine * *right);
    }
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut product = [0.0];
    Kernel::detected().dot(&[left], &Rows::new(right, right.len(), Selection::All), &mut product);
    product[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::random::Numbers;

    /// Residuals that vary in a few hidden directions, the more so the lower their number.
    fn residuals(values: usize, count: usize) -> Vec<f32> {
        let mut numbers = Numbers::new(5);
        let mut number = move || numbers.below(2001) as f32 / 1000.0 - 1.0;
        let hidden: Vec<f32> = (0..8 * values).map(|_| number()).collect();
        let mut row = || -> Vec<f32> {
            let strengths: Vec<f32> = (0..8).map(|place| number() / (place + 1) as f32).collect();
            let value = |value: usize| -> f32 {
                let parts = strengths.iter().zip(hidden.chunks(values));
                parts.map(|(strength, hidden)| strength * hidden[value]).sum()
            };
            (0..values).map(|place| value(place) + number() / 100.0).collect()
        };
        (0..count).flat_map(|_| row()).collect()
    }

    #[test]
    fn keeps_products_and_makes_values_independent() {
        let shape = Shape::new(128, 32).unwrap();
        let residuals = residuals(128, 600);
        let basis = Basis::train(shape, &residuals);
        let turned = basis.turn(&residuals);
        for (before, after) in residuals.chunks(256).zip(turned.chunks(256)).take(200) {
            let product = |pair: &[f32]| dot(&pair[..128], &pair[128..]);
            assert!((product(before) - product(after)).abs() < 1e-3 * (1.0 + product(before).abs()));
        }
        let covariance = covariance(&turned, 128, 0, 128);
        let diagonal: f32 = (0..128).map(|place| covariance[place * 129].powi(2)).sum();
        let all = dot(&covariance, &covariance);
        assert!(all - diagonal < 1e-3 * all, "{diagonal} of {all}");
    }

    /// The eight strong directions are not in two or three subspaces, but each in its own.
    #[test]
    fn strong_components_are_spread() {
        let shape = Shape::new(128, 32).unwrap();
        let residuals = residuals(128, 600);
        let turned = Basis::train(shape, &residuals).turn(&residuals);
        let covariance = covariance(&turned, 128, 0, 128);
        let variances: Vec<f32> = (0..128).map(|place| covariance[place * 129]).collect();
        let strong = variances.chunks(4).filter(|of| of.iter().any(|variance| *variance > 0.01)).count();
        assert_eq!(strong, 8, "{variances:?}");
    }

    #[test]
    fn bytes_turn_queries_as_what_was_trained() {
        for values in [64, 128, 576, 1024] {
            let shape = Shape::new(values, 32).unwrap();
            let residuals = residuals(values, 50);
            let basis = Basis::train(shape, &residuals);
            let bytes = basis.encode();
            assert_eq!(bytes.len(), Written::bytes(values));
            let written = Written::new(values, &bytes);
            assert!(written.is_valid());
            let query = &residuals[..values];
            let length = dot(query, query).sqrt();
            for (left, right) in written.turn(query).iter().zip(basis.turn(query)) {
                assert!((left - right).abs() < 0.01 * length, "{values}: {left} and {right}");
            }
        }
    }

    #[test]
    fn nothing_to_learn_from_is_no_trouble() {
        let shape = Shape::new(64, 16).unwrap();
        for residuals in [vec![], vec![0.0; 64], vec![0.0; 640], vec![f32::NAN; 640]] {
            let basis = Basis::train(shape, &residuals);
            let mut order = basis.order.clone();
            order.sort_unstable();
            assert_eq!(order, (0..64).collect::<Vec<u32>>());
        }
    }
}
