//! The head of a lookup: what it takes to read any rows of a segment by ranges, and to check them.
//!
//! ```text
//! header     dimension u32, rows u32, batches u32, expiring u32, data length u64, head length u64
//! batches    batches × (hash u128, offset u64, body u64, metadata u32, rows u32,
//!            ids u32, vectors u32, values u32, lengths u32)
//! blocks     XXH3-64 (u64) of each 4 KiB of data.arrow, the last one shorter
//! expiry     expiring × i64       when rows expire (Unix ms), ascending
//! expiring   expiring × u32       the row of each expiry
//! lengths    per row, as LEB128: bytes of its id; bytes of its metadata and one, or 0 if it has none
//!            zeros up to a multiple of 8
//! ```
//!
//! `ids`, `vectors` and `values` (the metadata) are where these bytes of the first row of a batch begin
//! in the batch, and `lengths` is where its lengths begin among all. All numbers are little-endian.
//!
//! Invariant: every batch of an opened head lies within the data, and its vectors within the batch.

use std::ops::Range;

use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::{clock::Timestamp, engine::format::Hash};

/// Bytes of the header of a head.
const HEADER: usize = 32;
/// Bytes of a batch in a head.
const BATCH: usize = 56;
/// What the arrays need at most.
pub(super) const ALIGNMENT: usize = 8;
/// Bytes of `data.arrow` that have a hash.
pub(super) const BLOCK: u64 = 4096;

pub(super) const SHORT: &str = "it is shorter than what it lists";

/// Where a record batch lies in `data.arrow`, and what it hashes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// Where the ids begin in the batch.
    pub ids: u32,
    /// Where the vectors begin in the batch.
    pub vectors: u32,
    /// Where the metadata of its rows begins in the batch.
    pub values: u32,
    /// Where the lengths of its rows begin among all lengths.
    pub lengths: u32,
}

impl BatchPlace {
    /// Its bytes in the file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.metadata)).saturating_add(self.body)
    }
}

/// What a writer gathers for the head.
#[derive(Debug, Default)]
pub(super) struct HeadBuilder {
    pub dimension: u32,
    pub rows: u32,
    pub data_bytes: u64,
    pub batches: Vec<BatchPlace>,
    pub blocks: Vec<u64>,
    /// Rows that expire.
    pub expiring: Vec<(Timestamp, u32)>,
    pub lengths: Vec<u8>,
}

impl HeadBuilder {
    /// Adds the lengths of the next row.
    pub fn push_lengths(&mut self, id: &str, metadata: Option<&str>) {
        for mut length in [id.len(), metadata.map_or(0, |metadata| metadata.len() + 1)] {
            while length >= 0x80 {
                self.lengths.push(length as u8 | 0x80);
                length >>= 7;
            }
            self.lengths.push(length as u8);
        }
    }

    /// The bytes.
    pub fn encode(mut self) -> Vec<u8> {
        self.expiring.sort_unstable();
        let arrays = BATCH * self.batches.len() + 8 * self.blocks.len() + 12 * self.expiring.len();
        let length = (HEADER + arrays + self.lengths.len()).next_multiple_of(ALIGNMENT);
        let mut head = Vec::with_capacity(length);
        for number in [self.dimension, self.rows, self.batches.len() as u32, self.expiring.len() as u32] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head.extend_from_slice(&self.data_bytes.to_le_bytes());
        head.extend_from_slice(&(length as u64).to_le_bytes());
        for batch in &self.batches {
            head.extend_from_slice(&batch.hash.to_le_bytes());
            head.extend_from_slice(&batch.offset.to_le_bytes());
            head.extend_from_slice(&batch.body.to_le_bytes());
            for number in [batch.metadata, batch.rows, batch.ids, batch.vectors, batch.values, batch.lengths]
            {
                head.extend_from_slice(&number.to_le_bytes());
            }
        }
        head.extend(self.blocks.iter().flat_map(|hash| hash.to_le_bytes()));
        head.extend(self.expiring.iter().flat_map(|(at, _)| at.0.to_le_bytes()));
        head.extend(self.expiring.iter().flat_map(|(_, row)| row.to_le_bytes()));
        head.extend_from_slice(&self.lengths);
        head.resize(length, 0);
        head
    }
}

/// Hashes of the blocks of what is written piece by piece.
#[derive(Debug, Default)]
pub(super) struct BlockHasher {
    pending: Vec<u8>,
    hashes: Vec<u64>,
}

