//! Vectors as text: an array of numbers, or the bytes of its values as base64.
//!
//! Base64 is a third of the length and takes no parsing of numbers, which for long vectors is most of
//! the work on a request.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// What is expected where a vector stands.
pub(super) const EXPECTED: &str = "an array of numbers, or base64 of 32-bit floats";

/// The values of base64 text: little-endian 32-bit floats, one after the other.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn decode(text: &str) -> Result<Vec<f32>, String> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|error| format!("base64: {error}"))?;
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are no whole number of 32-bit floats", bytes.len()));
    }
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// A vector in either form.
pub(super) fn vector<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    deserializer.deserialize_any(Values)
}

/// A vector in either form, or null.
pub(super) fn optional_vector<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<f32>>, D::Error> {
    Ok(Option::<Vector>::deserialize(deserializer)?.map(|Vector(values)| values))
}

/// Vectors, each in either form.
pub(super) fn vectors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f32>>, D::Error> {
    Ok(Vec::<Vector>::deserialize(deserializer)?.into_iter().map(|Vector(values)| values).collect())
}

struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        vector(deserializer).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<f32>, A::Error> {
        let mut values = Vec::with_capacity(sequence.size_hint().unwrap_or(0).min(1 << 14));
        while let Some(value) = sequence.next_element()? {
            values.push(value);
        }
        Ok(values)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<f32>, E> {
        decode(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_holds_the_bits() {
        let values = [0.1_f32, -2.5, f32::MAX, 0.0];
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(decode(&BASE64_STANDARD.encode(&bytes)), Ok(values.to_vec()));
        assert!(decode(&BASE64_STANDARD.encode(&bytes[..7])).unwrap_err().contains("7 bytes"));
        assert!(decode("what?").unwrap_err().contains("base64"));
        assert_eq!(decode(""), Ok(Vec::new()));
    }
}
