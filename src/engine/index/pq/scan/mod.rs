//! Estimates from codes of half a byte per subspace: lookups in tables that are registers.
//!
//! A query's inner products with the sixteen centroids of a subspace are rounded to six bits each, so
//! that a table is sixteen bytes, which one shuffle instruction looks many codes up in at once; four
//! lookups fit a byte before they are added to a sum of sixteen bits (André, Kermarrec and Le
//! Scouarnec, "Cache Locality Is Not Enough: High-Performance Nearest Neighbor Search with Product
//! Quantization Fast Scan", VLDB 2015, and "Quicker ADC", TPAMI 2019). Six bits add a hundredth of
//! the error that the codes have.
//!
//! Up to 64 rows are a block, in which the codes of all rows for two subspaces lie side by side, a
//! byte per row. Fewer rows make a smaller block, so no byte is padding.
//!
//! Invariant: estimates follow from code and query alone, whatever the processor: sums are integers.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

use super::codebooks::{CENTROIDS, Shape};
use crate::engine::index::codes::{Codes, Estimate};

/// Rows that lie side by side; the last ones of a list may be fewer.
const BLOCK: usize = 64;
/// The largest number in a table: four of them fit a byte.
const LEVELS: f32 = 63.0;

/// The lookups of a query.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Of the two subspaces of a column of codes: the lower half of a byte, then the upper one.
    columns: Vec<[[u8; CENTROIDS]; 2]>,
    /// The value of a level.
    step: f32,
    /// What all levels leave out.
    bias: f32,
}

impl Tables {
    /// For a placed query, from codebooks as they are written.
    ///
    /// # Panics
    /// If the query or the codebooks are not of this shape.
    pub fn new(shape: Shape, codebooks: &[[u8; 4]], placed: &[f32]) -> Self {
        assert!(codebooks.len() == placed.len() * CENTROIDS, "centroids for each value");
        let books = codebooks.chunks_exact(shape.width * CENTROIDS).zip(placed.chunks_exact(shape.width));
        let products: Vec<[f32; CENTROIDS]> = books.map(|(book, piece)| products(book, piece)).collect();
        let ranges: Vec<(f32, f32)> = products.iter().map(range).collect();
        let widest = ranges.iter().map(|(least, most)| most - least).fold(0.0, f32::max);
        let (step, inverse) =
            if widest > 0.0 && widest.is_finite() { (widest / LEVELS, LEVELS / widest) } else { (0.0, 0.0) };
        // Rounds, as nothing is negative; a library call for each would take longer than the scan.
        let level = |product: f32, least: f32| ((product - least) * inverse + 0.5).min(LEVELS) as u8;
        let mut columns = vec![[[0; CENTROIDS]; 2]; shape.code_bytes()];
        let tables = columns.as_flattened_mut().iter_mut().zip(&products).zip(&ranges);
        for ((table, products), (least, _)) in tables {
            table.iter_mut().zip(products).for_each(|(to, product)| *to = level(*product, *least));
        }
        Self { columns, step, bias: ranges.iter().map(|(least, _)| least).sum() }
    }
}

/// The least and the most of some numbers, half by half, so that it vectorises.
fn range(numbers: &[f32; CENTROIDS]) -> (f32, f32) {
    let (mut least, mut most) = (*numbers, *numbers);
    let mut half = CENTROIDS / 2;
    while half > 0 {
        for place in 0..half {
            let (low, high) = (least[place + half], most[place + half]);
            least[place] = if low < least[place] { low } else { least[place] };
            most[place] = if high > most[place] { high } else { most[place] };
        }
        half /= 2;
    }
    (least[0], most[0])
}

/// The inner products of a piece of a query with all centroids of its subspace.
fn products(book: &[[u8; 4]], piece: &[f32]) -> [f32; CENTROIDS] {
    let mut products = [0.0; CENTROIDS];
    for (centroids, value) in book.as_chunks::<CENTROIDS>().0.iter().zip(piece) {
        for (product, centroid) in products.iter_mut().zip(centroids) {
            *product += value * f32::from_le_bytes(*centroid);
        }
    }
    products
}

