//! What makes the rows of a segment findable: a few sorted arrays, used in place.
//!
//! ```text
//! header     dimension u32, rows u32, batches u32, expiring u32, data length u64, 0 u64
//! batches    batches × (hash u128, offset u64, body u64, metadata u32, rows u32, 0 u64)
//! hashes     rows × u64           XXH3-64 of each id, ascending
//! expiry     expiring × i64       when rows expire (Unix ms), ascending
//! hash rows  rows × u32           the row of each hash
//! id order   rows × u32           the rows in the order of their ids
//! expiring   expiring × u32       the row of each expiry
//! trailer
//! ```
//!
//! All numbers are little-endian. An id is found by interpolation between the hashes, which are
//! uniform: two or three cache lines whatever the number of rows. Equal hashes do happen; the
//! caller compares the ids.

use std::ops::Range;

use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};
use bytes::Bytes;

use crate::{
    clock::Timestamp,
    engine::format::{Hash, Kind, open, seal},
};

const HEADER: usize = 32;
const BATCH: usize = 48;
/// What the arrays need at most.
const ALIGNMENT: usize = 8;
/// Below this many candidates, halving needs no better guess.
const NARROW: usize = 16;

/// Where a record batch lies in `data.arrow`, and what it hashes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlace {
    /// The first byte.
    pub offset: u64,
    /// Bytes of the message before the buffers.
    pub metadata: u32,
    /// Bytes of the buffers.
    pub body: u64,
    /// Rows in it.
    pub rows: u32,
    /// Of all its bytes.
    pub hash: Hash,
}

impl BatchPlace {
    /// Its bytes in the file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.metadata)).saturating_add(self.body)
    }
}

/// What a writer gathers for the lookup.
#[derive(Debug, Default)]
pub struct LookupBuilder {
    pub dimension: u32,
    pub data_bytes: u64,
    pub batches: Vec<BatchPlace>,
    /// By row.
    pub ids: Ids,
    /// Rows that expire.
    pub expiring: Vec<(Timestamp, u32)>,
}

/// Ids of rows in one piece of memory.
#[derive(Debug, Default)]
pub struct Ids {
    text: String,
    ends: Vec<usize>,
}

impl Ids {
    /// Adds the id of the next row.
    pub fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, row: usize) -> &str {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[row]]
    }
}

/// The hash by which an id is found.
pub fn id_hash(id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(id.as_bytes())
}

impl LookupBuilder {
    /// The bytes of the object. There are less than 2³² rows.
    pub fn encode(mut self) -> Bytes {
        let rows = self.ids.len();
        let mut hashes: Vec<(u64, u32)> =
            (0..rows).map(|row| (id_hash(self.ids.get(row)), row as u32)).collect();
        hashes.sort_unstable();
        let mut by_id: Vec<u32> = (0..rows as u32).collect();
        by_id.sort_unstable_by(|left, right| self.ids.get(*left as usize).cmp(self.ids.get(*right as usize)));
        self.expiring.sort_unstable();
        let expiring = self.expiring.len();
        let mut content =
            Vec::with_capacity(HEADER + BATCH * self.batches.len() + 16 * rows + 12 * expiring + 64);
        for number in [self.dimension, rows as u32, self.batches.len() as u32, expiring as u32] {
            content.extend_from_slice(&number.to_le_bytes());
        }
        content.extend_from_slice(&self.data_bytes.to_le_bytes());
        content.extend_from_slice(&[0; 8]);
        for batch in &self.batches {
            content.extend_from_slice(&batch.hash.to_le_bytes());
            content.extend_from_slice(&batch.offset.to_le_bytes());
            content.extend_from_slice(&batch.body.to_le_bytes());
            content.extend_from_slice(&batch.metadata.to_le_bytes());
            content.extend_from_slice(&batch.rows.to_le_bytes());
            content.extend_from_slice(&[0; 8]);
        }
        content.extend(hashes.iter().flat_map(|(hash, _)| hash.to_le_bytes()));
        content.extend(self.expiring.iter().flat_map(|(at, _)| at.0.to_le_bytes()));
        content.extend(hashes.iter().flat_map(|(_, row)| row.to_le_bytes()));
        content.extend(by_id.iter().flat_map(|row| row.to_le_bytes()));
        content.extend(self.expiring.iter().flat_map(|(_, row)| row.to_le_bytes()));
        seal(Kind::Lookup, content)
    }
}

/// An opened lookup. Every row number in it is a row.
#[derive(Debug)]
pub struct Lookup {
    /// Values per vector.
    pub dimension: usize,
    /// Length of `data.arrow`.
    pub data_bytes: u64,
    /// The record batches, in order.
    pub batches: Vec<BatchPlace>,
    /// Rows in the order of their ids.
    pub by_id: ScalarBuffer<u32>,
    hashes: ScalarBuffer<u64>,
    hash_rows: ScalarBuffer<u32>,
    expiry: ScalarBuffer<i64>,
    expiring: ScalarBuffer<u32>,
}

