//! 256-bit vectors on x86-64.

use std::arch::x86_64::{
    __m256, __m256i, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehdup_ps, _mm_movehl_ps, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_maskload_ps, _mm256_setzero_ps, _mm256_sub_ps,
};

use super::sweep::Tile;

/// Values per vector.
const LANES: usize = 8;
/// Sums per product.
const SUMS: usize = 2;

/// AVX2 with FMA.
pub(super) struct Avx2;

impl Tile for Avx2 {
    #[target_feature(enable = "avx2,fma")]
    unsafe fn tile<const R: usize, const Q: usize, const L2: bool>(
        queries: [*const f32; Q],
        rows: [*const f32; R],
        dimension: usize,
    ) -> [[f32; R]; Q] {
        let mut sums = [[[_mm256_setzero_ps(); SUMS]; R]; Q];
        let mut at = 0;
        while at + LANES * SUMS <= dimension {
            for part in 0..SUMS {
                let start = at + part * LANES;
                // SAFETY: `start + LANES` is at most the dimension.
                let query = queries.map(|query| unsafe { _mm256_loadu_ps(query.add(start)) });
                for row in 0..R {
                    // SAFETY: as above.
                    let values = unsafe { _mm256_loadu_ps(rows[row].add(start)) };
                    for q in 0..Q {
                        sums[q][row][part] = add::<L2>(sums[q][row][part], query[q], values);
                    }
                }
            }
            at += LANES * SUMS;
        }
        let mut part = 0;
        while at < dimension {
            let mask = first_lanes(dimension - at);
            // SAFETY: the mask lets only values before the dimension be read.
            let query = queries.map(|query| unsafe { _mm256_maskload_ps(query.add(at), mask) });
            for row in 0..R {
                // SAFETY: as above.
                let values = unsafe { _mm256_maskload_ps(rows[row].add(at), mask) };
                for q in 0..Q {
                    sums[q][row][part] = add::<L2>(sums[q][row][part], query[q], values);
                }
            }
            at += LANES;
            part += 1;
        }
        sums.map(|rows| rows.map(|[first, second]| sum_of_lanes(_mm256_add_ps(first, second))))
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add<const L2: bool>(sum: __m256, query: __m256, row: __m256) -> __m256 {
    if L2 {
        let difference = _mm256_sub_ps(query, row);
        _mm256_fmadd_ps(difference, difference, sum)
    } else {
        _mm256_fmadd_ps(query, row, sum)
    }
}

/// A mask of the first `count` lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn first_lanes(count: usize) -> __m256i {
    const WINDOW: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let start = LANES - count.min(LANES);
    // SAFETY: `start` is at most `LANES`, and the window has as many values after that.
    unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(start).cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_of_lanes(values: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps::<1>(values));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
