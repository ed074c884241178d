//! AVX2 with FMA: two registers hold the sixteen lanes; tails are masked loads, which touch nothing
//! past the mask.
use std::arch::x86_64::*;

use super::{
    Rows,
    lanes::{self, Lanes},
};

#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256, __m256);

/// Read from `8 - count` on, this is the mask of the first `count` of eight values.
static HEADS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Avx2 {
    /// Folds 8 → 4 → 2 → 1.
    #[inline(always)]
    pub(super) unsafe fn sum_of_8(values: __m256) -> f32 {
        // SAFETY: AVX, by the contract of `Lanes`.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps::<1>(values));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    /// `count` ≤ 8 values, then zeros.
    #[inline(always)]
    unsafe fn load_head_of_8(values: *const f32, count: usize) -> __m256 {
        // SAFETY: AVX; `8 - count..16 - count` is inside the table, and the masked load reads the first
        // `count` values alone, which are readable.
        unsafe {
            let mask = _mm256_loadu_si256(HEADS.as_ptr().add(8 - count).cast());
            _mm256_maskload_ps(values, mask)
        }
    }
}

impl Lanes for Avx2 {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: AVX, by the contract of `Lanes`.
        unsafe { Self(_mm256_setzero_ps(), _mm256_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn load(values: *const f32) -> Self {
        // SAFETY: AVX and sixteen readable values, by the contract of `Lanes`.
        unsafe { Self(_mm256_loadu_ps(values), _mm256_loadu_ps(values.add(8))) }
    }

    #[inline(always)]
    unsafe fn load_head(values: *const f32, count: usize) -> Self {
        let lower = count.min(8);
        // SAFETY: AVX; `lower` and then `count - lower` values are readable, at most eight each. The
        // second address is inside the vector or one past it.
        unsafe {
            Self(Self::load_head_of_8(values, lower), Self::load_head_of_8(values.add(lower), count - lower))
        }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: AVX, by the contract of `Lanes`.
        unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: FMA, by the contract of `Lanes`.
        unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: AVX, by the contract of `Lanes`.
        unsafe { Self::sum_of_8(_mm256_add_ps(self.0, self.1)) }
    }
}

/// # Safety
/// AVX2 and FMA were detected; the rest as [`lanes::sweep`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<const L2: bool>(queries: &[&[f32]], rows: &Rows<'_>, output: &mut [f32]) {
    // SAFETY: the caller's promise, passed on.
    unsafe { lanes::sweep::<Avx2, Avx2, L2, 2, 2>(queries, rows, output) }
}