impl Lookup {
    /// Reads a lookup, or says what is wrong with its bytes.
    pub fn decode(object: &Bytes) -> Result<Self, String> {
        let content = aligned(open(Kind::Lookup, object)?);
        let mut cursor = Cursor { content: &content, at: 0 };
        let [dimension, rows, batches, expiring] = cursor.numbers()?;
        let data_bytes = u64::from_le_bytes(*cursor.array()?);
        cursor.array::<8>()?;
        let batches = (0..batches).map(|_| cursor.batch()).collect::<Result<Vec<_>, _>>()?;
        let hashes = cursor.scalars(rows)?;
        let expiry = cursor.scalars(expiring)?;
        let hash_rows = cursor.scalars(rows)?;
        let by_id = cursor.scalars(rows)?;
        let expiring = cursor.scalars(expiring)?;
        if cursor.at != content.len() {
            return Err("it is longer than what it lists".into());
        }
        let lookup = Self {
            dimension: dimension as usize,
            data_bytes,
            batches,
            by_id,
            hashes,
            hash_rows,
            expiry,
            expiring,
        };
        lookup.check(rows)?;
        Ok(lookup)
    }

    /// Rows in the segment.
    pub fn rows(&self) -> usize {
        self.by_id.len()
    }

    /// The rows whose id may be the one of this hash: mostly one or none.
    pub fn candidates(&self, hash: u64) -> &[u32] {
        let start = self.first_at_least(hash);
        let equal = self.hashes[start..].iter().take_while(|other| **other == hash).count();
        &self.hash_rows[start..start + equal]
    }

    /// When rows expire, ascending.
    pub fn expiry(&self) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        self.expiry.iter().zip(self.expiring.iter()).map(|(at, row)| (Timestamp(*at), *row))
    }

    /// The position of the first hash that is not below `hash`.
    fn first_at_least(&self, hash: u64) -> usize {
        let (mut low, mut high) = (0, self.hashes.len());
        while high - low > NARROW {
            let (first, last) = (self.hashes[low], self.hashes[high - 1]);
            if hash <= first {
                return low;
            }
            if hash > last {
                return high;
            }
            let share = (hash - first) as f64 / (last - first) as f64;
            let guess = low + ((high - 1 - low) as f64 * share) as usize;
            // Not at an end, so that every step narrows; and a few places aside, where a uniform
            // hash is with certainty on the other side.
            let slack = ((high - low) as f64).sqrt() as usize + 1;
            let left = guess.saturating_sub(slack).clamp(low + 1, high - 1);
            let right = (guess + slack).clamp(low + 1, high - 1);
            if self.hashes[left] >= hash {
                high = left + 1;
            } else if self.hashes[right] < hash {
                low = right + 1;
            } else {
                (low, high) = (left + 1, right + 1);
            }
        }
        low + self.hashes[low..high].partition_point(|other| *other < hash)
    }

    fn check(&self, rows: u32) -> Result<(), String> {
        let mut all = self.hash_rows.iter().chain(self.by_id.iter()).chain(self.expiring.iter());
        if let Some(row) = all.find(|row| **row >= rows) {
            return Err(format!("it names row {row} of {rows}"));
        }
        let in_batches: u64 = self.batches.iter().map(|batch| u64::from(batch.rows)).sum();
        if in_batches != u64::from(rows) {
            return Err(format!("its batches have {in_batches} rows, it has {rows}"));
        }
        if self.batches.iter().any(|batch| batch.range().end > self.data_bytes) {
            return Err("it places a batch beyond the data".into());
        }
        if !self.hashes.is_sorted() || !self.expiry.is_sorted() {
            return Err("it is not sorted".into());
        }
        Ok(())
    }
}

/// The bytes as a buffer whose arrays can be used in place; copied if they lie badly.
fn aligned(bytes: Bytes) -> Buffer {
    if (bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
        Buffer::from(bytes)
    } else {
        Buffer::from_slice_ref(&bytes[..])
    }
}

