//! Segments against plain lists of rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use arrow_array::{Array, cast::AsArray, types::Float32Type};
use bytes::Bytes;
use proptest::prelude::*;
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::*;
use crate::{clock::Timestamp, error::Error};

#[derive(Debug, Clone, PartialEq)]
struct PlainRow {
    vector: [f32; 3],
    metadata: Option<String>,
    expires_at: Option<Timestamp>,
}

type Model = BTreeMap<String, PlainRow>;

fn model() -> impl Strategy<Value = Model> {
    let row = (
        prop::array::uniform3(-1e3f32..1e3),
        prop::option::of("[a-z]{0,12}"),
        prop::option::weighted(0.3, (0i64..100).prop_map(Timestamp)),
    )
        .prop_map(|(vector, metadata, expires_at)| PlainRow { vector, metadata, expires_at });
    prop::collection::btree_map(".{1,8}", row, 0..200)
}

fn write(rows: &Model) -> (Bytes, Bytes, SegmentRef) {
    let mut writer = SegmentWriter::new(3).unwrap();
    let mut data = Vec::new();
    // Not in id order.
    let mut order: Vec<_> = rows.iter().collect();
    order.sort_by_key(|(id, _)| crate::engine::format::hash(id.as_bytes()));
    for (id, row) in order {
        let row = RowRef {
            id,
            vector: &row.vector,
            inverse_norm: crate::types::inverse_norm(&row.vector),
            metadata: row.metadata.as_deref(),
            expires_at: row.expires_at,
        };
        data.extend(writer.push(row).unwrap().into_iter().flatten());
    }
    let written = writer.finish().unwrap();
    data.extend_from_slice(&written.piece);
    let reference = written.reference(Uuid::nil());
    (data.into(), written.lookup, reference)
}

fn open(data: &Bytes, lookup: &Bytes, reference: &SegmentRef) -> crate::error::Result<Segment> {
    Segment::open(reference.clone(), None, ("data", data.clone()), ("lookup", lookup))
}

/// All rows of a segment, by whatever way; an error if any of it is damaged.
fn all_rows(segment: &Segment) -> crate::error::Result<Model> {
    let mut rows = Model::new();
    for row in segment.by_id() {
        let (batch, place) = segment.place(*row);
        let row = segment.batch(batch)?.get(place);
        let plain = PlainRow {
            vector: row.vector.try_into().unwrap(),
            metadata: row.metadata.map(str::to_owned),
            expires_at: row.expires_at,
        };
        rows.insert(row.id.to_owned(), plain);
    }
    Ok(rows)
}

/// Some rows of a segment, read by ranges.
fn rows_by_ranges(
    data: &Bytes,
    lookup: &Bytes,
    reference: &SegmentRef,
    rows: &BTreeSet<u32>,
) -> crate::error::Result<Vec<(String, PlainRow)>> {
    let head = lookup.slice(..reference.head.bytes as usize);
    reference.head.check(&head).unwrap();
    let mut parts = SegmentParts::open(reference, "data", ("lookup", head))?;
    let wanted = parts.wanted(rows, true)?;
    let covered =
        |range: &Range<u64>| wanted.iter().any(|other| other.start <= range.start && range.end <= other.end);
    parts.supply(|range| {
        assert!(covered(&range), "{range:?} was not wanted");
        data.get(range.start as usize..range.end as usize).map(Bytes::copy_from_slice)
    })?;
    let plain = |row: &u32| {
        let row = parts.get(*row)?;
        let plain = PlainRow {
            vector: row.vector.try_into().unwrap(),
            metadata: row.metadata.map(str::to_owned),
            expires_at: row.expires_at,
        };
        Ok((row.id.to_owned(), plain))
    };
    rows.iter().map(plain).collect()
}

