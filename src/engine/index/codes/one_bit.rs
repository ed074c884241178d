//! One bit per value: its sign.
//!
//! The query is brought to four bits per value, a bit plane for each. The inner product is then a
//! few ANDs and population counts a word. Eight rows lie side by side, word by word, so that one
//! register holds the same word of each and no sum crosses lanes.

use super::{Coded, Codes};

/// Rows that lie side by side; the last ones of a list may be fewer.
const ROWS_PER_BLOCK: usize = 8;
/// Bits of a value of the query: levels from -7 to 7, as the two's complement.
const PLANES: usize = 4;
/// The largest level.
const LEVELS: f32 = 7.0;
/// So much of the largest value of a query is the largest level: the rare larger ones are cut off.
const CLIP: f32 = 0.9;

/// A query in bit planes.
#[derive(Debug, Clone)]
pub(in crate::engine::index) struct Query {
    /// For each word of a code, the same bits of all values in the four planes.
    planes: Vec<[u64; PLANES]>,
    /// The value of a level.
    step: f32,
    /// The sum of all levels.
    sum: i32,
}

impl Query {
    pub(super) fn new(rotated: &[f32]) -> Self {
        let largest = rotated.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let step = largest * CLIP / LEVELS;
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        let mut sum = 0;
        let mut planes = vec![[0; PLANES]; rotated.len() / 64];
        for (words, values) in planes.iter_mut().zip(rotated.chunks_exact(64)) {
            for (place, value) in values.iter().enumerate() {
                let level = (value * inverse).round().clamp(-LEVELS, LEVELS) as i32;
                sum += level;
                for (plane, word) in words.iter_mut().enumerate() {
                    *word |= u64::from(level as u32 >> plane & 1) << place;
                }
            }
        }
        Self { planes, step, sum }
    }

    /// Estimates the rows of a list, and returns the largest estimate. `list` has as many scales and
    /// summands as there are estimates.
    pub(super) fn estimate(&self, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32 {
        assert_eq!(list.codes.len(), estimates.len() * self.planes.len() * 8, "a code for each row");
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512vpopcntdq")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                // SAFETY: the processor has these instructions, and the lengths were compared.
                return unsafe { self.estimate_avx512(list, base, estimates) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has these instructions.
                unsafe { self.sums_avx2(list.codes, estimates) };
                return list.finish(base, estimates);
            }
        }
        self.sums_anywhere(list.codes, estimates);
        list.finish(base, estimates)
    }

