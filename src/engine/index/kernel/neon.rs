//! 128-bit vectors on AArch64.

use std::arch::aarch64::{float32x4_t, vaddq_f32, vaddvq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32, vsubq_f32};

use super::sweep::Tile;

/// Values per vector.
const LANES: usize = 4;
/// Sums per product.
const SUMS: usize = 2;

/// NEON, which every AArch64 processor has.
pub(super) struct Neon;

impl Tile for Neon {
    #[target_feature(enable = "neon")]
    unsafe fn tile<const R: usize, const Q: usize, const L2: bool>(
        queries: [*const f32; Q],
        rows: [*const f32; R],
        dimension: usize,
    ) -> [[f32; R]; Q] {
        let mut sums = [[[vdupq_n_f32(0.0); SUMS]; R]; Q];
        let mut at = 0;
        while at + LANES * SUMS <= dimension {
            for part in 0..SUMS {
                let start = at + part * LANES;
                // SAFETY: `start + LANES` is at most the dimension.
                let query = queries.map(|query| unsafe { vld1q_f32(query.add(start)) });
                for row in 0..R {
                    // SAFETY: as above.
                    let values = unsafe { vld1q_f32(rows[row].add(start)) };
                    for q in 0..Q {
                        sums[q][row][part] = add::<L2>(sums[q][row][part], query[q], values);
                    }
                }
            }
            at += LANES * SUMS;
        }
        let mut part = 0;
        while at < dimension {
            let count = (dimension - at).min(LANES);
            // SAFETY: `at + count` is at most the dimension.
            let query = queries.map(|query| unsafe { first_lanes(query.add(at), count) });
            for row in 0..R {
                // SAFETY: as above.
                let values = unsafe { first_lanes(rows[row].add(at), count) };
                for q in 0..Q {
                    sums[q][row][part] = add::<L2>(sums[q][row][part], query[q], values);
                }
            }
            at += LANES;
            part += 1;
        }
        sums.map(|rows| rows.map(|[first, second]| vaddvq_f32(vaddq_f32(first, second))))
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn add<const L2: bool>(sum: float32x4_t, query: float32x4_t, row: float32x4_t) -> float32x4_t {
    if L2 {
        let difference = vsubq_f32(query, row);
        vfmaq_f32(sum, difference, difference)
    } else {
        vfmaq_f32(sum, query, row)
    }
}

/// The first `count` values, and zeros in the other lanes.
///
/// # Safety
/// `values` may be read for `count` values.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn first_lanes(values: *const f32, count: usize) -> float32x4_t {
    let mut lanes = [0.0; LANES];
    for (lane, value) in lanes.iter_mut().enumerate().take(count) {
        // SAFETY: `lane` is less than `count`.
        *value = unsafe { *values.add(lane) };
    }
    // SAFETY: the array has `LANES` values.
    unsafe { vld1q_f32(lanes.as_ptr()) }
}
