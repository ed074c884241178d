//! 512-bit vectors on x86-64.

use std::arch::x86_64::{
    __m512, __mmask16, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_loadu_ps,
    _mm512_reduce_add_ps, _mm512_setzero_ps, _mm512_sub_ps,
};

use super::sweep::Tile;

/// Values per vector.
const LANES: usize = 16;
/// Sums per product: enough independent additions for one row alone, and few enough that a tile
/// fits into the 32 registers.
const SUMS: usize = 2;

/// AVX-512F.
pub(super) struct Avx512;

impl Tile for Avx512 {
    #[target_feature(enable = "avx512f")]
    unsafe fn tile<const R: usize, const Q: usize, const L2: bool>(
        queries: [*const f32; Q],
        rows: [*const f32; R],
        dimension: usize,
    ) -> [[f32; R]; Q] {
        let mut sums = [[[_mm512_setzero_ps(); SUMS]; R]; Q];
        let mut at = 0;
        while at + LANES * SUMS <= dimension {
            for part in 0..SUMS {
                let start = at + part * LANES;
                // SAFETY: `start + LANES` is at most the dimension.
                let query = queries.map(|query| unsafe { _mm512_loadu_ps(query.add(start)) });
                for row in 0..R {
                    // SAFETY: as above.
                    let values = unsafe { _mm512_loadu_ps(rows[row].add(start)) };
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
            let query = queries.map(|query| unsafe { _mm512_maskz_loadu_ps(mask, query.add(at)) });
            for row in 0..R {
                // SAFETY: as above.
                let values = unsafe { _mm512_maskz_loadu_ps(mask, rows[row].add(at)) };
                for q in 0..Q {
                    sums[q][row][part] = add::<L2>(sums[q][row][part], query[q], values);
                }
            }
            at += LANES;
            part += 1;
        }
        sums.map(|rows| rows.map(|[first, second]| _mm512_reduce_add_ps(_mm512_add_ps(first, second))))
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add<const L2: bool>(sum: __m512, query: __m512, row: __m512) -> __m512 {
    if L2 {
        let difference = _mm512_sub_ps(query, row);
        _mm512_fmadd_ps(difference, difference, sum)
    } else {
        _mm512_fmadd_ps(query, row, sum)
    }
}

/// A mask of the first `count` lanes.
fn first_lanes(count: usize) -> __mmask16 {
    if count >= LANES { __mmask16::MAX } else { (1 << count) - 1 }
}
