//! Whole numbers, however they are written.
//!
//! JSON has one kind of number, and JSON Schema counts `2.0` as an integer; so do we.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, Unexpected, Visitor},
};

/// A whole number of 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct Whole(pub u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeVisitor)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of 0 or more")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
        Ok(Whole(number))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range and without fraction"
    )]
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
        /// Up to here a double holds every integer.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.fract() != 0.0 || !(0.0..=EXACT).contains(&number) {
            return Err(E::invalid_type(Unexpected::Float(number), &self));
        }
        Ok(Whole(number as u64))
    }
}

/// For `deserialize_with`: a whole number that fits `T`.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    let Whole(number) = Whole::deserialize(deserializer)?;
    fit(number)
}

/// For `deserialize_with`: a whole number that fits `T`, or null.
pub(in crate::api) fn optional<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<Whole>::deserialize(deserializer)?.map(|Whole(number)| fit(number)).transpose()
}

fn fit<T: TryFrom<u64>, E: de::Error>(number: u64) -> Result<T, E> {
    T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &"a smaller number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_in_any_notation_and_nothing_else() {
        for (text, number) in [("0", 0), ("2", 2), ("2.0", 2), ("1e3", 1000), ("-0.0", 0)] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), Whole(number), "{text}");
        }
        assert_eq!(serde_json::from_str::<Whole>("18446744073709551615").unwrap(), Whole(u64::MAX));
        for bad in ["-1", "-1.0", "1.5", "1e300", "18446744073709551616", "\"1\"", "null", "true", "[1]"] {
            assert!(serde_json::from_str::<Whole>(bad).is_err(), "{bad}");
        }
        let mut small = serde_json::Deserializer::from_str("4294967296");
        assert!(whole::<_, u32>(&mut small).is_err());
    }
}
