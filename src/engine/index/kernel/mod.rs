//! Inner products and squared distances of queries against rows, as fast as memory gives them.
//!
//! There is one inner loop per instruction set, and [`Kernel::detected`] picks the best one that
//! the processor has, once. A kernel that the processor lacks cannot be had, which is what makes
//! the methods of [`Kernel`] safe.
//!
//! * **Reading.** The first queries read each row alone, in order, which the memory prefetchers
//!   follow at full speed; they lose half of it on four rows at once. By then the rows are in the
//!   cache, and further queries take four rows at a time, so that each value that is loaded is used
//!   several times. The caller passes blocks that the second-level cache holds. Software prefetch
//!   gained nothing there; rows of [`bytes`], which lie here and there, are asked for by runs.
//! * **Sixteen lanes.** Every kernel adds value `i` to lane `i % 16` by a fused multiply-add and
//!   folds the lanes 16 → 8 → 4 → 2 → 1. The lanes are one AVX-512 register, two of AVX2 or four of
//!   NEON, so these three give the same bits. The scalar kernel has the same lanes, but rounds
//!   products before it adds them, and may differ in the last bits.
//!
//! Invariant: a product depends on the two vectors only (and on whether there is a fused
//! multiply-add), to the last bit: not on the other rows, on the other queries, on alignment, or on
//! where the row lies.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod bytes;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod prefetch;
mod rows;
mod scalar;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

pub use self::{
    prefetch::prefetch,
    rows::{Rows, Selection},
};

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
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") {
                kernels.push(Self(Implementation::Avx512));
            }
            if avx2 {
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
        assert!(queries.iter().all(|query| query.len() == rows.dimension()), "a query of another dimension");
        assert_eq!(output.len(), queries.len() * rows.count(), "one place per product");
        // SAFETY: `available` is the only place that makes these values, and it asks the processor
        // for the features that each implementation needs. The dimensions were compared above.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Implementation::Avx512 => avx512::run::<L2>(queries, rows, output),
                #[cfg(target_arch = "x86_64")]
                Implementation::Avx2 => avx2::run::<L2>(queries, rows, output),
                #[cfg(target_arch = "aarch64")]
                Implementation::Neon => neon::run::<L2>(queries, rows, output),
                Implementation::Scalar => scalar::run::<L2>(queries, rows, output),
            }
        }
    }
}
