//! A log entry to bytes and back.
//!
//! | column | type | |
//! |---|---|---|
//! | `op` | uint8 | 0 upsert, 1 delete, 2 clear |
//! | `id` | utf8 | empty for clear |
//! | `vector` | list of float32 | null unless `op` is 0, and for a row that has none |
//! | `metadata` | utf8 | a JSON object, or null |
//! | `expires_at` | timestamp[ms, UTC] | or null |
//!
//! Schema metadata: `quiver.format`, `quiver.namespace`, `quiver.incarnation`, `quiver.seq`,
//! `quiver.entry_id`, `quiver.previous`, `quiver.kind`, `quiver.committed_at` and, where the entry
//! fixes the dimension of the namespace, `quiver.dimension`.
//!
//! The vectors are a variable-size list although all have one length, so that a delete costs four
//! bytes of the column instead of a whole vector.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Float32Array, ListArray, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt8Array,
    cast::AsArray,
    types::{Float32Type, TimestampMillisecondType, UInt8Type},
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::{reader::StreamDecoder, writer::StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, TimeUnit};
use bytes::Bytes;
use uuid::Uuid;

use super::{
    changes::{Change, Changes},
    ipc,
    trailer::{self, Hash, Kind},
};
use crate::{clock::Timestamp, types::VectorId};

const FORMAT: &str = "1";

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// It changes rows.
    Rows,
    /// It ends this incarnation of the namespace; nothing may follow it.
    Seal,
}

impl EntryKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Seal => "seal",
        }
    }
}

/// What an entry says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The namespace's name, for people who find the object.
    pub namespace: String,
    /// The incarnation of the namespace that it belongs to.
    pub incarnation: Uuid,
    /// Its place in the log, from 1.
    pub seq: u64,
    /// Who it is: a writer recognises its own entry by it.
    pub entry_id: Uuid,
    /// The hash of the whole object at `seq - 1`; 0 for the first.
    pub previous: Hash,
    /// What it is for.
    pub kind: EntryKind,
    /// The committing node's clock.
    pub committed_at: Timestamp,
    /// The dimension, if this entry fixes it for the namespace.
    pub dimension: Option<usize>,
}

/// A decoded entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it says about itself.
    pub header: Header,
    /// What it does.
    pub changes: Changes,
    /// The hash of the whole object, which the next entry names as its `previous`.
    pub hash: Hash,
    /// The object's length in bytes.
    pub bytes: usize,
}

/// The bytes of an entry.
pub fn encode(header: &Header, changes: &Changes) -> Result<Bytes, ArrowError> {
    let schema = Arc::new(schema(header));
    let batch = to_batch(schema.clone(), changes)?;
    let mut content = Vec::with_capacity(batch.get_array_memory_size() + 4096);
    let mut writer = StreamWriter::try_new(&mut content, &schema)?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(trailer::seal(Kind::Entry, content))
}

/// Reads an entry, or says what is wrong with its bytes. Checks everything that one object can be
/// checked for; that it is in its right place is up to the reader of the log.
pub fn decode(object: &Bytes) -> Result<Entry, String> {
    let content = trailer::open(Kind::Entry, object)?;
    ipc::check_stream(&content).map_err(|error| error.to_string())?;
    let schema = ipc::schema_of(&content).map_err(|error| error.to_string())?;
    let header = header(schema.metadata())?;
    if *schema.fields() != fields() {
        return Err("its columns are not those of a log entry".into());
    }
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from(content);
    let mut changes = Changes::default();
    while let Some(batch) = decoder.decode(&mut buffer).map_err(|error| error.to_string())? {
        append_batch(&mut changes, &batch)?;
    }
    decoder.finish().map_err(|error| error.to_string())?;
    Ok(Entry { header, changes, hash: trailer::hash(object), bytes: object.len() })
}

fn fields() -> Fields {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Fields::from(vec![
        Field::new("op", DataType::UInt8, false),
        Field::new("id", DataType::Utf8, false),
        Field::new("vector", DataType::List(vector_item()), true),
        Field::new("metadata", DataType::Utf8, true),
        Field::new("expires_at", timestamp, true),
    ])
}

fn schema(header: &Header) -> Schema {
    let mut metadata = HashMap::from([
        ("quiver.format".to_owned(), FORMAT.to_owned()),
        ("quiver.namespace".to_owned(), header.namespace.clone()),
        ("quiver.incarnation".to_owned(), header.incarnation.to_string()),
        ("quiver.seq".to_owned(), header.seq.to_string()),
        ("quiver.entry_id".to_owned(), header.entry_id.to_string()),
        ("quiver.previous".to_owned(), format!("{:032x}", header.previous)),
        ("quiver.kind".to_owned(), header.kind.as_str().to_owned()),
        ("quiver.committed_at".to_owned(), header.committed_at.0.to_string()),
    ]);
    if let Some(dimension) = header.dimension {
        metadata.insert("quiver.dimension".to_owned(), dimension.to_string());
    }
    Schema::new_with_metadata(fields(), metadata)
}

