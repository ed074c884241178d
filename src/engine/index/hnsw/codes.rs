//! Rows as signed bytes with a scale each, and similarities by them.
//!
//! A vector is brought into a *frame* first: made a unit vector (cosine) or multiplied by the unit of
//! the index (else), so that all numbers are of moderate size, and freed of the mean of all rows,
//! which spends the bytes on what tells rows apart. What is left, `c`, becomes bytes and a scale.
//!
//! With `c` for the centred vectors, μ for the mean, the similarity of `a` and `b` is, but for terms
//! that are the same for all rows compared,
//!
//! * `c_a·c_b + μ·c_a + μ·c_b` for the inner product (and the cosine, of unit vectors),
//! * `c_a·c_b − ‖c_a‖²/2 − ‖c_b‖²/2` for the euclidean distance: half its square, negated.
//!
//! So it is one product of bytes, two scales, and a *bias* per row, whatever the metric.
//!
//! Invariant: similarities are finite for all vectors, and the same on every machine: the products
//! are of integers, the rest is a fixed sequence of operations.

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use super::{
    super::{
        VectorSource,
        kernel::{
            Selection,
            bytes::{ByteKernel, ByteQuery, ByteRows},
            prefetch,
        },
    },
    layout::f32_at,
};
use crate::{error::Result, types::Distance};

/// Rows that are summed one after the other; the sums are, too, so that rounding does not depend on
/// the number of threads.
const SUMMED: usize = 4096;
/// Standard deviations of its error by which a row may be better than it looks: one in 44 that is as good as the
/// last of the best is left out, and fewer of those that are better.
const DEVIATIONS: f32 = 2.0;
/// Rows of which it is learned how far products are off.
const ASKED: usize = 8;
/// Steps of the second byte of a value within one of its first.
const FINE: f64 = 254.0;
/// How far exact scores are off themselves, as a part of what they are made of.
const ROUNDING: f64 = 16.0 * f32::EPSILON as f64;
/// Largest scale of a query, which keeps similarities finite; the bias of rows means nothing by then.
const MAX_SCALE: f64 = 1e30;

/// How vectors are made comparable before they become bytes.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    distance: Distance,
    /// Vectors are multiplied by it, unless they are made unit vectors.
    pub unit: f64,
    /// The mean of the rows, after that.
    pub mean: Vec<f32>,
    /// `‖mean‖²`
    square: f64,
}

/// A vector in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// One step of the bytes.
    scale: f64,
    /// What is added to the similarity with any other vector.
    bias: f64,
}

impl Frame {
    /// As it was stored.
    pub fn new(distance: Distance, unit: f64, mean: impl Iterator<Item = f32>) -> Self {
        let mean: Vec<f32> = mean.collect();
        let square = mean.iter().map(|value| finite(*value).powi(2)).sum();
        Self { distance, unit, mean, square }
    }

