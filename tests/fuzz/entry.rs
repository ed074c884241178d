//! Log entries.

use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, StringArray, UInt8Array, types::Int32Type};
use arrow_ipc::{
    CompressionType,
    reader::StreamReader,
    writer::{IpcWriteOptions, StreamWriter},
};
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use quiver::{
    clock::Timestamp,
    engine::{
        contents::Contents,
        format::{Changes, EntryKind, Header, Kind, decode, encode, open, seal},
    },
    types::{Rows, VectorId},
};
use uuid::Uuid;

use super::run::{Input, Target};

pub struct Entries;

/// Header, changes, and the bits of the vectors: a NaN equals itself.
type Value = (Header, Changes, Vec<u32>);

impl Target for Entries {
    type Value = Value;
    const NAME: &'static str = "entries";
    const REASONS: usize = 25;

    fn corpus(&self) -> Vec<Input> {
        let small = encoded(EntryKind::Rows, &changes(3, 2));
        let large = encoded(EntryKind::Rows, &changes(40, 5));
        let seal = encoded(EntryKind::Seal, &Changes::default());
        let batches = [read(&large), read(&large)].concat();
        let two_batches = written(&batches, IpcWriteOptions::default());
        let lz4 = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
        let compressed = written(&batches, lz4);
        let dictionary = written(&[with_dictionary(&batches[0])], IpcWriteOptions::default());
        let foreign =
            RecordBatch::try_from_iter([("x", Arc::new(UInt8Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        let foreign = written(&[foreign], IpcWriteOptions::default());
        [small, large, seal, two_batches, compressed, dictionary, foreign].map(|content| vec![content]).into()
    }

    fn seal(&self, content: &Input) -> Input {
        vec![seal(Kind::Entry, content[0].clone()).to_vec()]
    }

    fn read(&self, objects: &Input) -> Result<Value, String> {
        let entry = decode(&Bytes::from(objects[0].clone()))?;
        let changes = entry.changes;
        let upserts = changes.kinds.iter().filter(|kind| **kind as u8 == 0).count();
        assert_eq!(changes.vectors.len(), upserts * changes.dimension);
        let columns = [changes.ids.len(), changes.metadata.len(), changes.expires_at.len()];
        assert!(columns.iter().all(|length| *length == changes.len()));
        let now = entry.header.committed_at;
        let mut contents = Contents::default();
        contents.apply(&changes, now).expect("no segment, no damage");
        let listed = contents.after(None, now).expect("no segment").map(|row| row.expect("no segment"));
        assert_eq!(listed.count() as u64, contents.count(now));
        let bits = changes.vectors.iter().map(|value| value.to_bits()).collect();
        Ok((entry.header, Changes { vectors: Vec::new(), ..changes }, bits))
    }

    fn write(&self, (header, changes, bits): &Value) -> Option<Input> {
        let vectors = bits.iter().copied().map(f32::from_bits).collect();
        let bytes = encode(header, &Changes { vectors, ..changes.clone() });
        Some(vec![bytes.expect("what was read can be written").to_vec()])
    }
}

fn encoded(kind: EntryKind, changes: &Changes) -> Vec<u8> {
    let header = Header {
        namespace: "docs".into(),
        incarnation: Uuid::from_u128(1),
        seq: 7,
        entry_id: Uuid::from_u128(2),
        previous: 0xfeed,
        kind,
        committed_at: Timestamp(1_700_000_000_000),
        dimension: (changes.dimension != 0).then_some(changes.dimension),
    };
    open(Kind::Entry, &encode(&header, changes).unwrap()).unwrap().to_vec()
}

/// Upserts, some of which expire and one of which has no vector, deletes, and a clear.
pub fn changes(rows: usize, dimension: usize) -> Changes {
    let ids: Vec<_> = (0..rows).map(|row| VectorId::trusted(&format!("row-{row}"))).collect();
    let rows = Rows {
        dimension,
        vectors: (0..rows * dimension).map(|value| value as f32 - 2.5).collect(),
        metadata: (0..rows).map(|row| (row % 3 > 0).then(|| format!("{{\"n\":{row}}}").into())).collect(),
        ttl: (0..rows).map(|row| (row % 4 == 1).then(|| Duration::from_secs(row as u64))).collect(),
        without_vector: Vec::new(),
        ids: ids.clone(),
    };
    let mut changes = Changes::default();
    changes.clear();
    changes.upsert(&rows, Timestamp(5));
    changes.put(VectorId::trusted("without a vector"), &[], Some("{}".into()), None);
    changes.delete(&ids[..1]);
    changes
}

fn read(content: &[u8]) -> Vec<RecordBatch> {
    StreamReader::try_new(content, None).unwrap().map(Result::unwrap).collect()
}

fn written(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut content = Vec::new();
    let mut writer =
        StreamWriter::try_new_with_options(&mut content, batches[0].schema_ref(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    drop(writer);
    content
}

/// The same rows with ids that are numbers of a dictionary.
fn with_dictionary(batch: &RecordBatch) -> RecordBatch {
    let ids: &StringArray = batch["id"].as_any().downcast_ref().unwrap();
    let ids: ArrayRef = Arc::new(ids.iter().collect::<DictionaryArray<Int32Type>>());
    let schema = batch.schema_ref();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields[1] = Arc::new(Field::new("id", ids.data_type().clone(), false));
    let mut columns = batch.columns().to_vec();
    columns[1] = ids;
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}
