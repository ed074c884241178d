//! Plain Rust, for machines without any of the others. A separate multiplication and addition, since
//! a fused one would be a library call there; the compiler vectorises the lanes as it can.
use super::{
    Rows,
    lanes::{self, Lanes, WIDTH},
};

#[derive(Clone, Copy)]
pub(super) struct Scalar([f32; WIDTH]);

impl Lanes for Scalar {
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; WIDTH])
    }

    #[inline(always)]
    unsafe fn load(values: *const f32) -> Self {
        // SAFETY: sixteen readable values, by the contract of `Lanes`; an array has no other alignment.
        Self(unsafe { values.cast::<[f32; WIDTH]>().read() })
    }

    #[inline(always)]
    unsafe fn load_head(values: *const f32, count: usize) -> Self {
        let mut head = [0.0; WIDTH];
        // SAFETY: `count` < 16 values are readable, and `head` has room for them.
        unsafe { std::ptr::copy_nonoverlapping(values, head.as_mut_ptr(), count) };
        Self(head)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + a.0[lane] * b.0[lane]))
    }

    #[inline(always)]
    unsafe fn sum(mut self) -> f32 {
        let mut width = WIDTH;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                self.0[lane] += self.0[lane + width];
            }
        }
        self.0[0]
    }
}

/// # Safety
/// As [`lanes::sweep`].
pub(super) unsafe fn run<const L2: bool>(queries: &[&[f32]], rows: &Rows<'_>, output: &mut [f32]) {
    // SAFETY: the caller's promise, passed on.
    unsafe { lanes::sweep::<Scalar, Scalar, L2, 1, 1>(queries, rows, output) }
}
