//! Four or eight bits per value, multiplied as bytes.
//!
//! Levels are stored without sign, as the multiply-and-add instructions for bytes want one operand
//! of each kind; what that adds is known from the query alone. Of half bytes, the lower ones are the
//! first half of the values.

use super::Coded;

/// Codes that are multiplied together.
const TOGETHER: usize = 4;

/// A query of a signed byte per value.
#[derive(Debug, Clone)]
pub(in crate::engine::index) struct Query {
    levels: Vec<i8>,
    /// The value of a level.
    step: f32,
    /// The sum of all levels.
    sum: i32,
}

impl Query {
    pub(super) fn new(rotated: &[f32]) -> Self {
        let largest = rotated.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let levels = super::levels(rotated, 127.0, 1.0);
        let sum = levels.iter().map(|level| i32::from(*level)).sum();
        Self { levels, step: largest / 127.0, sum }
    }

    /// The inner products of the query with the codes of a list, a byte per value.
    pub(super) fn sums(&self, codes: &[u8], sums: &mut [f32]) {
        assert_eq!(codes.len(), sums.len() * self.levels.len(), "a code for each row");
        let rows = codes.chunks_exact(TOGETHER * self.levels.len());
        let rest = rows.remainder().chunks_exact(self.levels.len());
        let (whole, last) = sums.as_chunks_mut::<TOGETHER>();
        for (codes, sums) in rows.zip(whole) {
            *sums = products(codes, &self.levels).map(|product| self.sum_of(product));
        }
        for (code, sum) in rest.zip(last) {
            *sum = self.sum_of(product(code, &self.levels));
        }
    }

    fn sum_of(&self, product: i32) -> f32 {
        (product - 128 * self.sum) as f32 * self.step
    }

    /// The same, half a byte per value.
    pub(super) fn sums_of_halves(&self, codes: &[u8], sums: &mut [f32]) {
        assert_eq!(2 * codes.len(), sums.len() * self.levels.len(), "a code for each row");
        let (first, second) = self.levels.split_at(self.levels.len() / 2);
        for (code, sum) in codes.chunks_exact(first.len()).zip(sums) {
            *sum = (product_of_halves(code, first, second) - 8 * self.sum) as f32 * self.step;
        }
    }
}

pub(super) fn pack(rows: &[Coded]) -> Vec<u8> {
    let byte = |level: &i8| (i16::from(*level) + 128) as u8;
    rows.iter().flat_map(|row| row.code.iter().map(byte)).collect()
}

pub(super) fn pack_halves(rows: &[Coded]) -> Vec<u8> {
    let half = |level: i8| (level + 8) as u8;
    let pack = |row: &Coded| -> Vec<u8> {
        let (first, second) = row.code.split_at(row.code.len() / 2);
        first.iter().zip(second).map(|(low, high)| half(*low) | half(*high) << 4).collect()
    };
    rows.iter().flat_map(pack).collect()
}

pub(super) fn unpack(codes: &[u8], values: usize) -> Vec<Vec<i8>> {
    let level = |byte: &u8| (i16::from(*byte) - 128) as i8;
    codes.chunks_exact(values).map(|code| code.iter().map(level).collect()).collect()
}

pub(super) fn unpack_halves(codes: &[u8], values: usize) -> Vec<Vec<i8>> {
    let level = |half: u8| half as i8 - 8;
    let unpack = |code: &[u8]| {
        let (low, high) =
            (code.iter().map(|byte| level(byte & 15)), code.iter().map(|byte| level(byte >> 4)));
        low.chain(high).collect()
    };
    codes.chunks_exact(values / 2).map(unpack).collect()
}

