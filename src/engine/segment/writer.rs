//! Rows to the bytes of a segment, in bounded memory: what is held is one record batch, and the
//! ids for the lookup.
//!
//! | column | type | |
//! |---|---|---|
//! | `id` | utf8 | |
//! | `vector` | fixed-size list of float32 | null if the rows of the segment have none |
//! | `inverse_norm` | float32 | 1 / ‖vector‖₂, 0 for a zero vector ([`crate::types::inverse_norm`]) |
//! | `metadata` | utf8 | a JSON object, or null |
//! | `expires_at` | timestamp[ms, UTC] | or null |
//!
//! Either all rows of a segment have vectors or none of them do, so that every index over vectors is over all
//! rows of its segment.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, FixedSizeListArray, Float32Array, NullArray, RecordBatch, StringArray,
    TimestampMillisecondArray, builder::StringBuilder,
};
use arrow_ipc::{
    MetadataVersion,
    writer::{FileWriter, IpcWriteOptions},
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3Default;

use super::{
    Blob, SegmentRef,
    head::{BatchPlace, BlockHasher},
    lookup::LookupBuilder,
};
use crate::{clock::Timestamp, engine::format::hash};

/// Buffers begin at multiples of it.
const ALIGNMENT: usize = 64;
/// The most rows in a record batch.
const BATCH_ROWS: usize = 8192;
/// A record batch ends when its vectors, ids and metadata pass this.
const BATCH_BYTES: usize = 4 << 20;

/// The buffers of a record batch, by their numbers: each column has one for validity, text one for
/// offsets before its values, a list those of its items after its own, a number one for its values.
const ID_VALUES: usize = 2;
const VECTOR_VALUES: usize = 5;
const METADATA_VALUES: usize = 10;
/// Of a column of nulls there are none.
const METADATA_VALUES_WITHOUT_VECTORS: usize = 7;

/// A row to be written.
#[derive(Debug, Clone, Copy)]
pub struct RowRef<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its vector; empty if it has none.
    pub vector: &'a [f32],
    /// 1 / ‖vector‖₂, 0 if it has none.
    pub inverse_norm: f32,
    /// A JSON object.
    pub metadata: Option<&'a str>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// Writes `data.arrow` piece by piece, and the lookup at the end.
pub struct SegmentWriter {
    file: FileWriter<Vec<u8>>,
    schema: SchemaRef,
    /// Bytes of the file that were handed out.
    sent: u64,
    digest: Xxh3Default,
    blocks: BlockHasher,
    pending: Columns,
    lookup: LookupBuilder,
}

/// The end of a segment.
#[derive(Debug)]
pub struct Written {
    /// The last piece of `data.arrow`.
    pub piece: Bytes,
    /// All of `data.arrow`.
    pub data: Blob,
    /// The object `lookup`.
    pub lookup: Bytes,
    /// The head of it.
    pub head: Blob,
    /// Rows.
    pub rows: u64,
    /// Whether they have vectors.
    pub has_vectors: bool,
}

impl Written {
    /// The segment as a manifest names it, under this id.
    pub fn reference(&self, id: Uuid) -> SegmentRef {
        let lookup = Blob::of(&self.lookup);
        SegmentRef {
            id,
            rows: self.rows,
            has_vectors: self.has_vectors,
            data: self.data,
            lookup,
            head: self.head,
            deletes: None,
            indexes: Vec::new(),
            owner: None,
        }
    }
}

#[derive(Default)]
struct Columns {
    ids: StringBuilder,
    vectors: Vec<f32>,
    inverse_norms: Vec<f32>,
    metadata: StringBuilder,
    expires_at: Vec<Option<i64>>,
    bytes: usize,
    /// Where the lengths of the first row begin.
    first_lengths: Option<u32>,
}

/// The schema of `data.arrow`. `dimension` is within `i32`, and 0 if rows have no vectors.
pub(super) fn schema(dimension: usize) -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let vector = match i32::try_from(dimension).unwrap_or(i32::MAX) {
        0 => DataType::Null,
        dimension => DataType::FixedSizeList(vector_item(), dimension),
    };
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("vector", vector, dimension == 0),
        Field::new("inverse_norm", DataType::Float32, false),
        Field::new("metadata", DataType::Utf8, true),
        Field::new("expires_at", timestamp, true),
    ]))
}

fn vector_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

impl SegmentWriter {
    /// A segment of vectors of a dimension; 0 if its rows have none.
    pub fn new(dimension: usize) -> Result<Self, ArrowError> {
        let schema = schema(dimension);
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
        let file = FileWriter::try_new_with_options(Vec::new(), &schema, options)?;
        let mut lookup = LookupBuilder::default();
        lookup.head.dimension = dimension as u32;
        let (digest, blocks) = (Xxh3Default::new(), BlockHasher::default());
        Ok(Self { file, schema, sent: 0, digest, blocks, pending: Columns::default(), lookup })
    }