impl BlockHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let block = BLOCK as usize;
        if !self.pending.is_empty() {
            let (first, rest) = bytes.split_at(bytes.len().min(block - self.pending.len()));
            self.pending.extend_from_slice(first);
            if self.pending.len() < block {
                return;
            }
            self.hashes.push(xxh3_64(&self.pending));
            self.pending.clear();
            bytes = rest;
        }
        let whole = bytes.chunks_exact(block);
        self.pending.extend_from_slice(whole.remainder());
        self.hashes.extend(whole.map(xxh3_64));
    }

    /// The hashes of all blocks.
    pub fn finish(mut self) -> Vec<u64> {
        if !self.pending.is_empty() {
            self.hashes.push(xxh3_64(&self.pending));
        }
        self.hashes
    }
}

/// An opened head.
#[derive(Debug)]
pub struct Head {
    /// Values per vector.
    pub dimension: usize,
    /// Rows in the segment.
    pub rows: u32,
    /// Length of `data.arrow`.
    pub data_bytes: u64,
    /// The record batches, in order.
    pub batches: Vec<BatchPlace>,
    /// The first row of each batch.
    pub first_rows: Vec<u32>,
    blocks: ScalarBuffer<u64>,
    expiry: ScalarBuffer<i64>,
    expiring: ScalarBuffer<u32>,
    lengths: Buffer,
}

impl Head {
    /// Reads the head of a lookup, or of what begins with one, and how long it is; or says what is wrong
    /// with the bytes.
    pub(super) fn decode(content: &Buffer) -> Result<(Self, usize), String> {
        let mut cursor = Cursor { content, at: 0 };
        let [dimension, rows, batches, expiring] = cursor.numbers()?;
        let data_bytes = u64::from_le_bytes(*cursor.array()?);
        let length = u64::from_le_bytes(*cursor.array()?);
        let length = usize::try_from(length).ok().filter(|length| *length <= content.len()).ok_or(SHORT)?;
        let batches = (0..batches).map(|_| cursor.batch()).collect::<Result<Vec<_>, _>>()?;
        let blocks = cursor.scalars(data_bytes.div_ceil(BLOCK))?;
        let expiry = cursor.scalars(expiring.into())?;
        let expiring = cursor.scalars(expiring.into())?;
        let lengths = length.checked_sub(cursor.at).ok_or("it is longer than it says")?;
        let lengths = content.slice_with_length(cursor.at, lengths);
        let mut next = 0_u32;
        let mut first_rows = Vec::with_capacity(batches.len());
        for batch in &batches {
            first_rows.push(next);
            next = next.checked_add(batch.rows).ok_or("its batches have too many rows")?;
        }
        let dimension = dimension as usize;
        let head =
            Self { dimension, rows, data_bytes, batches, first_rows, blocks, expiry, expiring, lengths };
        head.check(next)?;
        Ok((head, length))
    }

    /// Reads a head that stands alone.
    pub fn open(bytes: Bytes) -> Result<Self, String> {
        let length = bytes.len();
        match Self::decode(&aligned(bytes))? {
            (head, used) if used == length => Ok(head),
            _ => Err("it is longer than it says".into()),
        }
    }

    /// When rows expire, ascending.
    pub fn expiry(&self) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        self.expiry.iter().zip(self.expiring.iter()).map(|(at, row)| (Timestamp(*at), *row))
    }

    /// The record batch that a row is in, and the row's place in it.
    pub fn place(&self, row: u32) -> (usize, usize) {
        let batch = self.first_rows.partition_point(|first| *first <= row) - 1;
        (batch, (row - self.first_rows[batch]) as usize)
    }

    /// The lengths of the rows of a batch.
    pub(super) fn lengths(&self, batch: &BatchPlace) -> Lengths<'_> {
        Lengths { bytes: self.lengths.get(batch.lengths as usize..).unwrap_or_default() }
    }

    /// Compares bytes of `data.arrow`, which begin with a block and end with one, with their hashes.
    pub(super) fn check_blocks(&self, start: u64, bytes: &[u8]) -> Result<(), String> {
        let first = start / BLOCK;
        for (block, bytes) in (first..).zip(bytes.chunks(BLOCK as usize)) {
            let expected = usize::try_from(block).ok().and_then(|block| self.blocks.get(block));
            let length = BLOCK.min(self.data_bytes.saturating_sub(block * BLOCK));
            if expected != Some(&xxh3_64(bytes)) || bytes.len() as u64 != length {
                return Err(format!("its bytes at {} do not match their hash", block * BLOCK));
            }
        }
        Ok(())
    }

    fn check(&self, in_batches: u32) -> Result<(), String> {
        let rows = self.rows;
        if let Some(row) = self.expiring.iter().find(|row| **row >= rows) {
            return Err(format!("it names row {row} of {rows}"));
        }
        if in_batches != rows {
            return Err(format!("its batches have {in_batches} rows, it has {rows}"));
        }
        if self.batches.iter().any(|batch| batch.range().end > self.data_bytes) {
            return Err("it places a batch beyond the data".into());
        }
        let vectors = |batch: &BatchPlace| {
            let bytes = u64::from(batch.rows).saturating_mul(self.dimension as u64 * 4);
            batch.offset.saturating_add(batch.vectors.into()).saturating_add(bytes)
        };
        if self.batches.iter().any(|batch| vectors(batch) > batch.range().end) {
            return Err("it places vectors beyond their batch".into());
        }
        if !self.expiry.is_sorted() {
            return Err("it is not sorted".into());
        }
        Ok(())
    }
}