/// Defines a product that is computed by VNNI if the processor has it, else by what the compiler
/// makes of the plain loop for AVX2 or any processor.
macro_rules! dispatched {
    ($name:ident, $vnni:ident, $avx2:ident, $anywhere:ident, ($($argument:ident: $type:ty),*)) => {
        fn $name($($argument: $type),*) -> i32 {
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") {
                    // SAFETY: the processor has these instructions.
                    return unsafe { $vnni($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: as above.
                    return unsafe { $avx2($($argument),*) };
                }
            }
            $anywhere($($argument),*)
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn $avx2($($argument: $type),*) -> i32 {
            $anywhere($($argument),*)
        }
    };
}

dispatched!(product, product_vnni, product_avx2, product_anywhere, (code: &[u8], levels: &[i8]));
dispatched!(
    product_of_halves,
    halves_vnni,
    halves_avx2,
    halves_anywhere,
    (code: &[u8], first: &[i8], second: &[i8])
);

#[inline(always)]
fn product_anywhere(code: &[u8], levels: &[i8]) -> i32 {
    code.iter().zip(levels).map(|(code, level)| i32::from(*code) * i32::from(*level)).sum()
}

#[inline(always)]
fn halves_anywhere(code: &[u8], first: &[i8], second: &[i8]) -> i32 {
    let low = code.iter().zip(first).map(|(code, level)| i32::from(code & 15) * i32::from(*level));
    let high = code.iter().zip(second).map(|(code, level)| i32::from(code >> 4) * i32::from(*level));
    low.sum::<i32>() + high.sum::<i32>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn product_vnni(code: &[u8], levels: &[i8]) -> i32 {
    products_vnni::<1>(code, levels)[0]
}

/// The products of `N` codes, one after the other, each as long as the levels.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn products_vnni<const N: usize>(codes: &[u8], levels: &[i8]) -> [i32; N] {
    use std::arch::x86_64::*;
    assert_eq!(codes.len(), N * levels.len(), "whole codes");
    let mut sums = [_mm512_setzero_si512(); N];
    for first in (0..levels.len()).step_by(64) {
        let mask = u64::MAX >> (64 - (levels.len() - first).min(64));
        // SAFETY: the mask has as many bits as there are levels from `first` on, at most 64.
        let part = unsafe { _mm512_maskz_loadu_epi8(mask, levels.as_ptr().add(first)) };
        for (row, sum) in sums.iter_mut().enumerate() {
            let start = row * levels.len() + first;
            // SAFETY: each of `N` codes has as many bytes as there are levels.
            let code = unsafe { _mm512_maskz_loadu_epi8(mask, codes.as_ptr().add(start).cast()) };
            *sum = _mm512_dpbusd_epi32(*sum, code, part);
        }
    }
    sums.map(|sum| _mm512_reduce_add_epi32(sum))
}

/// The products of some codes, one after the other.
fn products(codes: &[u8], levels: &[i8]) -> [i32; TOGETHER] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") {
        // SAFETY: the processor has these instructions.
        return unsafe { products_vnni(codes, levels) };
    }
    let mut products = [0; TOGETHER];
    for (place, code) in codes.chunks_exact(levels.len()).enumerate() {
        products[place] = product(code, levels);
    }
    products
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn halves_vnni(code: &[u8], first: &[i8], second: &[i8]) -> i32 {
    use std::arch::x86_64::*;
    let half = _mm512_set1_epi8(15);
    let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for ((code, first), second) in code.chunks(64).zip(first.chunks(64)).zip(second.chunks(64)) {
        let mask = u64::MAX >> (64 - code.len().min(first.len()).min(second.len()));
        // SAFETY: the mask has as many bits as each of them has bytes.
        let (code, first, second) = unsafe {
            (
                _mm512_maskz_loadu_epi8(mask, code.as_ptr().cast()),
                _mm512_maskz_loadu_epi8(mask, first.as_ptr()),
                _mm512_maskz_loadu_epi8(mask, second.as_ptr()),
            )
        };
        low = _mm512_dpbusd_epi32(low, _mm512_and_si512(code, half), first);
        let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(code), half);
        high = _mm512_dpbusd_epi32(high, upper, second);
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(low, high))
}