fn vector_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

fn header(metadata: &arrow_schema::Metadata) -> Result<Header, String> {
    let get = |name: &str| metadata.get(name).ok_or_else(|| format!("its header lacks {name}"));
    let bad = |name: &str| format!("its header has a bad {name}");
    let format = get("quiver.format")?;
    if format != FORMAT {
        return Err(format!("its format is {format}, this server reads {FORMAT}"));
    }
    let uuid = |name: &str| get(name)?.parse::<Uuid>().map_err(|_| bad(name));
    let kind = get("quiver.kind")?;
    Ok(Header {
        namespace: get("quiver.namespace")?.clone(),
        incarnation: uuid("quiver.incarnation")?,
        seq: get("quiver.seq")?.parse().map_err(|_| bad("quiver.seq"))?,
        entry_id: uuid("quiver.entry_id")?,
        previous: Hash::from_str_radix(get("quiver.previous")?, 16).map_err(|_| bad("quiver.previous"))?,
        kind: [EntryKind::Rows, EntryKind::Seal]
            .into_iter()
            .find(|candidate| candidate.as_str() == kind)
            .ok_or_else(|| bad("quiver.kind"))?,
        committed_at: Timestamp(get("quiver.committed_at")?.parse().map_err(|_| bad("quiver.committed_at"))?),
        dimension: match metadata.get("quiver.dimension") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| bad("quiver.dimension"))?),
        },
    })
}

fn to_batch(schema: Arc<Schema>, changes: &Changes) -> Result<RecordBatch, ArrowError> {
    let kinds = UInt8Array::from_iter_values(changes.kinds.iter().map(|kind| kind.op()));
    let ids = StringArray::from_iter_values(changes.ids.iter().map(VectorId::as_str));
    let metadata = StringArray::from_iter(changes.metadata.iter().map(Option::as_deref));
    let expires_at = TimestampMillisecondArray::from_iter(
        changes.expires_at.iter().map(|expires_at| expires_at.map(|at| at.0)),
    )
    .with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(kinds),
        Arc::new(ids),
        Arc::new(vectors(changes)?),
        Arc::new(metadata),
        Arc::new(expires_at),
    ];
    RecordBatch::try_new(schema, columns)
}

fn vectors(changes: &Changes) -> Result<ListArray, ArrowError> {
    let is_upsert = |kind: &Change| *kind == Change::Upsert;
    let offsets = OffsetBuffer::from_lengths(
        changes.kinds.iter().map(|kind| if is_upsert(kind) { changes.dimension } else { 0 }),
    );
    let nulls = NullBuffer::from_iter(changes.kinds.iter().map(is_upsert));
    let values = Float32Array::new(ScalarBuffer::from(changes.vectors.clone()), None);
    ListArray::try_new(vector_item(), offsets, Arc::new(values), Some(nulls))
}

