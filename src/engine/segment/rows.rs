//! An opened segment: its rows, read in place.
//!
//! Invariant: a record batch is checked against its hash before anything of it is used, once.

use std::sync::{Arc, OnceLock};

use arrow_array::{
    Array, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray,
    cast::AsArray,
    types::{Float32Type, TimestampMillisecondType},
};
use arrow_buffer::{Buffer, ToByteSlice};
use arrow_ipc::{Block, MetadataVersion, reader::FileDecoder};
use bytes::Bytes;

use super::{
    RowRef, SegmentRef,
    head::BatchPlace,
    lookup::{Lookup, id_hash},
    writer::{first_bytes, schema},
};
use crate::{
    cache::{Cache, Watch},
    clock::Timestamp,
    engine::format::{check_batch, hash},
    error::{Error, Result},
    types::inverse_norm,
};

/// A segment in memory, or mapped into it.
#[derive(Debug)]
pub struct Segment {
    reference: SegmentRef,
    /// Hears which parts are used, if the data is mapped.
    watch: Option<Watch>,
    /// What to call it in errors.
    object: Arc<str>,
    data: Buffer,
    lookup: Lookup,
    batches: Vec<OnceLock<Batch>>,
}

/// A run of rows of a segment, checked.
#[derive(Debug)]
pub struct Batch {
    ids: StringArray,
    vectors: Float32Array,
    inverse_norms: Float32Array,
    metadata: StringArray,
    expires_at: TimestampMillisecondArray,
    first_expiry: Option<Timestamp>,
    dimension: usize,
}

impl Segment {
    /// Opens a segment from the bytes of its objects; `data` is not looked at yet. The names are
    /// those of the objects, for errors; `cache` is where the data comes from, if from one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the lookup is damaged or does not fit the data.
    pub fn open(
        reference: SegmentRef,
        cache: Option<&Cache>,
        data: (&str, Bytes),
        lookup: (&str, &Bytes),
    ) -> Result<Self> {
        let corrupt = |object: &str, reason| Error::Corrupt { object: object.to_owned(), reason };
        let (object, data) = data;
        let (lookup_object, lookup) = lookup;
        reference.lookup.check(lookup).map_err(|reason| corrupt(lookup_object, reason))?;
        let lookup = Lookup::decode(lookup).map_err(|reason| corrupt(lookup_object, reason))?;
        let has_vectors = lookup.head.dimension > 0;
        if lookup.rows() as u64 != reference.rows
            || lookup.head.data_bytes != reference.data.bytes
            || has_vectors != reference.has_vectors
        {
            return Err(corrupt(lookup_object, "it is not of this segment".into()));
        }
        if data.len() as u64 != reference.data.bytes {
            let reason = format!("it has {} bytes, the manifest says {}", data.len(), reference.data.bytes);
            return Err(corrupt(object, reason));
        }
        let batches = lookup.head.batches.iter().map(|_| OnceLock::new()).collect();
        let watch = cache.and_then(|cache| cache.watch(&data));
        Ok(Self { reference, watch, object: object.into(), data: data.into(), lookup, batches })
    }

    /// As the manifest names it.
    pub fn reference(&self) -> &SegmentRef {
        &self.reference
    }

    /// Rows, dead ones included.
    pub fn rows(&self) -> usize {
        self.lookup.rows()
    }

    /// Values per vector; 0 if its rows have none.
    pub fn dimension(&self) -> usize {
        self.lookup.head.dimension
    }

    /// Whether its rows have vectors.
    pub fn has_vectors(&self) -> bool {
        self.dimension() > 0
    }

    /// Number of record batches.
    pub fn batch_count(&self) -> usize {
        self.batches.len()
    }

    /// Rows of a record batch.
    pub fn batch_rows(&self, batch: usize) -> usize {
        self.lookup.head.batches[batch].rows as usize
    }

    /// The record batch that a row is in, and the row's place in it.
    pub fn place(&self, row: u32) -> (usize, usize) {
        self.lookup.head.place(row)
    }

