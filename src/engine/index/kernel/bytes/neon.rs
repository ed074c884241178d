//! NEON: products of 16 bits, added in pairs to sums of 32; a tail is added value by value.
use std::arch::aarch64::*;

use super::{ByteQuery, ByteRows, dot_of};

/// Bytes in a register.
const WIDTH: usize = 16;

/// # Safety
/// NEON was detected; `output` has a place for each selected row, and the query their dimension.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run(query: &ByteQuery<'_>, rows: &ByteRows<'_>, output: &mut [i32]) {
    let dimension = rows.dimension();
    let values = query.values.as_ptr();
    let whole = dimension / WIDTH * WIDTH;
    for (position, output) in output.iter_mut().enumerate() {
        // SAFETY: the position is less than the number of rows, and a row has `dimension` bytes.
        let row = unsafe { std::slice::from_raw_parts(rows.pointer(position), dimension) };
        let mut sums = [vdupq_n_s32(0); 2];
        let mut start = 0;
        while start < whole {
            // SAFETY: `start + WIDTH` is at most the dimension, of the row and of the query.
            let (left, right) =
                unsafe { (vld1q_s8(row.as_ptr().add(start).cast()), vld1q_s8(values.add(start).cast())) };
            // The largest product, 128 × 128, fits into 16 bits.
            sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(left), vget_low_s8(right)));
            sums[1] = vpadalq_s16(sums[1], vmull_high_s8(left, right));
            start += WIDTH;
        }
        *output = vaddvq_s32(vaddq_s32(sums[0], sums[1])) + dot_of(&query.values[whole..], &row[whole..]);
    }
}
