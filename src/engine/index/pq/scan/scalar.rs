//! Plain Rust, for machines without any of the others.
use super::{BLOCK, CENTROIDS, Lookup, Tables, estimate_with};
use crate::engine::index::codes::Codes;

struct Scalar;

impl Lookup for Scalar {
    #[inline(always)]
    unsafe fn sums(columns: &[[[u8; CENTROIDS]; 2]], codes: &[u8], rows: usize, sums: &mut [u16; BLOCK]) {
        sums.fill(0);
        for ([low, high], codes) in columns.iter().zip(codes.chunks_exact(rows)) {
            for (sum, code) in sums.iter_mut().zip(codes) {
                *sum += u16::from(low[usize::from(code & 15)]) + u16::from(high[usize::from(code >> 4)]);
            }
        }
    }
}

/// There are a code, a scale and a summand for each estimate.
pub(super) fn estimate(tables: &Tables, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32 {
    // SAFETY: no instructions are needed that a processor might lack, and no memory is read that is
    // not checked.
    unsafe { estimate_with::<Scalar>(tables, list, base, estimates) }
}
