//! AVX-512: a register holds a byte of each of 64 rows, and loads are masked to the rows that there
//! are.
use std::arch::x86_64::*;

use super::{BLOCK, CENTROIDS, Lookup, Tables, estimate_with};
use crate::engine::index::codes::Codes;

struct Avx512;

impl Lookup for Avx512 {
    #[inline(always)]
    unsafe fn sums(columns: &[[[u8; CENTROIDS]; 2]], codes: &[u8], rows: usize, sums: &mut [u16; BLOCK]) {
        // SAFETY: the instructions are there, by the contract of `Lookup`. A masked load touches only
        // the `rows` bytes of a column, and `pointer` stays within the codes, which have as many for each
        // column. Tables and sums are as long as what is loaded and stored.
        unsafe {
            let mask = u64::MAX >> (BLOCK - rows);
            let nibble = _mm512_set1_epi8(15);
            // The lower sum of each pair of rows, with 256 times the upper one, and the upper one.
            let (mut both, mut upper) = (_mm512_setzero_si512(), _mm512_setzero_si512());
            let mut pointer = codes.as_ptr();
            for pair in columns.as_chunks::<2>().0 {
                let mut four = _mm512_setzero_si512();
                for [low, high] in pair {
                    let codes = _mm512_maskz_loadu_epi8(mask, pointer.cast());
                    pointer = pointer.add(rows);
                    let low = _mm512_broadcast_i32x4(_mm_loadu_si128(low.as_ptr().cast()));
                    let high = _mm512_broadcast_i32x4(_mm_loadu_si128(high.as_ptr().cast()));
                    let low = _mm512_shuffle_epi8(low, _mm512_and_si512(codes, nibble));
                    let codes = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble);
                    four = _mm512_add_epi8(four, _mm512_add_epi8(low, _mm512_shuffle_epi8(high, codes)));
                }
                both = _mm512_add_epi16(both, four);
                upper = _mm512_add_epi16(upper, _mm512_srli_epi16::<8>(four));
            }
            let lower = _mm512_sub_epi16(both, _mm512_slli_epi16::<8>(upper));
            // Row numbers of pairs of 16-bit sums, within each 128 bits: 0..8, then 8..16.
            let first = _mm512_unpacklo_epi16(lower, upper);
            let second = _mm512_unpackhi_epi16(lower, upper);
            let low = _mm512_permutex2var_epi64(first, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), second);
            let high =
                _mm512_permutex2var_epi64(first, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), second);
            _mm512_storeu_si512(sums.as_mut_ptr().cast(), low);
            _mm512_storeu_si512(sums.as_mut_ptr().add(BLOCK / 2).cast(), high);
        }
    }
}

/// # Safety
/// AVX-512BW and AVX-512VL were detected; the rest as [`estimate_with`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn estimate(tables: &Tables, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32 {
    // SAFETY: the caller's promise, passed on.
    unsafe { estimate_with::<Avx512>(tables, list, base, estimates) }
}