struct Cursor<'a> {
    content: &'a Buffer,
    at: usize,
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Result<&[u8; N], String> {
        let bytes = self.content[self.at.min(self.content.len())..].first_chunk::<N>().ok_or(SHORT)?;
        self.at += N;
        Ok(bytes)
    }

    fn numbers(&mut self) -> Result<[u32; 4], String> {
        let mut numbers = [0; 4];
        for number in &mut numbers {
            *number = u32::from_le_bytes(*self.array()?);
        }
        Ok(numbers)
    }

    fn batch(&mut self) -> Result<BatchPlace, String> {
        let hash = Hash::from_le_bytes(*self.array()?);
        let offset = u64::from_le_bytes(*self.array()?);
        let body = u64::from_le_bytes(*self.array()?);
        let metadata = u32::from_le_bytes(*self.array()?);
        let rows = u32::from_le_bytes(*self.array()?);
        self.array::<8>()?;
        Ok(BatchPlace { offset, metadata, body, rows, hash })
    }

    fn scalars<T: ArrowNativeType>(&mut self, count: u32) -> Result<ScalarBuffer<T>, String> {
        let length = count as usize * size_of::<T>();
        if self.content.len() - self.at.min(self.content.len()) < length {
            return Err(SHORT.into());
        }
        let slice = self.content.slice_with_length(self.at, length);
        self.at += length;
        Ok(ScalarBuffer::new(slice, 0, count as usize))
    }
}

const SHORT: &str = "it is shorter than what it lists";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn build(ids: &[String], expiring: Vec<(Timestamp, u32)>) -> Bytes {
        let mut builder = LookupBuilder { dimension: 3, data_bytes: 1000, expiring, ..Default::default() };
        for id in ids {
            builder.ids.push(id);
        }
        let rows = ids.len() as u32;
        builder.batches.push(BatchPlace { offset: 64, metadata: 10, body: 20, rows, hash: 7 });
        builder.encode()
    }

    proptest! {
        #[test]
        fn every_row_is_found_and_nothing_else(
            ids in prop::collection::btree_set(".{1,6}", 0..300),
            others in prop::collection::vec(".{1,6}", 0..50),
            times in prop::collection::vec(0i64..50, 0..40),
        ) {
            // In the order of a map's values, so that rows are not in id order.
            let ids: Vec<String> = ids.into_iter().map(|id| (id_hash(&id), id)).collect::<BTreeMap<_, _>>().into_values().collect();
            let expiring: Vec<_> = times.iter().zip(0..ids.len() as u32).map(|(at, row)| (Timestamp(*at), row)).collect();
            let lookup = Lookup::decode(&build(&ids, expiring.clone())).unwrap();
            for (row, id) in ids.iter().enumerate() {
                prop_assert!(lookup.candidates(id_hash(id)).contains(&(row as u32)));
            }
            for other in others.iter().filter(|other| !ids.contains(other)) {
                prop_assert!(lookup.candidates(id_hash(other)).is_empty());
            }
            let in_order: Vec<_> = lookup.by_id.iter().map(|row| &ids[*row as usize]).collect();
            prop_assert!(in_order.is_sorted());
            let mut expected = expiring;
            expected.sort_unstable();
            prop_assert_eq!(lookup.expiry().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Lookup::decode(&seal(Kind::Lookup, bytes));
        }
    }

    /// Hashes that are not uniform at all: every search still ends at the right place.
    #[test]
    fn equal_and_clustered_hashes_are_found() {
        let mut hashes: Vec<u64> = vec![0; 50];
        hashes.extend((0..500).map(|step| 1 << (step % 60)));
        hashes.extend([u64::MAX; 50]);
        hashes.extend((0..1000).map(|step| 1_000_000 + step));
        hashes.sort_unstable();
        let lookup = Lookup {
            dimension: 1,
            data_bytes: 0,
            batches: Vec::new(),
            by_id: ScalarBuffer::from(Vec::new()),
            hash_rows: ScalarBuffer::from((0..hashes.len() as u32).collect::<Vec<_>>()),
            hashes: ScalarBuffer::from(hashes.clone()),
            expiry: ScalarBuffer::from(Vec::new()),
            expiring: ScalarBuffer::from(Vec::new()),
        };
        for hash in hashes.iter().flat_map(|hash| [*hash, hash.wrapping_add(1), hash.wrapping_sub(1)]) {
            let expected = hashes.partition_point(|other| *other < hash);
            assert_eq!(lookup.first_at_least(hash), expected, "{hash}");
        }
    }

    #[test]
    fn an_unaligned_object_is_copied() {
        let mut padded = vec![0; 3];
        padded.extend_from_slice(&build(&["a".into(), "b".into()], vec![(Timestamp(1), 1)]));
        assert_eq!(Lookup::decode(&Bytes::from(padded).slice(3..)).unwrap().rows(), 2);
    }

    #[test]
    fn what_it_lists_must_be_there() {
        let whole = build(&["a".into(), "b".into()], vec![(Timestamp(1), 1)]);
        let content = open(Kind::Lookup, &whole).unwrap();
        for end in 0..content.len() {
            assert!(Lookup::decode(&seal(Kind::Lookup, content[..end].to_vec())).is_err(), "cut at {end}");
        }
        let mut longer = content.to_vec();
        longer.push(0);
        assert!(Lookup::decode(&seal(Kind::Lookup, longer)).is_err());
    }
}
