//! Blocks of 128 numbers in as few bits as the largest needs.
//!
//! Number `4i + lane` has bits `i·width …` of its lane, and the lanes' 32-bit words stand side by side
//! (Lemire and Boytsov, "Decoding billions of integers per second through vectorization", 2015), so that
//! four numbers are unpacked at once.

/// Numbers in a block.
pub const BLOCK: usize = 128;
const LANES: usize = 4;

/// The bits that the largest number needs.
pub fn width(numbers: &[u32; BLOCK]) -> u8 {
    let all = numbers.iter().fold(0, |all, number| all | number);
    (u32::BITS - all.leading_zeros()) as u8
}

/// The bytes of a block.
pub fn size(width: u8) -> usize {
    BLOCK / 8 * usize::from(width)
}

/// Appends a block.
pub fn pack(numbers: &[u32; BLOCK], width: u8, out: &mut Vec<u8>) {
    let mut words = [[0_u32; LANES]; 33];
    for (place, row) in numbers.chunks_exact(LANES).enumerate() {
        let (word, shift) = split(place, width);
        for (lane, number) in row.iter().enumerate() {
            let bits = u64::from(*number) << shift;
            words[word][lane] |= bits as u32;
            words[word + 1][lane] |= (bits >> 32) as u32;
        }
    }
    let bytes = words.iter().flatten().flat_map(|word| word.to_le_bytes());
    out.extend(bytes.take(size(width)));
}

/// Unpacks the block at the beginning of `bytes`. None if there are too few of them, or the width is none.
pub fn unpack(bytes: &[u8], width: u8, numbers: &mut [u32; BLOCK]) -> Option<()> {
    if width == 0 {
        numbers.fill(0);
        return Some(());
    }
    if width > 32 {
        return None;
    }
    let mut words = [[0_u32; LANES]; 33];
    for (word, bytes) in words.iter_mut().zip(bytes.get(..size(width))?.chunks_exact(16)) {
        for (lane, bytes) in word.iter_mut().zip(bytes.chunks_exact(4)) {
            *lane = u32::from_le_bytes(bytes.try_into().ok()?);
        }
    }
    let mask = (u64::MAX >> (64 - u32::from(width))) as u32;
    for (place, row) in numbers.chunks_exact_mut(LANES).enumerate() {
        let (word, shift) = split(place, width);
        let (low, high) = (&words[word], &words[word + 1]);
        for lane in 0..LANES {
            // Shifting twice by less than 32 brings no bits of the next word where none belong.
            let rest = (high[lane] << 1) << (31 - shift);
            row[lane] = (low[lane] >> shift | rest) & mask;
        }
    }
    Some(())
}

/// The word in which the bits of a row of numbers begin, and the bit.
fn split(place: usize, width: u8) -> (usize, u32) {
    let bit = place * usize::from(width);
    (bit / 32, (bit % 32) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unpacking_gives_what_was_packed(bits in 0_u32..=32, seed in any::<u64>()) {
            let mut state = seed;
            let numbers: [u32; BLOCK] = std::array::from_fn(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 32) & ((1_u64 << bits) - 1)) as u32
            });
            let (width, mut packed, mut unpacked) = (width(&numbers), Vec::new(), [7; BLOCK]);
            prop_assert!(u32::from(width) <= bits);
            pack(&numbers, width, &mut packed);
            prop_assert_eq!(packed.len(), size(width));
            prop_assert_eq!(unpack(&packed, width, &mut unpacked), Some(()));
            prop_assert_eq!(unpacked, numbers);
            if width > 0 {
                prop_assert_eq!(unpack(&packed[1..], width, &mut unpacked), None);
            }
            prop_assert_eq!(unpack(&[0; 1000], 33, &mut unpacked), None);
        }
    }
}
