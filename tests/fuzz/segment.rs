//! Segments: their rows, and the lookup by which these are found.
//!
//! A forgery has matching hashes everywhere: of each record batch in the lookup, of the lookup in its
//! trailer, and of both objects in the manifest's reference.

use std::{collections::BTreeSet, sync::Arc};

use quiver::{
    clock::Timestamp,
    engine::{
        contents::Contents,
        format::{Change, Changes, Kind, hash, open, seal},
        segment::{Blob, RowRef, Segment, SegmentParts, SegmentRef, SegmentView, SegmentWriter},
    },
    error::{Error, Result},
    types::VectorId,
};
use roaring::RoaringBitmap;
use serde_json::json;
use uuid::Uuid;

use super::run::{Input, Target};

/// Of the head of the lookup: see `engine/segment/head.rs`.
const HEADER: usize = 32;
const BATCH: usize = 56;
const BLOCK: usize = 4096;

/// The rows of a segment are mutated: parts `data`, `lookup`, and as objects the reference.
pub struct SegmentRows;

/// The lookup is mutated: parts `lookup`, `data`, and as objects the reference.
pub struct Lookups;

/// A row with the bits of its numbers.
type Row = (String, Vec<u32>, u32, Option<String>, Option<i64>);

/// The rows in their order, which of them in the order of the ids, and when they expire.
type Value = (Vec<Row>, Vec<u32>, Vec<(Timestamp, u32)>);

impl Target for SegmentRows {
    type Value = Value;
    const NAME: &'static str = "segment_rows";
    const REASONS: usize = 25;

    fn corpus(&self) -> Vec<Input> {
        pairs().map(|(data, lookup)| vec![data, content(lookup)]).collect()
    }

    fn seal(&self, content: &Input) -> Input {
        let (lookup, reference) = sealed(&content[0], &content[1]);
        vec![content[0].clone(), lookup, reference]
    }

    fn read(&self, objects: &Input) -> Result<Value, String> {
        read(&objects[0], &objects[1], &objects[2])
    }
}

impl Target for Lookups {
    type Value = Value;
    const NAME: &'static str = "lookups";
    const REASONS: usize = 12;

    fn corpus(&self) -> Vec<Input> {
        let mut inputs: Vec<Input> = pairs().map(|(data, lookup)| vec![content(lookup), data]).collect();
        let doubled = doubled(&inputs[2][0]);
        inputs.push(vec![doubled, inputs[2][1].clone()]);
        inputs
    }

    fn seal(&self, content: &Input) -> Input {
        let (lookup, reference) = sealed(&content[1], &content[0]);
        vec![lookup, content[1].clone(), reference]
    }

    fn read(&self, objects: &Input) -> Result<Value, String> {
        read(&objects[1], &objects[0], &objects[2])
    }
}

/// Segments of several sizes, also of rows without vectors.
fn pairs() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let with = [0, 1, 5, 40, 150].map(|count| segment(&rows(count)));
    let without = [1, 40].map(|count| {
        let rows: Vec<Row> =
            rows(count).into_iter().map(|(id, _, _, text, at)| (id, Vec::new(), 0, text, at)).collect();
        segment(&rows)
    });
    with.into_iter().chain(without)
}

/// Rows of dimension 3; some have metadata, some expire.
pub fn rows(count: usize) -> Vec<Row> {
    let row = |number: usize| {
        let metadata = (!number.is_multiple_of(3)).then(|| format!("{{\"n\":{number}}}"));
        let vector = [number as f32, -1.5, 0.25].map(f32::to_bits).to_vec();
        let expires_at = number.is_multiple_of(5).then_some(10 * number as i64);
        // Not in the order of the ids.
        (format!("row-{}", number * 7919 % 1009), vector, 0.5f32.to_bits(), metadata, expires_at)
    };
    (0..count).map(row).collect()
}

/// The objects `data.arrow` and `lookup`.
pub fn segment(rows: &[Row]) -> (Vec<u8>, Vec<u8>) {
    let mut writer = SegmentWriter::new(rows.first().map_or(3, |row| row.1.len())).unwrap();
    for (id, bits, inverse_norm, metadata, expires_at) in rows {
        let vector: Vec<f32> = bits.iter().copied().map(f32::from_bits).collect();
        let row = RowRef {
            id,
            vector: &vector,
            inverse_norm: f32::from_bits(*inverse_norm),
            metadata: metadata.as_deref(),
            expires_at: expires_at.map(Timestamp),
        };
        assert!(writer.push(row).unwrap().is_none(), "one batch");
    }
    let written = writer.finish().unwrap();
    (written.piece.to_vec(), written.lookup.to_vec())
}

