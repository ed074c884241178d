//! JSON numbers: integers exact to 64 bits, everything else as a 64-bit float.
//!
//! Both sides of a comparison are read here, so that the same text is the same number.

use std::{cmp::Ordering, fmt};

/// A number. `Int(1)` equals `Float(1.0)`; integers are not rounded to be compared with floats.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// What is written without fraction and exponent and fits `i64` or `u64`.
    Int(i128),
    /// Anything else. Finite.
    Float(f64),
}

impl Number {
    /// Reads a JSON number; none if it is beyond the range of a 64-bit float.
    pub fn parse(text: &str) -> Option<Self> {
        let is_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let short = || text.parse::<i64>().map(i128::from);
        let long = |_| text.parse::<u64>().map(i128::from);
        match is_integer.then(|| short().or_else(long)) {
            Some(Ok(integer)) => Some(Self::Int(integer)),
            _ => text.parse().ok().filter(|float: &f64| float.is_finite()).map(Self::Float),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
            (Self::Int(integer), Self::Float(float)) => compare(*integer, *float),
            (Self::Float(float), Self::Int(integer)) => compare(*integer, *float).reverse(),
        }
    }
}

/// Compares without rounding: the whole parts, then the fraction. A float beyond the range of `i128`
/// becomes its end, which is beyond every 64-bit integer.
fn compare(integer: i128, float: f64) -> Ordering {
    let fraction = || 0.0.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal);
    integer.cmp(&(float.trunc() as i128)).then_with(fraction)
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl fmt::Display for Number {
    /// JSON that is read as the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(integer) => write!(f, "{integer}"),
            Self::Float(float) => write!(f, "{float:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn no_integer_of_64_bits_is_rounded() {
        // Strictly ascending: as floats, many neighbours would be equal.
        let ascending = [
            "-1e300",
            "-9223372036854775809",
            "-9223372036854775807",
            "-9007199254740993",
            "-9007199254740992.0",
            "-1.5",
            "-1",
            "-5e-324",
            "0",
            "5e-324",
            "0.1",
            "1",
            "9007199254740992.0",
            "9007199254740993",
            "9007199254740994.0",
            "9223372036854775807",
            "9223372036854775808.0",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
        ];
        for (left, pair) in ascending.iter().enumerate() {
            for (right, other) in ascending.iter().enumerate() {
                assert_eq!(number(pair).cmp(&number(other)), left.cmp(&right), "{pair} and {other}");
            }
        }
    }

    #[test]
    fn the_same_number_may_be_written_in_several_ways() {
        for (left, right) in [("1", "1.0"), ("-0", "0"), ("-0.0", "0"), ("100", "1e2"), ("0.5", "5E-1")] {
            assert_eq!(number(left), number(right), "{left} and {right}");
        }
        assert_eq!(Number::parse("1e999"), None);
        assert_eq!(Number::parse("-"), None);
    }

    proptest! {
        #[test]
        fn printing_keeps_the_number(float in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL, integer: i64) {
            for written in [Number::Float(float), Number::Int(integer.into())] {
                prop_assert_eq!(number(&written.to_string()), written);
                prop_assert!(serde_json::from_str::<f64>(&written.to_string()).is_ok());
            }
        }

        #[test]
        fn order_is_that_of_floats_where_those_are_exact(left in -(1_i64 << 53)..1 << 53, right in -1e16..1e16) {
            let order = (left as f64).partial_cmp(&right).unwrap();
            prop_assert_eq!(Number::Int(left.into()).cmp(&Number::Float(right)), order);
        }
    }
}
