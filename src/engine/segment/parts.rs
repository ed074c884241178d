//! Rows of a segment that is not here, read by ranges.
//!
//! The head of the lookup says where the bytes of a row lie and what the blocks of `data.arrow` hash to.
//! So any rows can be had with one request for each of their columns, all at once, and are checked block
//! by block. The norm of a vector is computed from the vector: that is where the column comes from, too.
//!
//! Invariant: a row that was supplied is the row of the segment, or supplying it failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    RowRef, SegmentRef,
    head::{BLOCK, BatchPlace, Head},
};
use crate::{
    clock::Timestamp,
    engine::index::{Run, VectorSource},
    error::{Error, Result},
    types::inverse_norm,
};

/// A segment of which the head is here, and those rows that were supplied.
#[derive(Debug)]
pub struct SegmentParts {
    /// What to call the rows in errors.
    object: Arc<str>,
    head: Head,
    places: BTreeMap<u32, Place>,
    rows: BTreeMap<u32, Row>,
}

/// Where the columns of a row lie in `data.arrow`.
#[derive(Debug)]
struct Place {
    id: Range<u64>,
    vector: Range<u64>,
    metadata: Option<Range<u64>>,
}

/// A row that is here.
#[derive(Debug)]
struct Row {
    id: String,
    vector: Vec<f32>,
    inverse_norm: f32,
    metadata: Option<String>,
    expires_at: Option<Timestamp>,
}

impl SegmentParts {
    /// Opens a segment from the head of its lookup, which was checked against its hash. The names are
    /// those of the objects, for errors.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the head is damaged or of another segment.
    pub fn open(reference: &SegmentRef, object: &str, head: (&str, Bytes)) -> Result<Self> {
        let (head_object, head) = head;
        let corrupt = |reason: String| Error::Corrupt { object: head_object.to_owned(), reason };
        let head = Head::open(head).map_err(corrupt)?;
        let has_vectors = head.dimension > 0;
        if u64::from(head.rows) != reference.rows
            || head.data_bytes != reference.data.bytes
            || has_vectors != reference.has_vectors
        {
            return Err(corrupt("it is not of this segment".into()));
        }
        Ok(Self { object: object.into(), head, places: BTreeMap::new(), rows: BTreeMap::new() })
    }

    /// Rows in the segment, and values per vector.
    pub fn shape(&self) -> (usize, usize) {
        (self.head.rows as usize, self.head.dimension)
    }