/// The lengths of rows, one row after the other: bytes of the id, and of the metadata if there is some.
pub(super) struct Lengths<'a> {
    bytes: &'a [u8],
}

impl Lengths<'_> {
    fn number(&mut self) -> Option<u32> {
        let mut number = 0_u32;
        for shift in (0..28).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

impl Iterator for Lengths<'_> {
    type Item = (u32, Option<u32>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.number()?, self.number()?.checked_sub(1)))
    }
}

/// The bytes as a buffer whose arrays can be used in place; copied if they lie badly.
pub(super) fn aligned(bytes: Bytes) -> Buffer {
    if (bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
        Buffer::from(bytes)
    } else {
        Buffer::from_slice_ref(&bytes[..])
    }
}

pub(super) struct Cursor<'a> {
    pub content: &'a Buffer,
    pub at: usize,
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Result<&[u8; N], String> {
        let bytes = self.content[self.at.min(self.content.len())..].first_chunk::<N>().ok_or(SHORT)?;
        self.at += N;
        Ok(bytes)
    }

    fn numbers<const N: usize>(&mut self) -> Result<[u32; N], String> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = u32::from_le_bytes(*self.array()?);
        }
        Ok(numbers)
    }

    fn batch(&mut self) -> Result<BatchPlace, String> {
        let hash = Hash::from_le_bytes(*self.array()?);
        let offset = u64::from_le_bytes(*self.array()?);
        let body = u64::from_le_bytes(*self.array()?);
        let [metadata, rows, ids, vectors, values, lengths] = self.numbers()?;
        Ok(BatchPlace { offset, metadata, body, rows, hash, ids, vectors, values, lengths })
    }

    /// An array of so many numbers, which begins at a multiple of their size.
    pub fn scalars<T: ArrowNativeType>(&mut self, count: u64) -> Result<ScalarBuffer<T>, String> {
        let count = usize::try_from(count).map_err(|_| SHORT)?;
        let length = count.checked_mul(size_of::<T>()).ok_or(SHORT)?;
        if self.content.len() - self.at.min(self.content.len()) < length {
            return Err(SHORT.into());
        }
        let slice = self.content.slice_with_length(self.at, length);
        self.at += length;
        Ok(ScalarBuffer::new(slice, 0, count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_have_the_same_hashes_however_they_come(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 0..8),
        ) {
            let mut hasher = BlockHasher::default();
            pieces.iter().for_each(|piece| hasher.update(piece));
            let expected: Vec<u64> = pieces.concat().chunks(BLOCK as usize).map(xxh3_64).collect();
            prop_assert_eq!(hasher.finish(), expected);
        }

        #[test]
        fn lengths_are_read_as_written(rows in prop::collection::vec((0_usize..600, prop::option::of(0_usize..70_000)), 0..40)) {
            let mut builder = HeadBuilder::default();
            let text = "x".repeat(70_000);
            for (id, metadata) in &rows {
                builder.push_lengths(&text[..*id], metadata.map(|length| &text[..length]));
            }
            let read: Vec<_> = Lengths { bytes: &builder.lengths }
                .map(|(id, metadata)| (id as usize, metadata.map(|length| length as usize)))
                .collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut bytes = bytes;
            let length = bytes.len() as u64;
            if let Some(place) = bytes.get_mut(24..32) {
                place.copy_from_slice(&length.to_le_bytes());
            }
            let _ = Head::open(bytes.into());
        }
    }
}
