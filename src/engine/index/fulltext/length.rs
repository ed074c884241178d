//! Lengths of texts in a byte.
//!
//! Exact up to 40 words and to an eighth beyond, rounded down: the rule of Lucene (`SmallFloat`) and
//! tantivy, so that scores are theirs. Averages are taken of exact lengths.

use super::varint;

/// Lengths that are their own byte; beyond, 8 values for each power of two.
const EXACT: u32 = 24;

/// The byte of a length.
pub fn to_byte(length: u32) -> u8 {
    if length < EXACT {
        return length as u8;
    }
    let rest = length - EXACT;
    let byte = if rest < 16 {
        rest
    } else {
        let shift = rest.ilog2() - 3;
        ((shift + 1) << 3) | (rest >> shift & 7)
    };
    (EXACT + byte).min(255) as u8
}

/// The length that a byte stands for.
pub fn of_byte(byte: u8) -> u32 {
    let byte = u32::from(byte);
    if byte < EXACT {
        return byte;
    }
    let (rest, mantissa) = (byte - EXACT, (byte - EXACT) & 7);
    let rest = match (rest >> 3).checked_sub(1) {
        None => rest,
        Some(shift) => (mantissa | 8).checked_shl(shift).unwrap_or(u32::MAX),
    };
    rest.saturating_add(EXACT)
}

/// What lengths are longer than their bytes say: for each row that is, the distance from the one
/// before it and the excess, as varints.
pub fn excess(lengths: &[u32]) -> Vec<u8> {
    let (mut bytes, mut last) = (Vec::new(), 0);
    for (row, length) in lengths.iter().enumerate() {
        let excess = length - of_byte(to_byte(*length));
        if excess > 0 {
            varint::write((row - last) as u64, &mut bytes);
            varint::write(u64::from(excess), &mut bytes);
            last = row;
        }
    }
    bytes
}

/// The rows and the numbers that [`excess`] wrote; the beginning of them, if the bytes are damaged.
pub fn read_excess(mut bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let mut row = 0_u32;
    std::iter::from_fn(move || {
        row = row.checked_add(varint::read_u32(&mut bytes)?)?;
        Some((row, varint::read_u32(&mut bytes)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_rounded_down_as_others_round_them() {
        for length in 0..=40 {
            assert_eq!(of_byte(to_byte(length)), length);
        }
        let table: Vec<u32> = [41, 42, 48, 56, 57, 100, 255].into_iter().map(of_byte).collect();
        assert_eq!(table, [42, 44, 56, 88, 96, 3096, 2_013_265_944]);
        assert_eq!(
            [41, 43, 63, 119, 1_000_000].map(|length| of_byte(to_byte(length))),
            [40, 42, 60, 112, 983_064]
        );
    }

    #[test]
    fn each_byte_is_its_own_and_they_grow() {
        for byte in 0..=255 {
            assert_eq!(to_byte(of_byte(byte)), byte);
            assert!(byte == 0 || of_byte(byte - 1) < of_byte(byte));
            assert_eq!(to_byte((of_byte(byte)).saturating_sub(1)), byte.saturating_sub(1));
        }
        assert_eq!(to_byte(u32::MAX), 255);
    }

    #[test]
    fn what_bytes_leave_out_is_kept_apart() {
        let lengths = [0, 41, 40, 1000, 7, 1_000_000];
        let read: Vec<_> = read_excess(&excess(&lengths)).collect();
        assert_eq!(read, [(1, 1), (3, 16), (5, 16_936)]);
    }
}