    /// A register holds the same word of eight rows, and four more the counts of the planes.
    ///
    /// # Safety
    /// There are a code, a scale and a summand for each estimate.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vpopcntdq")]
    unsafe fn estimate_avx512(&self, list: &Codes<'_>, base: f32, estimates: &mut [f32]) -> f32 {
        use std::arch::x86_64::*;
        let (step, base) = (_mm256_set1_ps(self.step), _mm256_set1_ps(base));
        let all = _mm512_set1_epi64(i64::from(self.sum));
        let mut largest = _mm256_set1_ps(f32::NEG_INFINITY);
        let mut block = list.codes.as_ptr();
        let factors = list.scales.chunks(ROWS_PER_BLOCK).zip(list.adds.chunks(ROWS_PER_BLOCK));
        for (estimates, (scales, adds)) in estimates.chunks_mut(ROWS_PER_BLOCK).zip(factors) {
            let mask = u8::MAX >> (ROWS_PER_BLOCK - estimates.len());
            let mut counts = [_mm512_setzero_si512(); PLANES];
            for planes in &self.planes {
                // SAFETY: there are as many words of so many rows, by the contract; a masked load touches
                // only the words of the mask.
                let words = unsafe { _mm512_maskz_loadu_epi64(mask, block.cast()) };
                for (count, plane) in counts.iter_mut().zip(planes) {
                    let both = _mm512_and_si512(words, _mm512_set1_epi64(*plane as i64));
                    *count = _mm512_add_epi64(*count, _mm512_popcnt_epi64(both));
                }
                // SAFETY: at most the end of the codes.
                block = unsafe { block.add(8 * estimates.len()) };
            }
            let [ones, twos, fours, negative_eights] = counts;
            let low = _mm512_add_epi64(ones, _mm512_slli_epi64::<1>(twos));
            let high = _mm512_sub_epi64(fours, _mm512_slli_epi64::<1>(negative_eights));
            let set = _mm512_add_epi64(low, _mm512_slli_epi64::<2>(high));
            let sum = _mm512_sub_epi64(_mm512_slli_epi64::<1>(set), all);
            let sum = _mm256_mul_ps(_mm512_cvtepi64_ps(sum), step);
            // SAFETY: the mask has as many bits as these have places.
            let (scales, adds) = unsafe {
                (
                    _mm256_maskz_loadu_ps(mask, scales.as_ptr().cast()),
                    _mm256_maskz_loadu_ps(mask, adds.as_ptr().cast()),
                )
            };
            // Not fused, so that every processor rounds alike.
            let estimate = _mm256_add_ps(_mm256_add_ps(base, adds), _mm256_mul_ps(scales, sum));
            largest = _mm256_mask_max_ps(largest, mask, largest, estimate);
            // SAFETY: as above.
            unsafe { _mm256_mask_storeu_ps(estimates.as_mut_ptr(), mask, estimate) };
        }
        _mm512_reduce_max_ps(_mm512_insertf32x8::<1>(_mm512_castps256_ps512(largest), largest))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn sums_avx2(&self, codes: &[u8], sums: &mut [f32]) {
        self.sums_anywhere(codes, sums);
    }

    /// The loop that all instruction sets share: the compiler makes registers of the eight rows.
    #[inline(always)]
    pub(super) fn sums_anywhere(&self, codes: &[u8], sums: &mut [f32]) {
        let block_bytes = self.planes.len() * 8 * ROWS_PER_BLOCK;
        let whole = sums.len() / ROWS_PER_BLOCK;
        let (blocks, last) = codes.split_at(whole * block_bytes);
        let (sums, last_sums) = sums.split_at_mut(whole * ROWS_PER_BLOCK);
        for (block, sums) in blocks.chunks_exact(block_bytes).zip(sums.chunks_exact_mut(ROWS_PER_BLOCK)) {
            let mut counts = [[0_u64; ROWS_PER_BLOCK]; PLANES];
            for (words, planes) in block.chunks_exact(8 * ROWS_PER_BLOCK).zip(&self.planes) {
                let words = words.as_chunks::<8>().0;
                let mut row_words = [0; ROWS_PER_BLOCK];
                for (to, from) in row_words.iter_mut().zip(words) {
                    *to = u64::from_le_bytes(*from);
                }
                for (counts, plane) in counts.iter_mut().zip(planes) {
                    for (count, word) in counts.iter_mut().zip(&row_words) {
                        *count += u64::from((word & plane).count_ones());
                    }
                }
            }
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = self.sum_of([counts[0][row], counts[1][row], counts[2][row], counts[3][row]]);
            }
        }
        let rows = last_sums.len();
        for (row, sum) in last_sums.iter_mut().enumerate() {
            let mut counts = [0; PLANES];
            for (words, planes) in last.chunks_exact(8 * rows).zip(&self.planes) {
                let word = u64::from_le_bytes(words.as_chunks::<8>().0[row]);
                for (count, plane) in counts.iter_mut().zip(planes) {
                    *count += u64::from((word & plane).count_ones());
                }
            }
            *sum = self.sum_of(counts);
        }
    }

    /// A set bit stands for 1 and a clear one for -1, so the sum is twice that of the set ones, less
    /// the sum of all.
    #[inline(always)]
    fn sum_of(&self, counts: [u64; PLANES]) -> f32 {
        let [ones, twos, fours, negative_eights] = counts.map(|count| count as i32);
        let set = ones + 2 * twos + 4 * fours - 8 * negative_eights;
        (2 * set - self.sum) as f32 * self.step
    }
}

/// The codes of so many rows of so many values: the inverse of [`pack`].
pub(super) fn unpack(codes: &[u8], rows: usize, values: usize) -> Vec<Vec<i8>> {
    let words = values / 64;
    let level = |bit: u64| if bit & 1 == 1 { 1 } else { -1 };
    let code = |row: usize| {
        let block = row - row % ROWS_PER_BLOCK;
        let (together, place) = ((rows - block).min(ROWS_PER_BLOCK), row - block);
        let word = |word: usize| {
            u64::from_le_bytes(codes.as_chunks::<8>().0[block * words + word * together + place])
        };
        (0..words).map(word).flat_map(|word| (0..64).map(move |bit| level(word >> bit))).collect()
    };
    (0..rows).map(code).collect()
}

/// Word by word, the words of the rows of a block side by side.
pub(super) fn pack(rows: &[Coded]) -> Vec<u8> {
    let words = |row: &Coded| -> Vec<u64> {
        let word = |levels: &[i8]| {
            levels.iter().enumerate().fold(0, |word, (place, level)| word | u64::from(*level > 0) << place)
        };
        row.code.chunks(64).map(word).collect()
    };
    let mut packed = Vec::new();
    for block in rows.chunks(ROWS_PER_BLOCK) {
        let block: Vec<Vec<u64>> = block.iter().map(words).collect();
        for word in 0..block[0].len() {
            block.iter().for_each(|row| packed.extend_from_slice(&row[word].to_le_bytes()));
        }
    }
    packed
}