    /// Adds a row whose id is not in the segment. Returns a piece of the file once one is complete.
    pub fn push(&mut self, row: RowRef<'_>) -> Result<Option<Bytes>, ArrowError> {
        self.lookup.ids.push(row.id);
        self.pending.first_lengths.get_or_insert(self.lookup.head.lengths.len() as u32);
        self.lookup.head.push_lengths(row.id, row.metadata);
        if let Some(expires_at) = row.expires_at {
            self.lookup.head.expiring.push((expires_at, self.lookup.ids.len() as u32 - 1));
        }
        self.pending.push(row);
        let full = self.pending.inverse_norms.len() == BATCH_ROWS || self.pending.bytes >= BATCH_BYTES;
        if full { self.flush().map(Some) } else { Ok(None) }
    }

    /// Ends the segment.
    pub fn finish(mut self) -> Result<Written, ArrowError> {
        let mut piece = Vec::new();
        if !self.pending.inverse_norms.is_empty() {
            piece.extend_from_slice(&self.flush()?);
        }
        self.file.finish()?;
        piece.extend_from_slice(&self.take());
        let data = Blob { bytes: self.sent, xxh3_128: self.digest.digest128() };
        let rows = self.lookup.ids.len() as u64;
        let has_vectors = self.lookup.head.dimension > 0;
        self.lookup.head.data_bytes = self.sent;
        self.lookup.head.blocks = self.blocks.finish();
        let (lookup, head) = self.lookup.encode();
        let head = Blob::of(&lookup[..head]);
        Ok(Written { piece: piece.into(), data, lookup, head, rows, has_vectors })
    }

    /// Writes the pending rows as a record batch.
    fn flush(&mut self) -> Result<Bytes, ArrowError> {
        let lengths = self.pending.first_lengths.unwrap_or_default();
        let batch = std::mem::take(&mut self.pending).into_batch(self.schema.clone())?;
        // What comes before the first batch belongs to no batch.
        let before = self.file.get_ref().len();
        self.file.write(&batch)?;
        let offset = self.sent + before as u64;
        let piece = self.take();
        let message = &piece[before..];
        let metadata = message_bytes(message)?;
        let [ids, vectors, values] = first_bytes(message, metadata, self.lookup.head.dimension > 0)?;
        self.lookup.head.batches.push(BatchPlace {
            offset,
            metadata,
            body: (message.len() - metadata as usize) as u64,
            rows: batch.num_rows() as u32,
            hash: hash(message),
            ids,
            vectors,
            values,
            lengths,
        });
        Ok(piece)
    }

    fn take(&mut self) -> Bytes {
        let piece = std::mem::take(self.file.get_mut());
        self.digest.update(&piece);
        self.blocks.update(&piece);
        self.sent += piece.len() as u64;
        piece.into()
    }
}

/// Bytes before the buffers of an encapsulated message: a marker, a length, and what that counts.
fn message_bytes(message: &[u8]) -> Result<u32, ArrowError> {
    let length = message.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    length.map(|length| length + 8).ok_or_else(|| ArrowError::IpcError("a message without a length".into()))
}

/// Where the ids, the vectors and the metadata of the first row of a record batch begin in its message; for
/// vectors that there are not, where the ids do.
pub(super) fn first_bytes(message: &[u8], metadata: u32, has_vectors: bool) -> Result<[u32; 3], ArrowError> {
    let header = message.get(8..metadata as usize).unwrap_or_default();
    let wrong = |error: &dyn std::fmt::Display| ArrowError::IpcError(format!("no record batch: {error}"));
    let header = arrow_ipc::root_as_message(header).map_err(|error| wrong(&error))?;
    let buffers = header.header_as_record_batch().and_then(|batch| batch.buffers());
    let place = |buffer: usize| {
        let buffer = buffers.filter(|all| buffer < all.len()).map(|all| all.get(buffer));
        let offset = buffer.and_then(|buffer| u32::try_from(buffer.offset()).ok());
        offset.and_then(|offset| offset.checked_add(metadata)).ok_or_else(|| wrong(&"buffers are missing"))
    };
    let [vectors, values] = match has_vectors {
        true => [VECTOR_VALUES, METADATA_VALUES],
        false => [ID_VALUES, METADATA_VALUES_WITHOUT_VECTORS],
    };
    Ok([place(ID_VALUES)?, place(vectors)?, place(values)?])
}

impl Columns {
    fn push(&mut self, row: RowRef<'_>) {
        self.ids.append_value(row.id);
        self.vectors.extend_from_slice(row.vector);
        self.inverse_norms.push(row.inverse_norm);
        self.metadata.append_option(row.metadata);
        self.expires_at.push(row.expires_at.map(|at| at.0));
        self.bytes += size_of_val(row.vector) + row.id.len() + row.metadata.map_or(0, str::len);
    }

    fn into_batch(mut self, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
        let vectors: ArrayRef = match schema.field(1).data_type() {
            DataType::FixedSizeList(_, dimension) => {
                let values = Arc::new(Float32Array::from(self.vectors));
                Arc::new(FixedSizeListArray::try_new(vector_item(), *dimension, values, None)?)
            }
            _ => Arc::new(NullArray::new(self.inverse_norms.len())),
        };
        let ids: StringArray = self.ids.finish();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids),
            vectors,
            Arc::new(Float32Array::from(self.inverse_norms)),
            Arc::new(self.metadata.finish()),
            Arc::new(TimestampMillisecondArray::from(self.expires_at).with_timezone("UTC")),
        ];
        RecordBatch::try_new(schema, columns)
    }
}
