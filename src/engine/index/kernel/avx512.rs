//! AVX-512: one register holds the sixteen lanes; tails are masked loads, which touch nothing past
//! the mask. A single query over memory uses the AVX2 registers instead: two loads a cache line keep
//! the prefetchers further ahead than one, and the arithmetic has slack there.
use std::arch::x86_64::*;

use super::{
    Rows,
    avx2::Avx2,
    lanes::{self, Lanes},
};

#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

impl Lanes for Avx512 {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: AVX-512F, by the contract of `Lanes`.
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn load(values: *const f32) -> Self {
        // SAFETY: AVX-512F and sixteen readable values, by the contract of `Lanes`.
        Self(unsafe { _mm512_loadu_ps(values) })
    }

    #[inline(always)]
    unsafe fn load_head(values: *const f32, count: usize) -> Self {
        // SAFETY: AVX-512F; a masked load reads the first `count` values alone, which are readable.
        Self(unsafe { _mm512_maskz_loadu_ps((1 << count) - 1, values) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: AVX-512F, by the contract of `Lanes`.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: AVX-512F, by the contract of `Lanes`.
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: AVX-512F and AVX2, by the contract of `Lanes` and the features of `compute`.
        unsafe {
            let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0)));
            Avx2::sum_of_8(_mm256_add_ps(_mm512_castps512_ps256(self.0), upper))
        }
    }
}

/// # Safety
/// AVX-512F, AVX2 and FMA were detected; the rest as [`lanes::sweep`].
#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) unsafe fn run<const L2: bool>(queries: &[&[f32]], rows: &Rows<'_>, output: &mut [f32]) {
    // Sixteen sums (4 × 4) would fit into the registers, but the compiler keeps two of them in memory,
    // and the others wait.
    // SAFETY: the caller's promise, passed on.
    unsafe { lanes::sweep::<Avx2, Avx512, L2, 4, 3>(queries, rows, output) }
}