impl Estimate for Tables {
    fn estimate(&self, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32 {
        let rows = estimates.len();
        assert!(list.scales.len() == rows && list.adds.len() == rows, "factors for each row");
        assert_eq!(list.codes.len(), rows * self.columns.len(), "a code for each row");
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                // SAFETY: the processor has these instructions, and the lengths were compared.
                return unsafe { avx512::estimate(self, list, base, estimates) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: as above.
                return unsafe { avx2::estimate(self, list, base, estimates) };
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            // SAFETY: as above.
            return unsafe { neon::estimate(self, list, base, estimates) };
        }
        scalar::estimate(self, list, base, estimates)
    }
}

/// The lookups of an instruction set.
///
/// # Safety
/// The method may only be called where the instruction set was detected, and inlined into a function
/// that enables it.
trait Lookup {
    /// Adds up what the codes of a block stand for. Sums of rows that are not there may be anything.
    ///
    /// # Safety
    /// `codes` has `rows` bytes for each column, and there is at least one row and at most [`BLOCK`].
    unsafe fn sums(columns: &[[[u8; CENTROIDS]; 2]], codes: &[u8], rows: usize, sums: &mut [u16; BLOCK]);
}

/// The loop that all instruction sets share; inlined, so that it is compiled for each.
///
/// # Safety
/// The processor has the instructions of `L`. There are a code, a scale and a summand for each
/// estimate.
#[inline(always)]
unsafe fn estimate_with<L: Lookup>(
    tables: &Tables,
    list: &Codes<'_>,
    base: f32,
    estimates: &mut [f32],
) -> f32 {
    let mut sums = [0; BLOCK];
    let mut largest = [f32::NEG_INFINITY; 16];
    let codes = list.codes.chunks(BLOCK * tables.columns.len());
    let factors = list.scales.chunks(BLOCK).zip(list.adds.chunks(BLOCK));
    for ((estimates, codes), (scales, adds)) in estimates.chunks_mut(BLOCK).zip(codes).zip(factors) {
        // SAFETY: each chunk has as many codes as estimates; the rest is the caller's promise.
        unsafe { L::sums(&tables.columns, codes, estimates.len(), &mut sums) };
        finish(tables, base, &sums, scales, adds, estimates, &mut largest);
    }
    largest
        .into_iter()
        .fold(f32::NEG_INFINITY, |largest, other| if other > largest { other } else { largest })
}

/// Makes estimates of the sums of a block.
#[inline(always)]
fn finish(
    tables: &Tables,
    base: f32,
    sums: &[u16; BLOCK],
    scales: &[[u8; 4]],
    adds: &[[u8; 4]],
    estimates: &mut [f32],
    largest: &mut [f32; 16],
) {
    let parts = estimates.chunks_mut(16).zip(sums.as_chunks::<16>().0);
    for ((estimates, sums), (scales, adds)) in parts.zip(scales.chunks(16).zip(adds.chunks(16))) {
        let rows = estimates.iter_mut().zip(sums).zip(scales.iter().zip(adds));
        for (((estimate, sum), (scale, add)), largest) in rows.zip(largest.iter_mut()) {
            let product = tables.bias + tables.step * f32::from(*sum);
            *estimate = base + f32::from_le_bytes(*add) + f32::from_le_bytes(*scale) * product;
            *largest = if *estimate > *largest { *estimate } else { *largest };
        }
    }
}

/// Codes, a byte per subspace, as they are written.
pub fn pack(codes: &[Vec<u8>]) -> Vec<u8> {
    let mut packed = Vec::new();
    for block in codes.chunks(BLOCK) {
        for column in 0..block[0].len() / 2 {
            packed.extend(block.iter().map(|code| code[2 * column] | code[2 * column + 1] << 4));
        }
    }
    packed
}
