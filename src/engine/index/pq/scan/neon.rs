//! NEON: a register holds a byte of each of 16 rows.
use std::arch::aarch64::*;

use super::{BLOCK, CENTROIDS, Lookup, Tables, estimate_with};
use crate::engine::index::codes::Codes;

/// Rows of a register.
const ROWS: usize = 16;

struct Neon;

impl Lookup for Neon {
    #[inline(always)]
    unsafe fn sums(columns: &[[[u8; CENTROIDS]; 2]], codes: &[u8], rows: usize, sums: &mut [u16; BLOCK]) {
        for first in (0..rows).step_by(ROWS) {
            // SAFETY: the instructions are there, by the contract of `Lookup`; `load` and the tables and
            // sums are as long as what is loaded and stored, `first` being at most 48.
            unsafe {
                let (mut lower, mut upper) = (vdupq_n_u16(0), vdupq_n_u16(0));
                let mut place = first;
                for pair in columns.as_chunks::<2>().0 {
                    let mut four = vdupq_n_u8(0);
                    for [low, high] in pair {
                        let codes = load(codes, place);
                        place += rows;
                        let low = vqtbl1q_u8(vld1q_u8(low.as_ptr()), vandq_u8(codes, vdupq_n_u8(15)));
                        let high = vqtbl1q_u8(vld1q_u8(high.as_ptr()), vshrq_n_u8::<4>(codes));
                        four = vaddq_u8(four, vaddq_u8(low, high));
                    }
                    lower = vaddw_u8(lower, vget_low_u8(four));
                    upper = vaddw_high_u8(upper, four);
                }
                vst1q_u16(sums.as_mut_ptr().add(first), lower);
                vst1q_u16(sums.as_mut_ptr().add(first + ROWS / 2), upper);
            }
        }
    }
}

/// The 16 bytes from `place` on, which is within the codes; what lies beyond them is zero. (A short
/// block's bytes are followed by those of the next column: they land in sums of no row.)
#[inline(always)]
unsafe fn load(codes: &[u8], place: usize) -> uint8x16_t {
    let codes = &codes[place..];
    // SAFETY: the instructions are there, and 16 bytes are read where there are as many.
    unsafe {
        if codes.len() >= ROWS {
            return vld1q_u8(codes.as_ptr());
        }
        let mut head = [0_u8; ROWS];
        head[..codes.len()].copy_from_slice(codes);
        vld1q_u8(head.as_ptr())
    }
}

/// # Safety
/// NEON was detected; the rest as [`estimate_with`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn estimate(tables: &Tables, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32 {
    // SAFETY: the caller's promise, passed on.
    unsafe { estimate_with::<Neon>(tables, list, base, estimates) }
}
