//! The dead rows of a segment as bytes: a Roaring bitmap, which takes two bytes for a lone row and
//! an eighth of a byte where many died.

use bytes::Bytes;
use roaring::RoaringBitmap;

use crate::engine::format::{Kind, open, seal};

/// The bytes of a `deletes-<seq>` object.
///
/// # Errors
/// Never in practice: writing to memory does not fail.
pub fn encode_deletes(rows: &RoaringBitmap) -> std::io::Result<Bytes> {
    let mut content = Vec::with_capacity(rows.serialized_size() + 32);
    rows.serialize_into(&mut content)?;
    Ok(seal(Kind::Deletes, content))
}

/// Reads the dead rows of a segment of `rows` rows, or says what is wrong with the bytes.
pub fn decode_deletes(object: &Bytes, rows: u64) -> Result<RoaringBitmap, String> {
    let content = open(Kind::Deletes, object)?;
    let deletes = RoaringBitmap::deserialize_from(content.as_ref())
        .map_err(|error| format!("it is not a bitmap: {error}"))?;
    match deletes.max() {
        Some(row) if u64::from(row) >= rows => Err(format!("it names row {row} of {rows}")),
        _ => Ok(deletes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_rows_beyond_the_end_are_refused() {
        for rows in [vec![], vec![0], vec![3, 5, 70_000, 99_999], (0..100_000).collect()] {
            let deletes = RoaringBitmap::from_iter(rows);
            let bytes = encode_deletes(&deletes).unwrap();
            assert_eq!(decode_deletes(&bytes, 100_000).unwrap(), deletes);
        }
        let bytes = encode_deletes(&RoaringBitmap::from_iter([7])).unwrap();
        assert!(decode_deletes(&bytes, 7).unwrap_err().contains("row 7 of 7"));
        assert!(decode_deletes(&seal(Kind::Deletes, b"no bitmap".to_vec()), 7).is_err());
        assert!(decode_deletes(&seal(Kind::Lookup, Vec::new()), 7).is_err());
    }
}