/// A segment whose rows have no vectors: found, read in order and by ranges, and checked like any other.
#[test]
fn rows_without_vectors_have_segments_of_their_own() {
    let mut writer = SegmentWriter::new(0).unwrap();
    let ids: Vec<String> = (0..9000).map(|row| format!("row-{row:05}")).collect();
    let mut data = Vec::new();
    for (row, id) in ids.iter().enumerate() {
        let metadata = format!("{{\"n\":{row}}}");
        let metadata = (row % 3 > 0).then_some(metadata.as_str());
        let row = RowRef { id, vector: &[], inverse_norm: 0.0, metadata, expires_at: None };
        data.extend(writer.push(row).unwrap().into_iter().flatten());
    }
    let written = writer.finish().unwrap();
    data.extend_from_slice(&written.piece);
    let (data, lookup, reference) =
        (Bytes::from(data), written.lookup.clone(), written.reference(Uuid::nil()));
    assert!(!reference.has_vectors);
    let segment = open(&data, &lookup, &reference).unwrap();
    segment.check_head().unwrap();
    assert_eq!((segment.dimension(), segment.rows(), segment.batch_count()), (0, 9000, 2));
    let row = segment.find("row-08999").unwrap().unwrap();
    let (batch, place) = segment.place(row);
    let found = segment.batch(batch).unwrap().get(place);
    assert_eq!((found.vector, found.metadata), (&[][..], Some("{\"n\":8999}")));
    let mut parts =
        SegmentParts::open(&reference, "data", ("lookup", lookup.slice(..reference.head.bytes as usize)))
            .unwrap();
    parts.wanted(&[row].into(), true).unwrap();
    parts
        .supply(|range| data.get(range.start as usize..range.end as usize).map(Bytes::copy_from_slice))
        .unwrap();
    let by_range = parts.get(row).unwrap();
    assert_eq!((by_range.id, by_range.vector, by_range.metadata), (found.id, found.vector, found.metadata));

    let file = arrow_ipc::reader::FileReader::try_new(std::io::Cursor::new(&data), None).unwrap();
    assert_eq!(file.schema().field(1).data_type(), &arrow_schema::DataType::Null);
    assert_eq!(file.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 9000);

    // A manifest that says otherwise is not believed.
    let other = SegmentRef { has_vectors: true, ..reference.clone() };
    assert!(open(&data, &lookup, &other).is_err());
    assert!(
        SegmentParts::open(&other, "data", ("lookup", lookup.slice(..reference.head.bytes as usize)))
            .is_err()
    );
}

