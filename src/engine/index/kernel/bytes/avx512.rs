//! AVX-512 VNNI: 64 products and their sums by fours in one instruction; tails are masked loads,
//! which touch nothing past the mask.
use std::arch::x86_64::*;

use super::{ByteQuery, ByteRows};

/// Bytes in a register.
const WIDTH: usize = 64;

/// # Safety
/// AVX-512F, BW and VNNI were detected; `output` has a place for each selected row, and the query
/// their dimension.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn run(query: &ByteQuery<'_>, rows: &ByteRows<'_>, output: &mut [i32]) {
    for run in rows.runs() {
        for position in run {
            // SAFETY: the caller's promise; a position is less than the number of rows.
            output[position] = unsafe { product(query, rows.pointer(position)) };
        }
    }
}

/// The product of a query and a row.
///
/// # Safety
/// The row has as many bytes as the query.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn product(query: &ByteQuery<'_>, row: *const u8) -> i32 {
    let values = query.values.as_ptr();
    let whole = query.values.len() / WIDTH * WIDTH;
    let rest: __mmask64 = (1 << (query.values.len() - whole)) - 1;
    let mut sums = [_mm512_setzero_si512(); 2];
    let mut start = 0;
    // SAFETY: `whole` is not more than there are, and a masked load reads the bytes of the mask alone.
    unsafe {
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
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) - 128 * query.sum
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
