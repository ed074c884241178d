//! What makes the rows of a segment findable: a few sorted arrays, used in place.
//!
//! ```text
//! head       where rows lie and what their bytes hash to ([`super::head`])
//! hashes     rows × u64           XXH3-64 of each id, ascending
//! hash rows  rows × u32           the row of each hash
//! id order   rows × u32           the rows in the order of their ids
//! trailer
//! ```
//!
//! All numbers are little-endian. An id is found by interpolation between the hashes, which are
//! uniform: two or three cache lines whatever the number of rows. Equal hashes do happen; the
//! caller compares the ids.

use arrow_buffer::ScalarBuffer;
use bytes::Bytes;

use super::head::{ALIGNMENT, Cursor, Head, HeadBuilder, aligned};
use crate::engine::format::{Kind, open, seal};

/// Below this many candidates, halving needs no better guess.
const NARROW: usize = 16;

/// What a writer gathers for the lookup.
#[derive(Debug, Default)]
pub(super) struct LookupBuilder {
    pub head: HeadBuilder,
    /// By row.
    pub ids: Ids,
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
    /// The bytes of the object, and how many of them are its head. There are less than 2³² rows.
    pub fn encode(mut self) -> (Bytes, usize) {
        let rows = self.ids.len();
        let mut hashes: Vec<(u64, u32)> =
            (0..rows).map(|row| (id_hash(self.ids.get(row)), row as u32)).collect();
        hashes.sort_unstable();
        let mut by_id: Vec<u32> = (0..rows as u32).collect();
        by_id.sort_unstable_by(|left, right| self.ids.get(*left as usize).cmp(self.ids.get(*right as usize)));
        self.head.rows = rows as u32;
        let mut content = self.head.encode();
        let head = content.len();
        content.reserve_exact(16 * rows + 64);
        content.extend(hashes.iter().flat_map(|(hash, _)| hash.to_le_bytes()));
        content.extend(hashes.iter().flat_map(|(_, row)| row.to_le_bytes()));
        content.extend(by_id.iter().flat_map(|row| row.to_le_bytes()));
        (seal(Kind::Lookup, content), head)
    }
}

/// An opened lookup. Every row number in it is a row.
#[derive(Debug)]
pub struct Lookup {
    /// Where rows lie.
    pub head: Head,
    /// Rows in the order of their ids.
    pub by_id: ScalarBuffer<u32>,
    hashes: ScalarBuffer<u64>,
    hash_rows: ScalarBuffer<u32>,
}

impl Lookup {
    /// Reads a lookup, or says what is wrong with its bytes.
    pub fn decode(object: &Bytes) -> Result<Self, String> {
        let content = aligned(open(Kind::Lookup, object)?);
        let (head, length) = Head::decode(&content)?;
        let rows = u64::from(head.rows);
        if !length.is_multiple_of(ALIGNMENT) {
            return Err("its head ends at an odd place".into());
        }
        let mut cursor = Cursor { content: &content, at: length };
        let hashes = cursor.scalars(rows)?;
        let hash_rows = cursor.scalars(rows)?;
        let by_id = cursor.scalars(rows)?;
        if cursor.at != content.len() {
            return Err("it is longer than what it lists".into());
        }
        let lookup = Self { head, by_id, hashes, hash_rows };
        lookup.check()?;
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

    fn check(&self) -> Result<(), String> {
        let rows = self.head.rows;
        if let Some(row) = self.hash_rows.iter().chain(self.by_id.iter()).find(|row| **row >= rows) {
            return Err(format!("it names row {row} of {rows}"));
        }
        if !self.hashes.is_sorted() {
            return Err("it is not sorted".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{clock::Timestamp, engine::segment::head::BatchPlace};

    fn build(ids: &[String], expiring: Vec<(Timestamp, u32)>) -> Bytes {
        let mut builder = LookupBuilder::default();
        for id in ids {
            builder.ids.push(id);
            builder.head.push_lengths(id, None);
        }
        let (rows, blocks) = (ids.len() as u32, vec![7]);
        let batch = BatchPlace { offset: 64, metadata: 10, body: 20, rows, hash: 7, ..BatchPlace::default() };
        let batches = vec![batch];
        builder.head = HeadBuilder { data_bytes: 1000, batches, blocks, expiring, ..builder.head };
        let (bytes, head) = builder.encode();
        assert_eq!(Head::open(bytes.slice(..head)).unwrap().rows, rows);
        bytes
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
            prop_assert_eq!(lookup.head.expiry().collect::<Vec<_>>(), expected);
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
            head: Head::open(HeadBuilder::default().encode().into()).unwrap(),
            by_id: ScalarBuffer::from(Vec::new()),
            hash_rows: ScalarBuffer::from((0..hashes.len() as u32).collect::<Vec<_>>()),
            hashes: ScalarBuffer::from(hashes.clone()),
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
