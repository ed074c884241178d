//! NEON: four registers hold the sixteen lanes; a tail is copied into a zeroed block first, since
//! there are no masked loads.
use std::arch::aarch64::*;

use super::{
    Rows,
    lanes::{self, Lanes, WIDTH},
};

#[derive(Clone, Copy)]
pub(super) struct Neon(float32x4_t, float32x4_t, float32x4_t, float32x4_t);

impl Lanes for Neon {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: NEON, by the contract of `Lanes`.
        unsafe { Self(vdupq_n_f32(0.0), vdupq_n_f32(0.0), vdupq_n_f32(0.0), vdupq_n_f32(0.0)) }
    }

    #[inline(always)]
    unsafe fn load(values: *const f32) -> Self {
        // SAFETY: NEON and sixteen readable values, by the contract of `Lanes`.
        unsafe {
            Self(
                vld1q_f32(values),
                vld1q_f32(values.add(4)),
                vld1q_f32(values.add(8)),
                vld1q_f32(values.add(12)),
            )
        }
    }

    #[inline(always)]
    unsafe fn load_head(values: *const f32, count: usize) -> Self {
        let mut head = [0.0; WIDTH];
        // SAFETY: `count` < 16 values are readable, and `head` has room for them.
        unsafe {
            std::ptr::copy_nonoverlapping(values, head.as_mut_ptr(), count);
            Self::load(head.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: NEON, by the contract of `Lanes`.
        unsafe {
            Self(
                vsubq_f32(self.0, other.0),
                vsubq_f32(self.1, other.1),
                vsubq_f32(self.2, other.2),
                vsubq_f32(self.3, other.3),
            )
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: NEON, by the contract of `Lanes`.
        unsafe {
            Self(
                vfmaq_f32(self.0, a.0, b.0),
                vfmaq_f32(self.1, a.1, b.1),
                vfmaq_f32(self.2, a.2, b.2),
                vfmaq_f32(self.3, a.3, b.3),
            )
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: NEON, by the contract of `Lanes`.
        unsafe {
            let four = vaddq_f32(vaddq_f32(self.0, self.2), vaddq_f32(self.1, self.3));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(vpadd_f32(two, two))
        }
    }
}

/// # Safety
/// NEON was detected; the rest as [`lanes::sweep`].
#[target_feature(enable = "neon")]
pub(super) unsafe fn run<const L2: bool>(queries: &[&[f32]], rows: &Rows<'_>, output: &mut [f32]) {
    // SAFETY: the caller's promise, passed on.
    unsafe { lanes::sweep::<Neon, Neon, L2, 2, 2>(queries, rows, output) }
}
