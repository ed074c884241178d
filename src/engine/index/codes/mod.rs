//! Short codes of vectors, from which their scores are estimated many times faster than computed.
//!
//! What is coded is the *residual* of a row: the rotated row less the rotated centroid of its list.
//! A code `u` has one small integer per value; with `scale = ‖r‖² / ⟨u, r⟩` the inner product of a
//! query with the residual `r` is estimated without bias as `scale · ⟨u, q⟩` (RaBitQ: Gao and Long,
//! "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound", SIGMOD 2024, and
//! "Practical and Asymptotically Optimal Quantization", 2025, for more than one bit). Residuals are
//! much shorter than rows, and rotation makes their values alike, so a bit per value is often enough:
//! its sign.
//!
//! What is known exactly is taken out of the estimate: with `c` the centroid,
//! `⟨r, q⟩ = ⟨r, q - c⟩ + ⟨r, c⟩`, and all terms without `q` are one number per row, `add`. So a list
//! costs a query one inner product, `⟨c, q⟩`, and a row costs `scale · ⟨u, q⟩ + add`.
//!
//! Invariant: estimates follow from code and query alone, whatever the processor: sums are integers.
#![allow(unsafe_code)]

mod bytes;
mod one_bit;
#[cfg(test)]
mod tests;

/// Bits per value of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeType {
    /// The sign of each value.
    One,
    /// From -7 to 7.
    Four,
    /// From -127 to 127.
    Eight,
}

impl CodeType {
    /// From the shortest to the most exact.
    pub(super) const ALL: [Self; 3] = [Self::One, Self::Four, Self::Eight];

    /// Bits per value.
    pub(super) fn bits(self) -> usize {
        match self {
            Self::One => 1,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// The type with so many bits.
    pub(super) fn of_bits(bits: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.bits() == usize::from(bits))
    }

    /// Bytes of the code of a row with so many rotated values.
    pub(super) fn bytes(self, values: usize) -> usize {
        values / 8 * self.bits()
    }
}

/// Bytes of the factors of a code.
pub(super) const FACTOR_BYTES: usize = 8;

/// Numbers that go with a code.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Factors {
    /// What the inner product of code and query is multiplied with.
    pub scale: f32,
    /// What is added to it.
    pub add: f32,
}

impl Factors {
    /// What makes a code an estimate, given the values that it stands for; `offset` is added to the
    /// score.
    pub(super) fn new(
        residual: &[f32],
        centroid: &[f32],
        code: impl Iterator<Item = f64>,
        offset: f32,
    ) -> Self {
        let mut square = 0.0_f64;
        let (mut with_residual, mut with_centroid, mut exact) = (0.0_f64, 0.0_f64, 0.0_f64);
        for ((value, centroid), level) in residual.iter().zip(centroid).zip(code) {
            let (value, centroid) = (f64::from(*value), f64::from(*centroid));
            square += value * value;
            with_residual += level * value;
            with_centroid += level * centroid;
            exact += value * centroid;
        }
        let scale = if with_residual > 0.0 { square / with_residual } else { 0.0 };
        let add = exact - scale * with_centroid + f64::from(offset);
        Self { scale: scale as f32, add: add as f32 }
    }
}

/// A row on its way into a list: the code, one integer per value, and what goes with it.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    /// One per rotated value.
    pub code: Vec<i8>,
    /// What goes with it.
    pub factors: Factors,
}

impl Coded {
    /// Codes a rotated row whose list has this rotated centroid; `offset` is added to the score.
    pub(super) fn new(code_type: CodeType, row: &[f32], centroid: &[f32], offset: f32) -> Self {
        let residual: Vec<f32> = row.iter().zip(centroid).map(|(row, centroid)| row - centroid).collect();
        let code: Vec<i8> = match code_type {
            CodeType::One => residual.iter().map(|value| if *value > 0.0 { 1 } else { -1 }).collect(),
            CodeType::Four => levels(&residual, 7.0, 0.8),
            CodeType::Eight => levels(&residual, 127.0, 1.0),
        };
        let factors = Factors::new(&residual, centroid, code.iter().map(|level| f64::from(*level)), offset);
        Self { code, factors }
    }
}

/// Values as multiples of a step, so that `clip` of the largest value is `most` steps.
fn levels(values: &[f32], most: f32, clip: f32) -> Vec<i8> {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let factor = most / (largest * clip);
    if !factor.is_finite() {
        return vec![0; values.len()];
    }
    values.iter().map(|value| (value * factor).round().clamp(-most, most) as i8).collect()
}