    /// Of all rows.
    ///
    /// # Errors
    /// As [`VectorSource::run`].
    pub fn learn(rows: &dyn VectorSource, distance: Distance) -> Result<Self> {
        let largest = over_rows(rows, 0.0_f64, |largest, row| {
            *largest = row.iter().fold(*largest, |a, b| a.max(finite(*b).abs()))
        })?;
        let largest = largest.into_iter().fold(0.0, f64::max);
        let unit = if largest > 0.0 { 1.0 / largest } else { 1.0 };
        let dimension = rows.dimension();
        let frame = Self::new(distance, unit, std::iter::empty());
        let sums = over_rows(rows, vec![0.0_f64; dimension], |sums, row| {
            let factor = frame.factor(row);
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += finite(*value) * factor;
            }
        })?;
        let count = rows.rows().max(1) as f64;
        let total = |index: usize| sums.iter().map(|sums| sums[index]).sum::<f64>();
        Ok(Self::new(distance, unit, (0..dimension).map(|index| (total(index) / count) as f32)))
    }

    /// What [`Codes::similarities`] to a query are at the least, but for their errors, of rows with this score;
    /// −∞ if numbers are too large to tell.
    pub fn similarity_of(&self, terms: &Terms, score: f32) -> f32 {
        let score = f64::from(score);
        let (similarity, others) = match self.distance {
            Distance::Cosine => (score, terms.bias + self.square),
            Distance::DotProduct => (score * self.unit * self.unit, terms.bias + self.square),
            Distance::Euclidean => (-(score * self.unit).powi(2) / 2.0, terms.bias),
        };
        let least = similarity - others - ROUNDING * (similarity.abs() + others.abs());
        let is_told = terms.scale < MAX_SCALE && least.abs() < f64::from(f32::MAX);
        if is_told { least as f32 } else { f32::NEG_INFINITY }
    }

    fn factor(&self, vector: &[f32]) -> f64 {
        match self.distance {
            Distance::Cosine => {
                let norm = vector.iter().map(|value| finite(*value).powi(2)).sum::<f64>().sqrt();
                if norm > 0.0 { 1.0 / norm } else { 0.0 }
            }
            Distance::DotProduct | Distance::Euclidean => self.unit,
        }
    }

    /// Fills in the bytes of a vector.
    pub fn encode(&self, vector: &[f32], code: &mut [u8]) -> Terms {
        let factor = self.factor(vector);
        let centred =
            || vector.iter().zip(&self.mean).map(|(value, mean)| finite(*value) * factor - finite(*mean));
        let (mut largest, mut square, mut product) = (0.0_f64, 0.0, 0.0);
        for (value, mean) in centred().zip(&self.mean) {
            largest = largest.max(value.abs());
            square += value * value;
            product += value * finite(*mean);
        }
        let scale = largest / f64::from(i8::MAX);
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        for (byte, value) in code.iter_mut().zip(centred()) {
            *byte = ((value * inverse).round() as i8).cast_unsigned();
        }
        let bias = match self.distance {
            Distance::Cosine | Distance::DotProduct => product,
            Distance::Euclidean => -square / 2.0,
        };
        Terms { scale: scale.min(MAX_SCALE), bias }
    }

    /// Fills in second bytes of a vector: by how much its values are more than the first ones say.
    pub fn encode_rest(&self, vector: &[f32], terms: &Terms, code: &[u8], rest: &mut [u8]) {
        let factor = self.factor(vector);
        let inverse = if terms.scale > 0.0 { 1.0 / terms.scale } else { 0.0 };
        for (((rest, byte), value), mean) in rest.iter_mut().zip(code).zip(vector).zip(&self.mean) {
            let steps = (finite(*value) * factor - finite(*mean)) * inverse - f64::from(byte.cast_signed());
            // To be cut off is to be rounded for a number that is not negative, and it is no call.
            *rest = ((steps * FINE + 128.5) as u8).wrapping_sub(128);
        }
    }

    /// Fills in the bytes and terms of all rows.
    ///
    /// # Errors
    /// As [`VectorSource::row`].
    pub fn encode_all(&self, rows: &dyn VectorSource, codes: &mut [u8], terms: &mut [u8]) -> Result<()> {
        let places = codes.par_chunks_exact_mut(rows.dimension()).zip(terms.par_chunks_exact_mut(8));
        places.enumerate().try_for_each(|(row, (code, place))| {
            let (vector, _) = rows.row(row as u32)?;
            let terms = self.encode(vector, code);
            place[..4].copy_from_slice(&(terms.scale as f32).to_le_bytes());
            place[4..].copy_from_slice(&(terms.bias as f32).to_le_bytes());
            Ok(())
        })
    }
}

/// Folds `add` over runs of rows; the results, in the order of the rows.
fn over_rows<T: Clone + Send + Sync>(
    rows: &dyn VectorSource,
    start: T,
    add: impl Fn(&mut T, &[f32]) + Sync,
) -> Result<Vec<T>> {
    (0..rows.rows().div_ceil(SUMMED))
        .into_par_iter()
        .map(|part| {
            let mut folded = start.clone();
            for row in part * SUMMED..rows.rows().min((part + 1) * SUMMED) {
                add(&mut folded, rows.row(row as u32)?.0);
            }
            Ok(folded)
        })
        .collect()
}

/// A value that is no number counts as zero.
fn finite(value: f32) -> f64 {
    if value.is_finite() { f64::from(value) } else { 0.0 }
}

/// What rows are compared with: a query, or one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe<'a> {
    bytes: ByteQuery<'a>,
    scale: f32,
    /// Completes similarities to those of pairs of rows.
    pub bias: f32,
    /// Is added to products of bytes: how far they are taken to be off.
    margin: f32,
}

impl<'a> Probe<'a> {
    /// Of an encoded query.
    pub fn new(code: &'a [u8], terms: Terms) -> Self {
        let (scale, bias) = (terms.scale as f32, terms.bias as f32);
        Self { bytes: ByteQuery::new(code), scale, bias, margin: 0.0 }
    }
}

