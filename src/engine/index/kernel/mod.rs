//! Inner products and squared distances of queries against rows, as fast as memory gives them.
//!
//! There is one inner loop per instruction set, and [`Kernel::detected`] picks the best one that
//! the processor has, once. A kernel that the processor lacks cannot be had, which is what makes
//! the methods of [`Kernel`] safe.
//!
//! One query is a stream: its rows are read once, one after the other, which is the order that
//! the memory prefetchers follow best; speed is that of memory. Several queries share the rows of a block
//! in the cache: a tile of rows and queries is computed in registers, so each value that is loaded
//! is used several times.
//!
//! Invariant: a product depends on the two vectors and the instruction set only, to the last bit:
//! not on the other rows, on the other queries, on alignment, or on where the row lies. Every
//! tile size adds in the same order.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use self::sweep::sweep;
pub use self::sweep::{Rows, Selection};

/// An implementation that this processor can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Implementation);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Implementation {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

impl Kernel {
    /// The fastest one, looked up once per process.
    pub fn detected() -> Self {
        static DETECTED: OnceLock<Kernel> = OnceLock::new();
        // The list always ends with the scalar one, so it has a first.
        *DETECTED.get_or_init(|| Self::available().first().copied().unwrap_or(Self(Implementation::Scalar)))
    }

    /// All that this processor can run, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                kernels.push(Self(Implementation::Avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
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
            Implementation::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Implementation::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Implementation::Neon => "neon",
            Implementation::Scalar => "scalar",
        }
    }

    /// The inner products of each query with each selected row: `output[q * rows + r]`.
    ///
    /// # Panics
    /// If a query has another dimension than the rows, or `output` another length than the number
    /// of products.
    pub fn dot(self, queries: &[&[f32]], rows: &Rows<'_>, output: &mut [f32]) {
        self.run::<false>(queries, rows, output);
    }

    /// The squared euclidean distances of each query to each selected row: `output[q * rows + r]`.
    ///
    /// # Panics
    /// As [`Kernel::dot`].
    pub fn squared_l2(self, queries: &[&[f32]], rows: &Rows<'_>, output: &mut [f32]) {
        self.run::<true>(queries, rows, output);
    }

    fn run<const L2: bool>(self, queries: &[&[f32]], rows: &Rows<'_>, output: &mut [f32]) {
        // SAFETY: `available` is the only place that makes these values, and it asks the processor
        // for the features that each implementation needs.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Implementation::Avx512 => sweep::<avx512::Avx512, L2>(queries, rows, output),
                #[cfg(target_arch = "x86_64")]
                Implementation::Avx2 => sweep::<avx2::Avx2, L2>(queries, rows, output),
                #[cfg(target_arch = "aarch64")]
                Implementation::Neon => sweep::<neon::Neon, L2>(queries, rows, output),
                Implementation::Scalar => sweep::<scalar::Scalar, L2>(queries, rows, output),
            }
        }
    }
}