/// Packs the codes of a list as [`estimate`] wants them.
pub(super) fn pack(code_type: CodeType, rows: &[Coded]) -> Vec<u8> {
    match code_type {
        CodeType::One => one_bit::pack(rows),
        CodeType::Four => bytes::pack_halves(rows),
        CodeType::Eight => bytes::pack(rows),
    }
}

/// The codes of a list of so many rows, of so many values each: the inverse of [`pack`].
pub(super) fn unpack(code_type: CodeType, list: &Codes<'_>, values: usize) -> Vec<Coded> {
    let codes = match code_type {
        CodeType::One => one_bit::unpack(list.codes, list.scales.len(), values),
        CodeType::Four => bytes::unpack_halves(list.codes, values),
        CodeType::Eight => bytes::unpack(list.codes, values),
    };
    let factors = list.scales.iter().zip(list.adds);
    let factors = factors.map(|(scale, add)| [scale, add].map(|number| f32::from_le_bytes(*number)));
    let coded = codes.into_iter().zip(factors);
    coded.map(|(code, [scale, add])| Coded { code, factors: Factors { scale, add } }).collect()
}

/// A query that is prepared for codes.
pub(super) trait Estimate {
    /// Estimates the scores of the rows of a list, `base` being `⟨centroid, query⟩`, and returns the
    /// largest (negative infinity, if there are none).
    ///
    /// # Panics
    /// If there is not a code, a scale and a summand for each estimate.
    fn estimate(&self, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32;
}

/// A rotated query, prepared for codes of one type.
#[derive(Debug, Clone)]
pub(super) enum CodeQuery {
    One(one_bit::Query),
    Four(bytes::Query),
    Eight(bytes::Query),
}

impl CodeQuery {
    /// Prepares a rotated query.
    pub(super) fn new(code_type: CodeType, rotated: &[f32]) -> Self {
        match code_type {
            CodeType::One => Self::One(one_bit::Query::new(rotated)),
            CodeType::Four => Self::Four(bytes::Query::new(rotated)),
            CodeType::Eight => Self::Eight(bytes::Query::new(rotated)),
        }
    }
}

impl Estimate for CodeQuery {
    fn estimate(&self, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32 {
        assert!(list.scales.len() == estimates.len() && list.adds.len() == estimates.len());
        match self {
            Self::One(query) => return query.estimate(list, base, estimates),
            Self::Four(query) => query.sums_of_halves(list.codes, estimates),
            Self::Eight(query) => query.sums(list.codes, estimates),
        }
        list.finish(base, estimates)
    }
}

/// The codes of a list as they stand in a file, and what goes with each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes<'a> {
    pub codes: &'a [u8],
    /// [`Factors::scale`], as f32.
    pub scales: &'a [[u8; 4]],
    /// [`Factors::add`], as f32.
    pub adds: &'a [[u8; 4]],
}

impl<'a> Codes<'a> {
    /// The scales, the summands and the codes of so many rows, one after the other.
    pub(super) fn of_list(bytes: &'a [u8], rows: usize) -> Self {
        let (scales, rest) = bytes.split_at(rows * 4);
        let (adds, codes) = rest.split_at(rows * 4);
        Self { codes, scales: scales.as_chunks().0, adds: adds.as_chunks().0 }
    }

    /// Writes what [`Codes::of_list`] reads.
    ///
    /// # Panics
    /// If the place is not as long as factors and codes together.
    pub(super) fn write_list(
        place: &mut [u8],
        factors: impl ExactSizeIterator<Item = Factors> + Clone,
        codes: &[u8],
    ) {
        let (scales, rest) = place.split_at_mut(factors.len() * 4);
        let (adds, place) = rest.split_at_mut(factors.len() * 4);
        let numbers = scales.as_chunks_mut::<4>().0.iter_mut().zip(adds.as_chunks_mut::<4>().0);
        for ((scale, add), factors) in numbers.zip(factors) {
            (*scale, *add) = (factors.scale.to_le_bytes(), factors.add.to_le_bytes());
        }
        place.copy_from_slice(codes);
    }

    /// The bytes that [`Codes::of_list`] reads.
    #[cfg(test)]
    pub(super) fn list(factors: impl ExactSizeIterator<Item = Factors> + Clone, codes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; factors.len() * FACTOR_BYTES + codes.len()];
        Self::write_list(&mut bytes, factors, codes);
        bytes
    }

    /// Makes estimates of inner products of the codes and the query.
    #[inline]
    fn finish(&self, base: f32, sums: &mut [f32]) -> f32 {
        let mut largest = f32::NEG_INFINITY;
        for ((sum, scale), add) in sums.iter_mut().zip(self.scales).zip(self.adds) {
            *sum = base + f32::from_le_bytes(*add) + f32::from_le_bytes(*scale) * *sum;
            largest = if *sum > largest { *sum } else { largest };
        }
        largest
    }
}