fn append_batch(changes: &mut Changes, batch: &RecordBatch) -> Result<(), String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it lacks the column {name}"));
    let wrong = |name: &str| format!("its column {name} has another type");
    let kinds = column("op")?.as_primitive_opt::<UInt8Type>().ok_or_else(|| wrong("op"))?;
    let ids = column("id")?.as_string_opt::<i32>().ok_or_else(|| wrong("id"))?;
    let vectors = column("vector")?.as_list_opt::<i32>().ok_or_else(|| wrong("vector"))?;
    let metadata = column("metadata")?.as_string_opt::<i32>().ok_or_else(|| wrong("metadata"))?;
    let expires_at = column("expires_at")?
        .as_primitive_opt::<TimestampMillisecondType>()
        .ok_or_else(|| wrong("expires_at"))?;
    let values = vectors.values().as_primitive_opt::<Float32Type>().ok_or_else(|| wrong("vector"))?;
    for row in 0..batch.num_rows() {
        let has_vector = vectors.is_valid(row);
        let kind = Change::from_op(kinds.value(row), has_vector).ok_or("it has an unknown op")?;
        let range = vectors.value_offsets()[row] as usize..vectors.value_offsets()[row + 1] as usize;
        if kind == Change::Upsert {
            if changes.dimension == 0 {
                changes.dimension = range.len();
            }
            if range.len() != changes.dimension || range.is_empty() {
                return Err("its vectors differ in dimension".into());
            }
        }
        changes.kinds.push(kind);
        changes.ids.push(VectorId::trusted(ids.value(row)));
        changes.metadata.push(metadata.is_valid(row).then(|| metadata.value(row).into()));
        changes.expires_at.push(expires_at.is_valid(row).then(|| Timestamp(expires_at.value(row))));
        if kind == Change::Upsert {
            changes.vectors.extend_from_slice(&values.values()[range]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow_ipc::{CompressionType, writer::IpcWriteOptions};
    use proptest::prelude::*;

    use super::*;
    use crate::types::Rows;

    fn a_header() -> Header {
        Header {
            namespace: "docs".into(),
            incarnation: Uuid::from_u128(1),
            seq: 7,
            entry_id: Uuid::from_u128(2),
            previous: 0xfeed,
            kind: EntryKind::Rows,
            committed_at: Timestamp(1_700_000_000_000),
            dimension: Some(3),
        }
    }

    fn some_changes() -> impl Strategy<Value = Changes> {
        let change = prop_oneof![
            6 => (".{1,12}", prop::array::uniform3(-1e6f32..1e6), prop::option::of("[a-z]{0,9}"), prop::option::of(1u64..1000))
                .prop_map(|(id, vector, metadata, ttl)| (Change::Upsert, id, vector, metadata, ttl)),
            2 => (".{1,12}", prop::option::of("[a-z]{0,9}"))
                .prop_map(|(id, metadata)| (Change::UpsertWithoutVector, id, [0.0; 3], metadata, None)),
            2 => ".{1,12}".prop_map(|id| (Change::Delete, id, [0.0; 3], None, None)),
            1 => Just((Change::Clear, String::new(), [0.0; 3], None, None)),
        ];
        prop::collection::vec(change, 0..40).prop_map(|list| {
            let mut changes = Changes::default();
            for (kind, id, vector, metadata, ttl) in list {
                match kind {
                    Change::Upsert => changes.upsert(
                        &Rows {
                            dimension: 3,
                            without_vector: Vec::new(),
                            ids: vec![VectorId::trusted(&id)],
                            vectors: vector.to_vec(),
                            metadata: vec![metadata.map(Into::into)],
                            ttl: vec![ttl.map(Duration::from_secs)],
                        },
                        Timestamp(5),
                    ),
                    Change::UpsertWithoutVector => {
                        changes.put(VectorId::trusted(&id), &[], metadata.map(Into::into), None);
                    }
                    Change::Delete => changes.delete(&[VectorId::trusted(&id)]),
                    Change::Clear => changes.clear(),
                }
            }
            changes
        })
    }

    proptest! {
        #[test]
        fn an_entry_survives_the_round_trip(changes in some_changes()) {
            let bytes = encode(&a_header(), &changes).unwrap();
            let entry = decode(&bytes).unwrap();
            prop_assert_eq!(entry.header, a_header());
            prop_assert_eq!(entry.changes, changes);
            prop_assert_eq!(entry.bytes, bytes.len());
            prop_assert_eq!(entry.hash, trailer::hash(&bytes));
        }
    }

    #[test]
    fn a_seal_has_no_rows() {
        let header = Header { kind: EntryKind::Seal, dimension: None, ..a_header() };
        let entry = decode(&encode(&header, &Changes::default()).unwrap()).unwrap();
        assert_eq!(entry.header, header);
        assert!(entry.changes.is_empty());
    }

    /// Whoever can write objects can write checksums that match, too.
    #[test]
    fn other_columns_and_compressed_ones_are_refused() {
        let schema = Arc::new(schema(&a_header()));
        let batch = to_batch(schema.clone(), &Changes::default()).unwrap();
        let written = |batch: &RecordBatch, options| {
            let mut content = Vec::new();
            let schema = batch.schema();
            let mut writer = StreamWriter::try_new_with_options(&mut content, &schema, options).unwrap();
            writer.write(batch).unwrap();
            writer.finish().unwrap();
            drop(writer);
            decode(&trailer::seal(Kind::Entry, content))
        };
        let plain = IpcWriteOptions::default();
        assert!(written(&batch, plain.clone()).is_ok());
        let lz4 = plain.clone().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
        assert!(written(&batch, lz4).unwrap_err().contains("compressed"));
        let fewer = batch.project(&[0, 1, 2, 3]).unwrap();
        assert!(written(&fewer, plain).unwrap_err().contains("columns"));
    }

    #[test]
    fn another_format_is_refused_by_name() {
        let schema = Schema::new_with_metadata(
            Vec::<Field>::new(),
            HashMap::from([("quiver.format".to_owned(), "2".to_owned())]),
        );
        let mut content = Vec::new();
        StreamWriter::try_new(&mut content, &schema).unwrap().finish().unwrap();
        let error = decode(&trailer::seal(Kind::Entry, content)).unwrap_err();
        assert!(error.contains("format is 2"), "{error}");
    }
}