/// As the manifest would name the objects.
pub fn reference(data: &[u8], lookup: &[u8]) -> SegmentRef {
    let blob = |bytes: &[u8]| serde_json::to_value(Blob::of(bytes)).unwrap();
    let (has_vectors, rows) = (number(lookup, 0, 4) > 0, number(lookup, 4, 4));
    let id = Uuid::from_u128(9);
    let deletes = serde_json::Value::Null;
    let (data, head, lookup) = (blob(data), blob(head(lookup)), blob(lookup));
    let reference = json!({
        "id": id, "rows": rows, "has_vectors": has_vectors, "data": data, "lookup": lookup, "head": head,
        "deletes": deletes
    });
    serde_json::from_value(reference).unwrap()
}

/// The head of a lookup, as long as that says.
fn head(lookup: &[u8]) -> &[u8] {
    lookup.get(..number(lookup, 24, 8) as usize).unwrap_or(lookup)
}

fn content(lookup: Vec<u8>) -> Vec<u8> {
    open(Kind::Lookup, &lookup.into()).unwrap().to_vec()
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let mut number = [0; 8];
    number[..length].copy_from_slice(bytes.get(at..at + length).unwrap_or(&[0; 8][..length]));
    u64::from_le_bytes(number)
}

/// The lookup with everything in it that only checks, and the reference.
fn sealed(data: &[u8], content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut lookup = content.to_vec();
    if let Some(length) = lookup.get_mut(16..24) {
        length.copy_from_slice(&(data.len() as u64).to_le_bytes());
    }
    let batches = number(&lookup, 8, 4) as usize;
    for batch in
        lookup.get_mut(HEADER..).unwrap_or_default().as_chunks_mut::<BATCH>().0.iter_mut().take(batches)
    {
        let start = number(batch, 16, 8) as usize;
        let end =
            start.saturating_add(number(batch, 24, 8) as usize).saturating_add(number(batch, 32, 4) as usize);
        if let Some(bytes) = data.get(start..end) {
            batch[..16].copy_from_slice(&hash(bytes).to_le_bytes());
        }
    }
    let blocks = lookup.get_mut(HEADER.saturating_add(batches.saturating_mul(BATCH))..).unwrap_or_default();
    for (place, block) in blocks.as_chunks_mut::<8>().0.iter_mut().zip(data.chunks(BLOCK)) {
        *place = xxhash_rust::xxh3::xxh3_64(block).to_le_bytes();
    }
    let lookup = seal(Kind::Lookup, lookup).to_vec();
    let reference = serde_json::to_vec(&reference(data, &lookup)).unwrap();
    (lookup, reference)
}

/// The content of a lookup that names the one batch of another twice.
fn doubled(content: &[u8]) -> Vec<u8> {
    let [rows, expiring] = [4, 12].map(|at| number(content, at, 4) as usize);
    let blocks = (number(content, 16, 8) as usize).div_ceil(BLOCK);
    let mut double = content[..HEADER].to_vec();
    for at in [4, 8, 12] {
        let twice = 2 * number(content, at, 4) as u32;
        double[at..at + 4].copy_from_slice(&twice.to_le_bytes());
    }
    let mut at = HEADER;
    let mut take = |double: &mut Vec<u8>, count: usize, width: usize, times: usize| {
        let array = &content[at..at + count * width];
        at += array.len();
        // Sorted arrays stay sorted; rows repeat, which no writer does.
        array.chunks(width).for_each(|element| double.extend_from_slice(&element.repeat(times)));
        at
    };
    for (count, width, times) in [(1, BATCH, 2), (blocks, 8, 1), (expiring, 8, 2), (expiring, 4, 2)] {
        take(&mut double, count, width, times);
    }
    let lengths = take(&mut double, 0, 1, 1);
    let lengths = number(content, 24, 8) as usize - lengths;
    take(&mut double, lengths, 1, 1);
    double.resize(double.len().next_multiple_of(8), 0);
    let head = double.len() as u64;
    double[24..32].copy_from_slice(&head.to_le_bytes());
    for (count, width) in [(rows, 8), (rows, 4), (rows, 4)] {
        take(&mut double, count, width, 2);
    }
    double
}