    /// The row at a place.
    pub fn row(&self, batch: usize, place: usize) -> u32 {
        self.lookup.head.first_rows[batch] + place as u32
    }

    /// A record batch, checked when it is touched first.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn batch(&self, index: usize) -> Result<&Batch> {
        if let Some(watch) = &self.watch {
            watch.touched(self.bytes_of(&self.lookup.head.batches[index]));
        }
        self.checked(index)
    }

    /// The vector at a place and one over its length; nothing else of the record batch is touched
    /// once that is checked.
    ///
    /// # Errors
    /// [`Error::Corrupt`]
    pub fn vector(&self, index: usize, place: usize) -> Result<(&[f32], &f32)> {
        let batch = match self.batches[index].get() {
            Some(batch) => batch,
            None => self.batch(index)?,
        };
        let vector = &batch.vectors()[place * self.dimension()..(place + 1) * self.dimension()];
        let inverse_norm = &batch.inverse_norms()[place];
        self.touched(vector, inverse_norm);
        Ok((vector, inverse_norm))
    }

    /// Counts what [`Segment::vector`] gave as resident.
    pub(super) fn touched(&self, vector: &[f32], inverse_norm: &f32) {
        if let Some(watch) = &self.watch {
            watch.touched(vector.to_byte_slice());
            watch.touched(std::slice::from_ref(inverse_norm).to_byte_slice());
        }
    }

    fn checked(&self, index: usize) -> Result<&Batch> {
        if let Some(batch) = self.batches[index].get() {
            return Ok(batch);
        }
        let read = self.read(&self.lookup.head.batches[index]);
        let batch = read.map_err(|reason| Error::Corrupt { object: self.object.to_string(), reason })?;
        Ok(self.batches[index].get_or_init(|| batch))
    }

    /// Whether a record batch was touched before.
    pub fn is_read(&self, index: usize) -> bool {
        self.batches[index].get().is_some()
    }

    /// The row of an id, dead or live.
    pub fn find(&self, id: &str) -> Result<Option<u32>> {
        for row in self.lookup.candidates(id_hash(id)) {
            let (batch, place) = self.place(*row);
            if self.batch(batch)?.id(place) == id {
                return Ok(Some(*row));
            }
        }
        Ok(None)
    }

    /// Rows in the order of their ids.
    pub fn by_id(&self) -> &[u32] {
        &self.lookup.by_id
    }

    /// The position in [`Segment::by_id`] of the first id after `after`.
    pub fn position_after(&self, after: Option<&str>) -> Result<usize> {
        let Some(after) = after else { return Ok(0) };
        let (mut low, mut high) = (0, self.by_id().len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.id(self.by_id()[middle])? <= after {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The id of a row.
    pub fn id(&self, row: u32) -> Result<&str> {
        let (batch, place) = self.place(row);
        Ok(self.batch(batch)?.id(place))
    }

    /// When rows expire, ascending.
    pub fn expiry(&self) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        self.lookup.head.expiry()
    }

    /// Compares what the head of the lookup says of rows with the rows, for those who read by ranges.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they differ.
    pub fn check_head(&self) -> Result<()> {
        let corrupt = |reason: String| Error::Corrupt { object: self.object.to_string(), reason };
        self.lookup.head.check_blocks(0, &self.data).map_err(corrupt)?;
        for (index, place) in self.lookup.head.batches.iter().enumerate() {
            let first = first_bytes(self.bytes_of(place), place.metadata, self.has_vectors());
            let batch = self.batch(index)?;
            let row_fits = |(row, (id, metadata)): (usize, (u32, Option<u32>))| {
                let row = batch.get(row);
                let lengths = (row.id.len(), row.metadata.map(str::len));
                lengths == (id as usize, metadata.map(|length| length as usize))
                    && row.inverse_norm.to_bits() == inverse_norm(row.vector).to_bits()
            };
            let rows = place.rows as usize;
            let fitting = self.lookup.head.lengths(place).take(rows).enumerate().filter(|row| row_fits(*row));
            if first.ok() != Some([place.ids, place.vectors, place.values]) || fitting.count() != rows {
                return Err(corrupt(format!(
                    "its rows at byte {} are not where its head says",
                    place.offset
                )));
            }
        }
        Ok(())
    }

    fn bytes_of(&self, place: &BatchPlace) -> &[u8] {
        let range = place.range();
        &self.data[range.start as usize..range.end as usize]
    }

    fn read(&self, place: &BatchPlace) -> std::result::Result<Batch, String> {
        let range = place.range();
        let bytes = self.data.slice_with_length(range.start as usize, (range.end - range.start) as usize);
        if hash(&bytes) != place.hash {
            return Err(format!("its rows at byte {} do not match their hash", range.start));
        }
        let schema = schema(self.dimension());
        check_batch(&bytes, place.metadata as usize, &schema).map_err(|error| error.to_string())?;
        let metadata = i32::try_from(place.metadata).map_err(|error| error.to_string())?;
        let body = i64::try_from(place.body).map_err(|error| error.to_string())?;
        let block = Block::new(0, metadata, body);
        let decoder = FileDecoder::new(schema, MetadataVersion::V5);
        let batch = decoder.read_record_batch(&block, &bytes).map_err(|error| error.to_string())?;
        Batch::new(&batch.ok_or("it has no rows where they should be")?, place, self.dimension())
    }
}

impl Batch {
    fn new(batch: &RecordBatch, place: &BatchPlace, dimension: usize) -> std::result::Result<Self, String> {
        let [ids, vectors, inverse_norms, metadata, expires_at] = batch.columns() else {
            return Err(format!("it has {} columns", batch.num_columns()));
        };
        if batch.num_rows() != place.rows as usize {
            return Err(format!("a batch of it has {} rows, not {}", batch.num_rows(), place.rows));
        }
        let wrong = "it has a column of another type";
        let expires_at = expires_at.as_primitive_opt::<TimestampMillisecondType>().ok_or(wrong)?.clone();
        let vectors = match dimension {
            0 => Float32Array::new_null(0),
            _ => {
                let values = vectors.as_fixed_size_list_opt().ok_or(wrong)?.values();
                values.as_primitive_opt::<Float32Type>().ok_or(wrong)?.clone()
            }
        };
        Ok(Self {
            ids: ids.as_string_opt().ok_or(wrong)?.clone(),
            vectors,
            inverse_norms: inverse_norms.as_primitive_opt::<Float32Type>().ok_or(wrong)?.clone(),
            metadata: metadata.as_string_opt().ok_or(wrong)?.clone(),
            first_expiry: expires_at.iter().flatten().min().map(Timestamp),
            expires_at,
            dimension,
        })
    }

    /// All vectors, row after row; nothing if rows have none.
    pub fn vectors(&self) -> &[f32] {
        self.vectors.values()
    }

    /// `1 / ‖row‖₂` for each row; 0 for a zero vector.
    pub fn inverse_norms(&self) -> &[f32] {
        self.inverse_norms.values()
    }

    /// The id of the row at a place.
    pub fn id(&self, place: usize) -> &str {
        self.ids.value(place)
    }

    /// The metadata of the row at a place.
    pub fn metadata(&self, place: usize) -> Option<&str> {
        self.metadata.is_valid(place).then(|| self.metadata.value(place))
    }

    /// When the first of its rows expires.
    pub fn first_expiry(&self) -> Option<Timestamp> {
        self.first_expiry
    }

    /// When a row expires.
    pub fn expires_at(&self, place: usize) -> Option<Timestamp> {
        self.expires_at.is_valid(place).then(|| Timestamp(self.expires_at.value(place)))
    }

    /// A whole row.
    pub fn get(&self, place: usize) -> RowRef<'_> {
        RowRef {
            id: self.id(place),
            vector: &self.vectors()[place * self.dimension..(place + 1) * self.dimension],
            inverse_norm: self.inverse_norms()[place],
            metadata: self.metadata(place),
            expires_at: self.expires_at(place),
        }
    }
}
