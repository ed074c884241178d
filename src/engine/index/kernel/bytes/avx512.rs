//! AVX-512 VNNI: 64 products and their sums by fours in one instruction; tails are masked loads,
//! which touch nothing past the mask.
use std::arch::x86_64::*;

use super::{super::prefetch::prefetch_at, ByteQuery, ByteRows};

/// Bytes in a register.
const WIDTH: usize = 64;
/// Bytes that are asked of memory ahead of the row that is read: a part of a first-level cache.
const AHEAD: usize = 8 << 10;

/// # Safety
/// AVX-512F, BW and VNNI were detected; `output` has a place for each selected row, and the query
/// their dimension.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn run(query: &ByteQuery<'_>, rows: &ByteRows<'_>, output: &mut [i32]) {
    let dimension = rows.dimension();
    let ahead = (AHEAD / dimension).clamp(1, output.len().max(1));
    for position in 0..ahead.min(output.len()) {
        // SAFETY: the position is less than the number of rows.
        prefetch_at(unsafe { rows.pointer(position) }, dimension);
    }
    let values = query.values.as_ptr();
    let whole = dimension / WIDTH * WIDTH;
    let rest: __mmask64 = (1 << (dimension - whole)) - 1;
    for position in 0..output.len() {
        if position + ahead < output.len() {
            // SAFETY: as above.
            prefetch_at(unsafe { rows.pointer(position + ahead) }, dimension);
        }
        let mut sums = [_mm512_setzero_si512(); 2];
        // SAFETY: the row and the query have `dimension` bytes; `whole` is not more, and a masked load
        // reads the bytes of the mask alone.
        unsafe {
            let row = rows.pointer(position);
            let mut start = 0;
            while start + 2 * WIDTH <= whole {
                sums[0] = add_products(sums[0], row.add(start), values.add(start));
                sums[1] = add_products(sums[1], row.add(start + WIDTH), values.add(start + WIDTH));
                start += 2 * WIDTH;
            }
            if start < whole {
                sums[0] = add_products(sums[0], row.add(start), values.add(start));
            }
            if rest != 0 {
                let row = _mm512_maskz_loadu_epi8(rest, row.add(whole).cast());
                let query = _mm512_maskz_loadu_epi8(rest, values.add(whole).cast());
                sums[1] = _mm512_dpbusd_epi32(sums[1], unsigned(row), query);
            }
        }
        output[position] = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) - 128 * query.sum;
    }
}

/// `sum` plus the products of 64 values of a row, made unsigned, and of a query.
///
/// # Safety
/// Both may be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn add_products(sum: __m512i, row: *const u8, query: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    let (row, query) = unsafe { (_mm512_loadu_si512(row.cast()), _mm512_loadu_si512(query.cast())) };
    _mm512_dpbusd_epi32(sum, unsigned(row), query)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn unsigned(row: __m512i) -> __m512i {
    _mm512_xor_si512(row, _mm512_set1_epi8(i8::MIN))
}