proptest! {
    #[test]
    fn rows_read_by_ranges_are_the_rows(rows in model(), picked in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let (data, lookup, reference) = write(&rows);
        let segment = open(&data, &lookup, &reference).unwrap();
        let picked: BTreeSet<u32> = picked.iter().filter(|_| !rows.is_empty()).map(|index| index.index(rows.len()) as u32).collect();
        for ((id, row), number) in rows_by_ranges(&data, &lookup, &reference, &picked).unwrap().iter().zip(&picked) {
            prop_assert_eq!(id, segment.id(*number).unwrap());
            prop_assert_eq!(row, &rows[id]);
        }
        segment.check_head().unwrap();
    }

    #[test]
    fn a_segment_holds_what_was_written(rows in model(), others in prop::collection::vec(".{1,8}", 0..20)) {
        let (data, lookup, reference) = write(&rows);
        prop_assert_eq!(reference.data, Blob::of(&data));
        let segment = open(&data, &lookup, &reference).unwrap();
        prop_assert_eq!(all_rows(&segment).unwrap(), rows.clone());
        for id in rows.keys() {
            let row = segment.find(id).unwrap().unwrap();
            prop_assert_eq!(segment.id(row).unwrap(), id);
        }
        for id in others.iter().filter(|id| !rows.contains_key(*id)) {
            prop_assert_eq!(segment.find(id).unwrap(), None);
        }
        for after in rows.keys().chain(&others) {
            let following = segment.by_id()[segment.position_after(Some(after)).unwrap()..].iter();
            let following: Vec<_> = following.map(|row| segment.id(*row).unwrap()).collect();
            let expected: Vec<_> = rows.keys().filter(|id| *id > after).collect();
            prop_assert_eq!(following, expected);
        }
    }

    #[test]
    fn a_view_equals_a_map(rows in model(), dead in prop::collection::vec(any::<prop::sample::Index>(), 0..30), times in prop::collection::vec(0i64..110, 1..5)) {
        let (data, lookup, reference) = write(&rows);
        let segment = Arc::new(open(&data, &lookup, &reference).unwrap());
        let mut view = SegmentView::new(segment.clone(), &RoaringBitmap::new());
        let before = view.clone();
        let mut model = rows.clone();
        for index in dead.iter().filter(|_| !rows.is_empty()) {
            let id = rows.keys().nth(index.index(rows.len())).unwrap();
            let row = segment.find(id).unwrap().unwrap();
            prop_assert_eq!(view.find(id).unwrap().is_some(), model.contains_key(id));
            prop_assert_eq!(view.hide(row), model.remove(id).is_some());
        }
        for (step, now) in times.into_iter().map(Timestamp).enumerate() {
            let visible = |row: &PlainRow| row.expires_at.is_none_or(|at| at > now);
            let expected: Vec<_> = model.iter().filter(|(_, row)| visible(row)).map(|(id, _)| id.as_str()).collect();
            prop_assert_eq!(view.count(now), expected.len() as u64);
            let mut seen = Vec::new();
            for batch in 0..segment.batch_count() {
                let words = view.visible(batch, now).unwrap();
                let rows = segment.batch(batch).unwrap();
                let set = |place: &usize| words[place / 64] >> (place % 64) & 1 == 1;
                seen.extend((0..64 * words.len()).filter(set).map(|place| rows.id(place)));
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, expected);
            if step == 0 {
                view.purge(now);
                model.retain(|_, row| row.expires_at.is_none_or(|at| at > now));
            }
        }
        // What was written down opens to the same.
        let bytes = encode_deletes(&view.deletes()).unwrap();
        let again = SegmentView::new(segment.clone(), &decode_deletes(&bytes, reference.rows).unwrap());
        prop_assert_eq!(again.live_rows(), view.live_rows());
        prop_assert_eq!(again.deletes(), view.deletes());
        // And a reader's clone saw nothing of it.
        prop_assert_eq!(before.live_rows(), rows.len() as u64);
        prop_assert!(before.deletes().is_empty());
    }
}

fn some_rows(count: usize) -> Model {
    let row = |number: usize| PlainRow {
        vector: [number as f32, 1.0, -0.5],
        metadata: number.is_multiple_of(3).then(|| format!("{{\"n\":{number}}}")),
        expires_at: number.is_multiple_of(7).then_some(Timestamp(number as i64)),
    };
    (0..count).map(|number| (format!("id-{number}"), row(number))).collect()
}

#[test]
fn rows_spread_over_batches_and_arrow_reads_them() {
    let rows = some_rows(20_000);
    let (data, lookup, reference) = write(&rows);
    let segment = open(&data, &lookup, &reference).unwrap();
    assert_eq!(segment.batch_count(), 3);
    assert_eq!(all_rows(&segment).unwrap(), rows);
    let aligned = |batch: usize| {
        let start = segment.batch(batch).unwrap().vectors().as_ptr() as usize - data.as_ptr() as usize;
        start.is_multiple_of(64)
    };
    assert!((0..3).all(aligned), "vectors are aligned and used in place");

    let reader = arrow_ipc::reader::FileReader::try_new(std::io::Cursor::new(&data), None).unwrap();
    let mut seen = 0;
    for batch in reader.map(Result::unwrap) {
        let (ids, vectors) = (batch["id"].as_string::<i32>(), batch["vector"].as_fixed_size_list());
        for row in 0..batch.num_rows() {
            let expected = &rows[ids.value(row)];
            assert_eq!(vectors.value(row).as_primitive::<Float32Type>().values()[..], expected.vector);
            let metadata = batch["metadata"].as_string::<i32>();
            assert_eq!(metadata.is_valid(row).then(|| metadata.value(row)), expected.metadata.as_deref());
        }
        seen += batch.num_rows();
    }
    assert_eq!(seen, rows.len());
}