fn read(data: &[u8], lookup: &[u8], reference: &[u8]) -> Result<Value, String> {
    let reference: SegmentRef = serde_json::from_slice(reference).unwrap();
    if let Err(error) = use_parts(data, lookup, &reference) {
        assert!(
            matches!(&error, Error::Corrupt { object, .. } if ["data", "lookup"].contains(&&**object)),
            "{error:?}"
        );
    }
    let used =
        Segment::open(reference, None, ("data", data.to_vec().into()), ("lookup", &lookup.to_vec().into()))
            .and_then(|segment| use_all(&Arc::new(segment)));
    used.map_err(|error| match error {
        Error::Corrupt { object, reason } if ["data", "lookup"].contains(&object.as_str()) => reason,
        error => panic!("{error:?} names no object of the segment"),
    })
}

/// Some rows, read by ranges, wherever a head says that they are.
fn use_parts(data: &[u8], lookup: &[u8], reference: &SegmentRef) -> Result<()> {
    let mut parts = SegmentParts::open(reference, "data", ("lookup", head(lookup).to_vec().into()))?;
    let rows: BTreeSet<u32> = (0..reference.rows.min(200) as u32).step_by(3).collect();
    let wanted = parts.wanted(&rows, true)?;
    for range in &wanted {
        assert!(range.start <= range.end && range.end <= reference.data.bytes, "{range:?}");
    }
    // What is cut off the store refuses to read.
    if wanted.iter().any(|range| range.end > data.len() as u64) {
        return Ok(());
    }
    let bytes = |range: std::ops::Range<u64>| data.get(range.start as usize..range.end as usize);
    parts.supply(|range| bytes(range).map(|bytes| bytes.to_vec().into()))?;
    rows.iter().try_for_each(|row| parts.get(*row).map(drop))
}

/// Every row, in every way in which rows are read.
fn use_all(segment: &Arc<Segment>) -> Result<Value> {
    let mut rows = Vec::new();
    for batch in 0..segment.batch_count() {
        for place in 0..segment.batch_rows(batch) {
            let row = segment.batch(batch)?.get(place);
            let bits = row.vector.iter().map(|value| value.to_bits()).collect();
            let expires_at = row.expires_at.map(|at| at.0);
            let metadata = row.metadata.map(str::to_owned);
            rows.push((row.id.to_owned(), bits, row.inverse_norm.to_bits(), metadata, expires_at));
        }
    }
    for row in segment.by_id() {
        let id = segment.id(*row)?;
        assert!(segment.find(id)?.is_none_or(|found| segment.id(found).is_ok_and(|found| found == id)));
        segment.position_after(Some(id))?;
    }
    assert_eq!(segment.find("no such row")?, None);
    use_view(segment)?;
    Ok((rows, segment.by_id().to_vec(), segment.expiry().collect()))
}

fn use_view(segment: &Arc<Segment>) -> Result<()> {
    let now = Timestamp(100);
    let some = RoaringBitmap::from_iter((0..segment.rows() as u32).step_by(3));
    let mut view = SegmentView::new(segment.clone(), &some);
    assert_eq!(view.deletes(), some);
    for batch in 0..segment.batch_count() {
        view.visible(batch, now)?;
    }
    view.count(now);
    view.purge(now);
    let dimension = segment.dimension();
    let mut contents = Contents::new(Some(dimension), vec![view]);
    let ids = ["row-0", "row-5"].map(VectorId::trusted);
    let mut changes = Changes::default();
    changes.delete(&ids);
    // As much memory as a forged dimension says is the namespace's to refuse.
    if (1..64).contains(&dimension) {
        changes.dimension = dimension;
        changes.kinds.push(Change::Upsert);
        changes.ids.push(VectorId::trusted("row-1"));
        changes.vectors.extend(vec![1.0; dimension]);
        changes.metadata.push(None);
        changes.expires_at.push(None);
    }
    contents.apply(&changes, now)?;
    contents.find("row-2", now)?;
    contents.after(Some("row-3"), now)?.try_for_each(|row| row.map(drop))?;
    Ok(())
}
