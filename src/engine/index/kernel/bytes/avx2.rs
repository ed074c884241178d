//! AVX2: bytes are widened to 16 bits, multiplied, and added in pairs; a tail is added value by
//! value.
use std::arch::x86_64::*;

use super::{ByteQuery, ByteRows, dot_of};

/// Bytes that one register holds once they are widened.
const WIDTH: usize = 16;

/// # Safety
/// AVX2 was detected; `output` has a place for each selected row, and the query their dimension.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run(query: &ByteQuery<'_>, rows: &ByteRows<'_>, output: &mut [i32]) {
    for run in rows.runs() {
        for position in run {
            // SAFETY: the position is less than the number of rows, and a row has `dimension` bytes.
            let row = unsafe { std::slice::from_raw_parts(rows.pointer(position), rows.dimension()) };
            output[position] = product(query.values, row);
        }
    }
}

/// The product of vectors of one dimension.
#[inline]
#[target_feature(enable = "avx2")]
fn product(query: &[u8], row: &[u8]) -> i32 {
    let whole = row.len().min(query.len()) / WIDTH * WIDTH;
    let mut sums = [_mm256_setzero_si256(); 2];
    let mut start = 0;
    while start < whole {
        // SAFETY: `start + WIDTH` is at most the dimension, of the row and of the query.
        unsafe {
            let left = _mm256_cvtepi8_epi16(_mm_loadu_si128(row.as_ptr().add(start).cast()));
            let right = _mm256_cvtepi8_epi16(_mm_loadu_si128(query.as_ptr().add(start).cast()));
            let half = start / WIDTH % 2;
            sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(left, right));
        }
        start += WIDTH;
    }
    sum_of_8(_mm256_add_epi32(sums[0], sums[1])) + dot_of(&query[whole..], &row[whole..])
}

#[target_feature(enable = "avx2")]
fn sum_of_8(values: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
}