    /// When rows expire, ascending.
    pub fn expiry(&self) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        self.head.expiry()
    }

    /// The ranges of `data.arrow` that it takes to supply rows, each once for a row; with or without
    /// their metadata.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if there is no such row.
    pub fn wanted(&mut self, rows: &BTreeSet<u32>, metadata: bool) -> Result<Vec<Range<u64>>> {
        let mut in_batches: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in rows.iter().copied() {
            if row >= self.head.rows {
                return Err(self.corrupt(format!("an index names row {row} of {}", self.head.rows)));
            }
            let (batch, place) = self.head.place(row);
            in_batches.entry(batch).or_default().push(place);
        }
        let mut ranges = Vec::new();
        for (batch, wanted) in in_batches {
            for (row, place) in self.places_in(batch, &wanted, metadata)? {
                ranges.extend([&place.id, &place.vector].into_iter().chain(&place.metadata).map(blocks));
                self.places.insert(row, place);
            }
        }
        Ok(ranges.into_iter().map(|range| range.start..range.end.min(self.head.data_bytes)).collect())
    }

    /// Takes the rows that were wanted; `bytes` are those of a range of `data.arrow`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a block does not match its hash.
    pub fn supply(&mut self, bytes: impl Fn(Range<u64>) -> Option<Bytes>) -> Result<()> {
        let places = std::mem::take(&mut self.places);
        let mut rows = BTreeMap::new();
        for (row, place) in places {
            rows.insert(row, self.read(&place, &bytes)?);
        }
        for (at, row) in self.head.expiry() {
            if let Some(row) = rows.get_mut(&row) {
                row.expires_at = Some(at);
            }
        }
        self.rows.append(&mut rows);
        Ok(())
    }

    /// A row that was supplied.
    ///
    /// # Errors
    /// [`Error::Internal`] if it was not.
    pub fn get(&self, row: u32) -> Result<RowRef<'_>> {
        let row = self.rows.get(&row).ok_or_else(|| Error::internal(format!("row {row} is not here")))?;
        Ok(RowRef {
            id: &row.id,
            vector: &row.vector,
            inverse_norm: row.inverse_norm,
            metadata: row.metadata.as_deref(),
            expires_at: row.expires_at,
        })
    }

    /// Where rows of a batch lie, given by their places in it in ascending order.
    fn places_in(&self, batch: usize, wanted: &[usize], metadata: bool) -> Result<Vec<(u32, Place)>> {
        let (first, batch) = (self.head.first_rows[batch], &self.head.batches[batch]);
        let bytes = self.head.dimension as u64 * 4;
        let (mut ids, mut values) = (0_u64, 0_u64);
        let mut places = Vec::with_capacity(wanted.len());
        let mut lengths = self.head.lengths(batch).enumerate();
        for wanted in wanted {
            loop {
                let lacks = || self.corrupt("its head lacks the lengths of some rows".into());
                let (place, (id, value)) = lengths.next().ok_or_else(lacks)?;
                let (id, value) = (u64::from(id), value.map(u64::from));
                if place == *wanted {
                    let column = |first: u32, start: u64, length: u64| {
                        let range = within(batch, first, start, length);
                        range.ok_or_else(|| self.corrupt("its head places a row beyond its batch".into()))
                    };
                    let value = value.filter(|_| metadata);
                    let row = Place {
                        id: column(batch.ids, ids, id)?,
                        vector: column(batch.vectors, place as u64 * bytes, bytes)?,
                        metadata: value.map(|length| column(batch.values, values, length)).transpose()?,
                    };
                    places.push((first + place as u32, row));
                }
                ids += id;
                values += value.unwrap_or(0);
                if place == *wanted {
                    break;
                }
            }
        }
        Ok(places)
    }

    fn read(&self, place: &Place, bytes: &impl Fn(Range<u64>) -> Option<Bytes>) -> Result<Row> {
        let column = |range: &Range<u64>| self.column(range, bytes);
        let text = |range: &Range<u64>| {
            let text = String::from_utf8(column(range)?.to_vec());
            text.map_err(|_| self.corrupt(format!("its text at byte {} is not UTF-8", range.start)))
        };
        let vector: Vec<f32> =
            column(&place.vector)?.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Ok(Row {
            id: text(&place.id)?,
            inverse_norm: inverse_norm(&vector),
            vector,
            metadata: place.metadata.as_ref().map(text).transpose()?,
            expires_at: None,
        })
    }

    /// The bytes of a range, once the blocks that it lies in were checked.
    fn column(&self, range: &Range<u64>, bytes: &impl Fn(Range<u64>) -> Option<Bytes>) -> Result<Bytes> {
        let mut around = blocks(range);
        around.end = around.end.min(self.head.data_bytes);
        let missing = || Error::internal(format!("bytes {around:?} of {} are not here", self.object));
        let block = bytes(around.clone()).ok_or_else(missing)?;
        self.head.check_blocks(around.start, &block).map_err(|reason| self.corrupt(reason))?;
        let start = (range.start - around.start) as usize;
        let end = start + (range.end - range.start) as usize;
        if end > block.len() {
            return Err(missing());
        }
        Ok(block.slice(start..end))
    }

    fn corrupt(&self, reason: String) -> Error {
        Error::Corrupt { object: self.object.to_string(), reason }
    }
}

/// Bytes of a batch, if they lie in it.
fn within(batch: &BatchPlace, first: u32, start: u64, length: u64) -> Option<Range<u64>> {
    let start = batch.offset.checked_add(first.into())?.checked_add(start)?;
    let end = start.checked_add(length)?;
    (end <= batch.range().end).then_some(start..end)
}

/// The blocks that bytes lie in.
fn blocks(range: &Range<u64>) -> Range<u64> {
    range.start / BLOCK * BLOCK..range.end.div_ceil(BLOCK) * BLOCK
}

impl VectorSource for SegmentParts {
    fn dimension(&self) -> usize {
        self.head.dimension
    }

    fn rows(&self) -> usize {
        self.head.rows as usize
    }

    fn run(&self, first: usize) -> Result<Run<'_>> {
        let row = self.get(first as u32)?;
        let norm = &self.rows[&(first as u32)].inverse_norm;
        Ok(Run { vectors: row.vector, inverse_norms: std::slice::from_ref(norm) })
    }

    fn row(&self, row: u32) -> Result<(&[f32], &f32)> {
        let vector = self.get(row)?.vector;
        Ok((vector, &self.rows[&row].inverse_norm))
    }
}