#[test]
fn an_empty_segment_opens() {
    let (data, lookup, reference) = write(&Model::new());
    let segment = open(&data, &lookup, &reference).unwrap();
    assert_eq!((segment.rows(), segment.batch_count(), segment.find("a").unwrap()), (0, 0, None));
}

/// Every single damage is an error that names the object, or the rows are right all the same (where
/// a bit lies outside of every batch).
#[test]
fn no_damage_gives_wrong_rows() {
    let rows = some_rows(40);
    let (data, lookup, reference) = write(&rows);
    let judge = |what: &str, segment: crate::error::Result<Segment>, object: &str| match segment
        .and_then(|segment| all_rows(&segment))
    {
        Ok(read) => assert_eq!(read, rows, "{what}"),
        Err(Error::Corrupt { object: named, .. }) => assert_eq!(named, object, "{what}"),
        Err(error) => panic!("{what}: {error}"),
    };
    let mut found = 0;
    for bit in (0..data.len() * 8).step_by(5) {
        let mut damaged = data.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let opened = open(&damaged.into(), &lookup, &reference);
        found += usize::from(opened.as_ref().is_ok_and(|segment| all_rows(segment).is_err()));
        judge(&format!("data bit {bit}"), opened, "data");
    }
    assert!(found > 100, "{found}");
    for end in (0..data.len()).step_by(97) {
        judge(&format!("data cut at {end}"), open(&data.slice(..end), &lookup, &reference), "data");
    }
    for bit in 0..lookup.len() * 8 {
        let mut damaged = lookup.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&data, &damaged.into(), &reference).is_err(), "lookup bit {bit}");
    }
    // Of another segment, but whole.
    let (_, other, _) = write(&some_rows(41));
    assert!(open(&data, &other, &SegmentRef { lookup: Blob::of(&other), ..reference }).is_err());
}

/// The same for rows that are read by ranges: what is damaged is named, or was not read.
#[test]
fn no_damage_gives_wrong_rows_by_ranges() {
    let rows = some_rows(40);
    let (data, lookup, reference) = write(&rows);
    let picked = BTreeSet::from([0, 7, 8, 39]);
    let whole = rows_by_ranges(&data, &lookup, &reference, &picked).unwrap();
    for bit in (0..data.len() * 8).step_by(5) {
        let mut damaged = data.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match rows_by_ranges(&damaged.into(), &lookup, &reference, &picked) {
            Ok(read) => panic!("a bit of a block that was read: {bit}, {}", read == whole),
            Err(Error::Corrupt { object, .. }) => assert_eq!(object, "data"),
            Err(error) => panic!("{error}"),
        }
    }
    // Many batches, of which one row each lies in many blocks.
    let mut writer = SegmentWriter::new(3).unwrap();
    let mut data = Vec::new();
    for row in 0..20_000_u32 {
        let (id, vector) = (format!("row-{row}"), [row as f32, 1.0, 2.0]);
        let inverse_norm = crate::types::inverse_norm(&vector);
        let row = RowRef { id: &id, vector: &vector, inverse_norm, metadata: Some("{}"), expires_at: None };
        data.extend(writer.push(row).unwrap().into_iter().flatten());
    }
    let written = writer.finish().unwrap();
    data.extend_from_slice(&written.piece);
    let (reference, picked) =
        (written.reference(Uuid::nil()), BTreeSet::from([0, 1, 8191, 8192, 12_345, 19_999]));
    let read = rows_by_ranges(&data.into(), &written.lookup, &reference, &picked).unwrap();
    for ((id, row), number) in read.iter().zip(&picked) {
        assert_eq!((id, row.vector[0]), (&format!("row-{number}"), *number as f32));
    }
}
