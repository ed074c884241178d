//! Inner products of signed bytes: what quantised vectors are compared by.
//!
//! The products are integers, so all kernels give the same ones, whatever the instruction set.
//! AVX-512 VNNI multiplies unsigned bytes by signed ones. A row becomes unsigned by flipping its
//! sign bits, which adds 128 to each value; 128 times the sum of the query takes that away again.
//!
//! Invariant: a product of vectors with up to [`MAX_DIMENSION`] values is exact; no sum leaves the
//! range of `i32`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use super::Rows;

/// Most values of a vector: 2¹⁶ × 255 × 128, the largest sum on the way, is less than 2³¹.
pub const MAX_DIMENSION: usize = 1 << 16;

/// An implementation that this processor can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteKernel(Implementation);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Implementation {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

/// A vector of signed bytes that is compared with many rows.
#[derive(Debug, Clone, Copy)]
pub struct ByteQuery<'a> {
    values: &'a [u8],
    sum: i32,
}

impl<'a> ByteQuery<'a> {
    /// Of the values, as bytes in two's complement.
    ///
    /// # Panics
    /// If there are more than [`MAX_DIMENSION`].
    pub fn new(values: &'a [u8]) -> Self {
        assert!(values.len() <= MAX_DIMENSION, "too many values");
        Self { values, sum: values.iter().map(|value| i32::from(value.cast_signed())).sum() }
    }

    /// The inner product with itself.
    pub fn square(&self) -> i32 {
        dot_of(self.values, self.values)
    }
}

/// Rows of signed bytes, as bytes in two's complement.
pub type ByteRows<'a> = Rows<'a, u8>;

impl ByteKernel {
    /// The fastest one, looked up once per process.
    pub fn detected() -> Self {
        static DETECTED: OnceLock<ByteKernel> = OnceLock::new();
        *DETECTED.get_or_init(|| Self::available().first().copied().unwrap_or(Self(Implementation::Scalar)))
    }

    /// All that this processor can run, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                kernels.push(Self(Implementation::Avx512Vnni));
            }
            if is_x86_feature_detected!("avx2") {
                kernels.push(Self(Implementation::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            kernels.push(Self(Implementation::Neon));
        }
        kernels.push(Self(Implementation::Scalar));
        kernels
    }

    /// The name of the instruction set.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Implementation::Avx512Vnni => "avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Implementation::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Implementation::Neon => "neon",
            Implementation::Scalar => "scalar",
        }
    }

    /// The inner products of a query with each selected row.
    ///
    /// # Panics
    /// If the query has another dimension than the rows, or `output` another length than there are
    /// selected rows.
    #[inline]
    pub fn dot(self, query: &ByteQuery<'_>, rows: &ByteRows<'_>, output: &mut [i32]) {
        assert_eq!(query.values.len(), rows.dimension(), "a query of another dimension");
        assert_eq!(output.len(), rows.count(), "one place per product");
        // SAFETY: `available` is the only place that makes these values, and it asks the processor
        // for the features that each implementation needs. The dimensions were compared above.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Implementation::Avx512Vnni => avx512::run(query, rows, output),
                #[cfg(target_arch = "x86_64")]
                Implementation::Avx2 => avx2::run(query, rows, output),
                #[cfg(target_arch = "aarch64")]
                Implementation::Neon => neon::run(query, rows, output),
                Implementation::Scalar => scalar(query, rows, output),
            }
        }
    }
}

/// # Safety
/// `output` has a place for each selected row, and the query their dimension.
unsafe fn scalar(query: &ByteQuery<'_>, rows: &ByteRows<'_>, output: &mut [i32]) {
    for run in rows.runs() {
        for position in run {
            // SAFETY: the caller's promise; a row has `dimension` bytes.
            let row = unsafe { std::slice::from_raw_parts(rows.pointer(position), rows.dimension()) };
            output[position] = dot_of(query.values, row);
        }
    }
}

/// The product of two vectors, value by value; for tails as well.
#[inline(always)]
fn dot_of(query: &[u8], row: &[u8]) -> i32 {
    let product = |(left, right): (&u8, &u8)| i32::from(left.cast_signed()) * i32::from(right.cast_signed());
    query.iter().zip(row).map(product).sum()
}
