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
        Self { distance, unit, mean: mean.collect() }
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
        let mut frame = Self { distance, unit, mean: Vec::new() };
        let sums = over_rows(rows, vec![0.0_f64; dimension], |sums, row| {
            let factor = frame.factor(row);
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += finite(*value) * factor;
            }
        })?;
        let count = rows.rows().max(1) as f64;
        let total = |index: usize| sums.iter().map(|sums| sums[index]).sum::<f64>();
        frame.mean = (0..dimension).map(|index| (total(index) / count) as f32).collect();
        Ok(frame)
    }

    /// What similarities of vectors are multiples of, but for a term that all rows have in common:
    /// [`crate::engine::index::Query::product_of`] their scores.
    pub fn unit_of_similarities(&self) -> f32 {
        match self.distance {
            Distance::Cosine => 1.0,
            Distance::DotProduct | Distance::Euclidean => (self.unit * self.unit) as f32,
        }
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
}

impl<'a> Probe<'a> {
    /// Of an encoded query.
    pub fn new(code: &'a [u8], terms: Terms) -> Self {
        Self { bytes: ByteQuery::new(code), scale: terms.scale as f32, bias: terms.bias as f32 }
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
        let row = row as usize;
        let code = &self.codes[row * self.dimension..(row + 1) * self.dimension];
        Probe {
            bytes: ByteQuery::new(code),
            scale: f32_at(self.terms, 8 * row),
            bias: f32_at(self.terms, 8 * row + 4),
        }
    }

    /// Asks memory for the terms of a row.
    #[inline]
    pub fn prefetch_terms(&self, row: u32) {
        prefetch(&self.terms[8 * row as usize..][..8]);
    }

    /// The similarities of rows to a probe, without the probe's bias.
    #[inline]
    pub fn similarities(&self, probe: &Probe<'_>, rows: &[u32], similarities: &mut Similarities) {
        similarities.products.resize(rows.len(), 0);
        let selected = ByteRows::new(self.codes, self.dimension, Selection::These(rows));
        self.kernel.dot(&probe.bytes, &selected, &mut similarities.products);
        similarities.values.clear();
        similarities.values.extend(rows.iter().zip(&similarities.products).map(|(row, product)| {
            let at = 8 * *row as usize;
            let terms = &self.terms[at..at + 8];
            probe.scale * f32_at(terms, 0) * *product as f32 + f32_at(terms, 4)
        }));
    }
}

/// Room for similarities.
#[derive(Debug, Default)]
pub(super) struct Similarities {
    products: Vec<i32>,
    /// One for each row.
    pub values: Vec<f32>,
}