/// The bytes and terms of all rows, in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes<'a> {
    dimension: usize,
    codes: &'a [u8],
    terms: &'a [u8],
    kernel: ByteKernel,
}

impl<'a> Codes<'a> {
    /// Of the parts of an index.
    pub fn new(dimension: usize, codes: &'a [u8], terms: &'a [u8]) -> Self {
        Self { dimension, codes, terms, kernel: ByteKernel::detected() }
    }

    /// A row as a probe.
    pub fn probe(&self, row: u32) -> Probe<'a> {
        let at = 8 * row as usize;
        Probe {
            bytes: self.bytes(row),
            scale: f32_at(self.terms, at),
            bias: f32_at(self.terms, at + 4),
            margin: 0.0,
        }
    }

    fn bytes(&self, row: u32) -> ByteQuery<'a> {
        ByteQuery::new(&self.codes[row as usize * self.dimension..][..self.dimension])
    }

    /// From now on, similarities to the probe are what they may be at best, for rows such as these.
    pub fn allow_for_errors(&self, probe: &mut Probe<'_>, rows: &[u32]) {
        let asked = rows.iter().step_by(rows.len().div_ceil(ASKED).max(1));
        let count = asked.len().max(1) as f32;
        let of_rows = asked.map(|row| self.bytes(*row).square() as f32).sum::<f32>() / count;
        probe.margin = margin(probe.bytes.square() as f32 + of_rows);
    }

    /// By how much similarities of rows to a probe, which [`Codes::allow_for_errors`] has seen, are less at best,
    /// now that second bytes of the probe are looked at: only the bytes of rows are off then.
    pub fn less_at_best<'b>(
        &'b self,
        probe: &'b Probe<'_>,
        rest: &[u8],
        rows: &'b [u32],
        products: &'b mut Vec<i32>,
    ) -> impl Iterator<Item = f32> + 'b {
        self.dot(&ByteQuery::new(rest), rows, products);
        let margin = margin(probe.bytes.square() as f32);
        rows.iter().zip(&*products).map(move |(row, product)| {
            let less = probe.margin - margin - *product as f32 / FINE as f32;
            probe.scale * f32_at(self.terms, 8 * *row as usize) * less
        })
    }

    /// Asks memory for the terms of a row.
    #[inline]
    pub fn prefetch_terms(&self, row: u32) {
        prefetch(&self.terms[8 * row as usize..][..8]);
    }

    /// Rows and their similarities to a probe, without the probe's bias; `products` is room for them.
    #[inline]
    pub fn similarities<'b>(
        &'b self,
        probe: &Probe<'_>,
        rows: &'b [u32],
        products: &'b mut Vec<i32>,
    ) -> impl Iterator<Item = (u32, f32)> + 'b {
        self.multiply(probe, rows, products);
        self.by_products(probe, rows, products)
    }

    /// Fills in the products of the bytes of a probe and of rows.
    #[inline]
    pub fn multiply(&self, probe: &Probe<'_>, rows: &[u32], products: &mut Vec<i32>) {
        self.dot(&probe.bytes, rows, products);
    }

    /// What [`Codes::similarities`] says, if these are the products.
    #[inline]
    pub fn by_products<'b>(
        &'b self,
        probe: &Probe<'_>,
        rows: &'b [u32],
        products: &'b [i32],
    ) -> impl Iterator<Item = (u32, f32)> + 'b {
        let (scale, margin) = (probe.scale, probe.margin);
        rows.iter().zip(products).map(move |(row, product)| {
            let terms = &self.terms[8 * *row as usize..][..8];
            (*row, scale * f32_at(terms, 0) * (*product as f32 + margin) + f32_at(terms, 4))
        })
    }

    fn dot(&self, bytes: &ByteQuery<'_>, rows: &[u32], products: &mut Vec<i32>) {
        products.resize(rows.len(), 0);
        let selected = ByteRows::new(self.codes, self.dimension, Selection::These(rows));
        self.kernel.dot(bytes, &selected, products);
    }
}

/// How far a product of bytes is taken to be off if these are the squares of the vectors that the bytes of the other
/// are multiplied by.
///
/// Every byte is off by up to half a step, evenly, so its variance is 1/12; and that of a product `q·r`, as long as
/// bytes are many and off one by one, `(‖q‖² + ‖r‖²) / 12`.
fn margin(squares: f32) -> f32 {
    DEVIATIONS * (squares / 12.0).sqrt()
}
