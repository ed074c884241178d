//! Bytes like real ones, and yet wrong: what damage, bugs and malice make of an object.

use std::ops::Range;

use rand::{RngExt, rngs::SmallRng, seq::IndexedRandom};

/// Numbers at which lengths, offsets and counts go wrong.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    7,
    8,
    63,
    64,
    127,
    128,
    255,
    256,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// Pieces of text at which readers of JSON and of numbers go wrong.
const TOKENS: &[&str] = &[
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-0",
    "-1",
    "1.5",
    "1e39",
    "1e-60",
    "1e999",
    "-1e999",
    "NaN",
    "1E5",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"żółw\"",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "/*",
    ",",
    ":",
    "]",
    "}",
    "\n",
    "\r\n",
    "\u{feff}",
    "\"",
];

/// Changes `bytes` a little or a lot. `others` are objects of the same kind, to take pieces from.
pub fn mutate(bytes: &mut Vec<u8>, others: &[&[u8]], is_text: bool, random: &mut SmallRng) {
    for _ in 0..1 << random.random_range(0..4) {
        let donor = others.choose(random).copied().unwrap_or_default();
        if is_text && random.random_range(0..2) == 0 {
            replace_token(bytes, random);
        } else {
            step(bytes, donor, random);
        }
    }
}

fn step(bytes: &mut Vec<u8>, donor: &[u8], random: &mut SmallRng) {
    match random.random_range(0..14) {
        0 | 1 => {
            if let Some(byte) = any_byte(bytes, random) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
        2 => {
            if let Some(byte) = any_byte(bytes, random) {
                *byte = random.random();
            }
        }
        3 => overwrite_number::<2>(bytes, random),
        4 | 5 => overwrite_number::<4>(bytes, random),
        6 => overwrite_number::<8>(bytes, random),
        7 => bytes.truncate(random.random_range(0..=bytes.len())),
        8 => {
            let range = a_range(bytes.len(), random);
            bytes.drain(range);
        }
        9 => {
            let piece = bytes[a_range(bytes.len(), random)].to_vec();
            let at = random.random_range(0..=bytes.len());
            bytes.splice(at..at, piece);
        }
        10 => {
            let piece = donor[a_range(donor.len(), random)].to_vec();
            let range = a_range(bytes.len(), random);
            bytes.splice(range, piece);
        }
        11 => {
            // The head of one and the tail of the other.
            let at = random.random_range(0..=bytes.len().min(donor.len()));
            bytes.truncate(at);
            bytes.extend_from_slice(&donor[at..]);
        }
        12 => copy_word(bytes, random),
        _ => {
            let range = a_range(bytes.len(), random);
            bytes[range].fill(*[0, 0xff, 0x80].choose(random).unwrap_or(&0));
        }
    }
}

fn any_byte<'a>(bytes: &'a mut [u8], random: &mut SmallRng) -> Option<&'a mut u8> {
    let length = bytes.len();
    (length > 0).then(|| &mut bytes[random.random_range(0..length)])
}

/// Mostly short, anywhere, possibly empty.
fn a_range(length: usize, random: &mut SmallRng) -> Range<usize> {
    let start = random.random_range(0..=length);
    let most = (length - start).min(1 << random.random_range(0..12));
    start..start + random.random_range(0..=most)
}

/// Where a number of `N` bytes may be; mostly aligned, as they are in these formats.
fn a_place<const N: usize>(bytes: &[u8], random: &mut SmallRng) -> Option<usize> {
    let last = bytes.len().checked_sub(N)?;
    let at = random.random_range(0..=last);
    Some(if random.random_range(0..4) == 0 { at } else { at / N * N })
}

fn overwrite_number<const N: usize>(bytes: &mut [u8], random: &mut SmallRng) {
    let Some(at) = a_place::<N>(bytes, random) else { return };
    let length = bytes.len() as u64;
    let place = &mut bytes[at..at + N];
    let mut old = [0; 8];
    old[..N].copy_from_slice(place);
    let old = u64::from_le_bytes(old);
    let new = match random.random_range(0..4) {
        0 => old.wrapping_add(random.random_range(1..=16)),
        1 => old.wrapping_sub(random.random_range(1..=16)),
        2 => length.wrapping_add(random.random_range(0..=64)).wrapping_sub(32),
        _ => NUMBERS.choose(random).copied().unwrap_or_default(),
    };
    place.copy_from_slice(&new.to_le_bytes()[..N]);
}

/// Lets one reference lead where another one does.
fn copy_word(bytes: &mut [u8], random: &mut SmallRng) {
    if let (Some(from), Some(to)) = (a_place::<4>(bytes, random), a_place::<4>(bytes, random)) {
        bytes.copy_within(from..from + 4, to);
    }
}

/// Puts a token in the place of one, or between two.
fn replace_token(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let mut range = a_range(bytes.len(), random);
    if random.random_range(0..4) > 0 {
        let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-+._".contains(byte);
        let start = bytes[..range.start].iter().rposition(|byte| !is_inside(byte)).map_or(0, |at| at + 1);
        let length = bytes[start..].iter().take_while(|byte| is_inside(byte)).count();
        range = start..start + length;
    }
    let token = TOKENS.choose(random).copied().unwrap_or_default();
    bytes.splice(range, token.bytes());
}
