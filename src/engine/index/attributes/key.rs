//! What rows are found by: a kind and a value, as bytes whose order is that of the values.
//!
//! A value that stands in an array has a kind of its own, so that array operators can be told from others.
//! Long text is kept up to [`KEPT`] bytes, under a kind of its own: what is known of it is how it begins.

use crate::types::filter::{Number, Time};

/// Bytes that are kept of text.
pub const KEPT: usize = 64;
/// Added to the kind of a value that is an element of an array.
pub const ELEMENT: u8 = 0x20;

/// Something is there.
pub const EXISTS: u8 = 1;
/// The path leads to several values.
pub const SEVERAL: u8 = 2;
/// An array is there.
pub const ARRAY: u8 = 3;
/// At the root: a row that only reading can decide.
pub const UNSURE: u8 = 4;
/// An object; as an element, too.
pub const OBJECT: u8 = 16;
/// An array inside of an array: only as an element.
pub const NESTED: u8 = 17;
/// `null`
pub const NULL: u8 = 18;
/// `false`
pub const FALSE: u8 = 19;
/// `true`
pub const TRUE: u8 = 20;
/// A number.
pub const NUMBER: u8 = 21;
/// Text of at most [`KEPT`] bytes.
pub const TEXT: u8 = 22;
/// The beginning of longer text.
pub const LONG: u8 = 23;
/// A time, beside the text that it is.
pub const TIME: u8 = 24;

/// Bytes of a number's key after the kind.
const NUMBER_BYTES: usize = 10;
/// Bytes of a time's key after the kind.
const TIME_BYTES: usize = 12;

/// A key in the making; none is longer.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    bytes: [u8; 1 + KEPT],
    length: usize,
}

impl Key {
    /// A kind alone.
    pub fn of_kind(kind: u8) -> Self {
        Self::new(kind, &[])
    }

    /// A truth value.
    pub fn of_bool(element: u8, value: bool) -> Self {
        Self::of_kind(element + if value { TRUE } else { FALSE })
    }

    /// A number.
    pub fn of_number(element: u8, number: &Number) -> Self {
        Self::new(element + NUMBER, &ordered_number(number))
    }

    /// A time.
    pub fn of_time(element: u8, time: Time) -> Self {
        Self::new(element + TIME, &ordered_time(time))
    }

    /// Text, as far as it is kept.
    pub fn of_text(element: u8, text: &str) -> Self {
        match text.as_bytes().split_at_checked(KEPT) {
            Some((kept, rest)) if !rest.is_empty() => Self::new(element + LONG, kept),
            _ => Self::new(element + TEXT, text.as_bytes()),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Its value without the kind has at most [`KEPT`] bytes.
    fn new(kind: u8, value: &[u8]) -> Self {
        let mut bytes = [0; 1 + KEPT];
        bytes[0] = kind;
        bytes[1..=value.len()].copy_from_slice(value);
        Self { bytes, length: 1 + value.len() }
    }
}

/// The greatest 64-bit float that is not above the number, and how far the number is above it: whole numbers
/// of 64 bits are at most 2,047 above. Equal numbers have equal bytes, and greater ones greater bytes.
fn ordered_number(number: &Number) -> [u8; NUMBER_BYTES] {
    let (float, above) = match number {
        // There is one zero.
        Number::Float(float) => (float + 0.0, 0),
        Number::Int(integer) => {
            let nearest = *integer as f64;
            let float = if nearest as i128 > *integer { nearest.next_down() } else { nearest };
            (float, integer - float as i128)
        }
    };
    let bits = float.to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    let mut bytes = [0; NUMBER_BYTES];
    bytes[..8].copy_from_slice(&ordered.to_be_bytes());
    bytes[8..].copy_from_slice(&(above as u16).to_be_bytes());
    bytes
}

fn ordered_time(time: Time) -> [u8; TIME_BYTES] {
    let (seconds, nanoseconds) = time.since_1970();
    let mut bytes = [0; TIME_BYTES];
    bytes[..8].copy_from_slice(&(seconds as u64 ^ 1 << 63).to_be_bytes());
    bytes[8..].copy_from_slice(&nanoseconds.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = Number> {
        let near = prop_oneof![Just(1_i128 << 53), Just(1 << 63), Just(1 << 64), Just(0)];
        let whole = (near, -5000_i128..5000, any::<bool>()).prop_map(|(near, by, negative)| {
            let number = if negative { -near } else { near } + by;
            Number::Int(number.clamp(i64::MIN.into(), u64::MAX.into()))
        });
        let float = prop_oneof![
            prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
            whole.clone().prop_map(|whole| match whole {
                Number::Int(whole) => whole as f64,
                Number::Float(float) => float,
            }),
        ];
        prop_oneof![
            whole,
            any::<i64>().prop_map(|whole| Number::Int(whole.into())),
            float.prop_map(Number::Float)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn keys_of_numbers_are_ordered_as_numbers(left in number(), right in number()) {
            prop_assert_eq!(ordered_number(&left).cmp(&ordered_number(&right)), left.cmp(&right));
        }

        #[test]
        fn keys_of_text_are_ordered_as_text(left in "[aé]{0,70}", right in "[aé]{0,70}") {
            let (one, other) = (Key::of_text(0, &left), Key::of_text(0, &right));
            if one.bytes()[0] == TEXT && other.bytes()[0] == TEXT {
                prop_assert_eq!(one.bytes().cmp(other.bytes()), left.cmp(&right));
            }
            prop_assert!(left.as_bytes().starts_with(&one.bytes()[1..]));
        }
    }

    #[test]
    fn keys_of_times_are_ordered_as_times() {
        let ascending = [
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59.9Z",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00.000000001Z",
            "9999-01-01T00:00:00Z",
        ];
        let keys: Vec<_> = ascending.iter().map(|text| ordered_time(Time::parse(text).unwrap())).collect();
        assert!(keys.is_sorted_by(|left, right| left < right));
    }
}
