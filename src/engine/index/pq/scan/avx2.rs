//! AVX2: a register holds a byte of each of 32 rows.
use std::arch::x86_64::*;

use super::{BLOCK, CENTROIDS, Lookup, Tables, estimate_with};
use crate::engine::index::codes::Codes;

/// Rows of a register.
const ROWS: usize = 32;

struct Avx2;

impl Lookup for Avx2 {
    #[inline(always)]
    unsafe fn sums(columns: &[[[u8; CENTROIDS]; 2]], codes: &[u8], rows: usize, sums: &mut [u16; BLOCK]) {
        for first in (0..rows).step_by(ROWS) {
            // SAFETY: the instructions are there, by the contract of `Lookup`; `load` and the tables and
            // sums are as long as what is loaded and stored, `first` being 0 or 32.
            unsafe {
                let nibble = _mm256_set1_epi8(15);
                // The lower sum of each pair of rows, with 256 times the upper one, and the upper one.
                let (mut both, mut upper) = (_mm256_setzero_si256(), _mm256_setzero_si256());
                let mut place = first;
                for pair in columns.as_chunks::<2>().0 {
                    let mut four = _mm256_setzero_si256();
                    for [low, high] in pair {
                        let codes = load(codes, place);
                        place += rows;
                        let low = _mm256_broadcastsi128_si256(_mm_loadu_si128(low.as_ptr().cast()));
                        let high = _mm256_broadcastsi128_si256(_mm_loadu_si128(high.as_ptr().cast()));
                        let low = _mm256_shuffle_epi8(low, _mm256_and_si256(codes, nibble));
                        let codes = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
                        four = _mm256_add_epi8(four, _mm256_add_epi8(low, _mm256_shuffle_epi8(high, codes)));
                    }
                    both = _mm256_add_epi16(both, four);
                    upper = _mm256_add_epi16(upper, _mm256_srli_epi16::<8>(four));
                }
                let lower = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(upper));
                // Rows 0..8 and 16..24, then 8..16 and 24..32.
                let even = _mm256_unpacklo_epi16(lower, upper);
                let odd = _mm256_unpackhi_epi16(lower, upper);
                let sums = sums.as_mut_ptr().add(first);
                _mm256_storeu_si256(sums.cast(), _mm256_permute2x128_si256::<0x20>(even, odd));
                _mm256_storeu_si256(sums.add(ROWS / 2).cast(), _mm256_permute2x128_si256::<0x31>(even, odd));
            }
        }
    }
}

/// The 32 bytes from `place` on, which is within the codes; what lies beyond them is zero. (A short
/// block's bytes are followed by those of the next column: they land in sums of no row.)
#[inline(always)]
unsafe fn load(codes: &[u8], place: usize) -> __m256i {
    let codes = &codes[place..];
    // SAFETY: the instructions are there, and 32 bytes are read where there are as many.
    unsafe {
        if codes.len() >= ROWS {
            return _mm256_loadu_si256(codes.as_ptr().cast());
        }
        let mut head = [0_u8; ROWS];
        head[..codes.len()].copy_from_slice(codes);
        _mm256_loadu_si256(head.as_ptr().cast())
    }
}

/// # Safety
/// AVX2 was detected; the rest as [`estimate_with`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn estimate(tables: &Tables, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32 {
    // SAFETY: the caller's promise, passed on.
    unsafe { estimate_with::<Avx2>(tables, list, base, estimates) }
}
