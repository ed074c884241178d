//! Contents against a plain map, with folds at any moment.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::*;
use crate::{
    engine::segment::{Segment, SegmentWriter, decode_deletes, encode_deletes},
    types::{Bits, Filter, Rows, VectorId, filter::Limits},
};

#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<(u8, f32, Option<u8>)>),
    Delete(Vec<u8>),
    Clear,
    Wait(u8),
    Fold,
}

const IDS: u8 = 24;

fn step() -> impl Strategy<Value = Step> {
    let row = (0..IDS, -9f32..9.0, prop::option::weighted(0.3, 1..20u8));
    prop_oneof![
        6 => prop::collection::vec(row, 1..9).prop_map(Step::Upsert),
        3 => prop::collection::vec(0..IDS, 1..5).prop_map(Step::Delete),
        1 => Just(Step::Clear),
        3 => (1..9u8).prop_map(Step::Wait),
        3 => Just(Step::Fold),
    ]
}

type Model = BTreeMap<String, (f32, Option<i64>)>;

fn visible(model: &Model, now: i64) -> Vec<(String, f32)> {
    let visible = model.iter().filter(|(_, (_, expires))| expires.is_none_or(|at| at > now));
    visible.map(|(id, (value, _))| (id.clone(), *value)).collect()
}

fn id(number: u8) -> VectorId {
    VectorId::trusted(&number.to_string())
}

/// The contents after a fold of all of them that was committed up to `now`: what the tail holds
/// becomes a segment, and what died in older ones is written down.
fn folded(contents: &mut Contents, now: Timestamp) -> Contents {
    let snapshot = contents.snapshot();
    let mut segments: Vec<SegmentView> = snapshot
        .segments
        .iter()
        .filter(|view| view.live_rows() > 0)
        .map(|view| {
            let bytes = encode_deletes(&view.deletes()).unwrap();
            let deletes = decode_deletes(&bytes, view.segment().rows() as u64).unwrap();
            SegmentView::new(view.segment().clone(), &deletes)
        })
        .collect();
    let mut writer = SegmentWriter::new(snapshot.dimension.max(1)).unwrap();
    let mut data = Vec::new();
    for row in snapshot.tail_rows(now) {
        data.extend(writer.push(row).unwrap().into_iter().flatten());
    }
    let written = writer.finish().unwrap();
    data.extend_from_slice(&written.piece);
    if written.rows > 0 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = Uuid::from_u128(NEXT.fetch_add(1, Ordering::Relaxed).into());
        let reference = written.reference(id);
        let segment =
            Segment::open(reference, None, ("data", data.into()), ("lookup", &written.lookup)).unwrap();
        segments.push(SegmentView::new(Arc::new(segment), &RoaringBitmap::new()));
    }
    Contents::new(Some(snapshot.dimension), segments)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_contents_equal_a_map(steps in prop::collection::vec(step(), 1..60)) {
        let (mut contents, mut model, mut now) = (Contents::default(), Model::new(), 0i64);
        let (mut committed, mut known) = (Timestamp(0), Known::default());
        for step in steps {
            let mut changes = Changes::default();
            let at = Timestamp(now);
            match step {
                Step::Wait(by) => now += i64::from(by) * 1000,
                Step::Fold => contents = folded(&mut contents, committed),
                Step::Clear => {
                    changes.clear();
                    let expected = visible(&model, now).len() as u64;
                    prop_assert_eq!(contents.apply(&changes, at).unwrap(), vec![expected]);
                    model.clear();
                    committed = at;
                }
                Step::Delete(ids) => {
                    let ids: Vec<_> = ids.iter().map(|number| id(*number)).collect();
                    changes.delete(&ids);
                    let found = contents.apply(&changes, at).unwrap();
                    for (id, found) in ids.iter().zip(found) {
                        let old = model.remove(id.as_str());
                        let expected = old.is_some_and(|(_, expires)| expires.is_none_or(|at| at > now));
                        prop_assert_eq!(found, u64::from(expected));
                    }
                    committed = at;
                }
                Step::Upsert(rows) => {
                    let mut batch = Rows { dimension: 2, ..Rows::default() };
                    let mut expected = Vec::new();
                    for (number, value, ttl) in rows {
                        batch.ids.push(id(number));
                        batch.vectors.extend([value, 1.0]);
                        batch.metadata.push(Some(format!(r#"{{"n":{}}}"#, third(value)).into()));
                        batch.ttl.push(ttl.map(|ttl| Duration::from_secs(ttl.into())));
                        let new = (value, ttl.map(|ttl| now + i64::from(ttl) * 1000));
                        let old = model.insert(number.to_string(), new);
                        let replaced = old.is_some_and(|(_, expires)| expires.is_none_or(|at| at > now));
                        expected.push(u64::from(replaced));
                    }
                    changes.upsert(&batch, at);
                    prop_assert_eq!(contents.apply(&changes, at).unwrap(), expected);
                    committed = at;
                }
            }
            let visible = visible(&model, now);
            check(&mut contents, &visible, Timestamp(now))?;
            check_matches(&mut contents, &visible, Timestamp(now), &mut known)?;
        }
    }
}

fn third(value: f32) -> i32 {
    (value as i32).rem_euclid(3)
}

/// What is known of older rows does not change which rows match, and nothing is read twice.
fn check_matches(
    contents: &mut Contents,
    expected: &[(String, f32)],
    now: Timestamp,
    known: &mut Known,
) -> Result<(), TestCaseError> {
    let filter = Filter::parse(r#"{"n":1}"#, "filter", &Limits::default()).unwrap();
    let snapshot = contents.snapshot();
    let matches = Matches::of_rest(&snapshot, &filter, now, known).unwrap();
    let rows = snapshot.matching_after(&matches, None).unwrap().map(|row| row.unwrap().id.to_owned());
    let expected: Vec<String> =
        expected.iter().filter(|(_, value)| third(*value) == 1).map(|(id, _)| id.clone()).collect();
    prop_assert_eq!(rows.collect::<Vec<_>>(), expected);
    *known = matches.known(&snapshot, now);
    prop_assert_eq!(Matches::of_rest(&snapshot, &filter, now, known).unwrap().read(), 0);
    for view in &snapshot.segments {
        let all = Bits::all(view.segment().rows());
        prop_assert_eq!(view.shows_all(now), view.visible_rows(now) == all);
    }
    Ok(())
}

/// Every way of reading finds exactly these rows.
fn check(contents: &mut Contents, expected: &[(String, f32)], now: Timestamp) -> Result<(), TestCaseError> {
    let plain = |row: RowRef<'_>| (row.id.to_owned(), row.vector[0]);
    let rows: Vec<_> = contents.after(None, now).unwrap().map(|row| plain(row.unwrap())).collect();
    prop_assert_eq!(&rows, expected);
    let all: Vec<VectorId> = (0..IDS).map(id).collect();
    let snapshot = contents.snapshot();
    let by_ids = contents.by_ids(snapshot, all.iter());
    for id in &all {
        let found = by_ids.find(id, now).unwrap().map(plain);
        prop_assert_eq!(found.as_ref(), expected.iter().find(|(other, _)| *other == id.as_str()));
    }
    for number in 0..IDS {
        let id = number.to_string();
        let found = contents.find(&id, now).unwrap().map(plain);
        prop_assert_eq!(found.as_ref(), expected.iter().find(|(other, _)| *other == id));
        let after: Vec<_> = contents.after(Some(&id), now).unwrap().map(|row| plain(row.unwrap())).collect();
        prop_assert!(after.iter().eq(expected.iter().filter(|(other, _)| *other > id)));
    }
    prop_assert_eq!(contents.count(now), expected.len() as u64);
    let snapshot = contents.snapshot();
    let mut scanned = Vec::new();
    for block in snapshot.blocks() {
        let visible = snapshot.vectors(block, now).unwrap().visible;
        for row in (0..snapshot.block_rows(block)).filter(|row| visible[row / 64] >> (row % 64) & 1 == 1) {
            scanned.push(plain(snapshot.row(block, row).unwrap()));
        }
    }
    scanned.sort_by(|left, right| left.0.cmp(&right.0));
    prop_assert_eq!(&scanned[..], expected);
    Ok(())
}

#[test]
fn a_snapshot_does_not_see_later_writes_and_dead_rows_are_reclaimed() {
    let mut contents = Contents::default();
    let write = |contents: &mut Contents, value: f32| {
        let mut changes = Changes::default();
        for number in 0..500 {
            let rows = Rows {
                dimension: 1,
                without_vector: Vec::new(),
                ids: vec![VectorId::trusted(&format!("{number:03}"))],
                vectors: vec![value],
                metadata: vec![None],
                ttl: vec![None],
            };
            changes.upsert(&rows, Timestamp(0));
        }
        contents.apply(&changes, Timestamp(0)).unwrap();
    };
    write(&mut contents, 0.0);
    let before = contents.snapshot();
    contents = folded(&mut contents, Timestamp(0));
    let folded = contents.snapshot();
    for round in 1..=30 {
        write(&mut contents, round as f32);
        assert!(contents.tail().rows() <= 2 * 500 + 4096 + 500, "{} rows", contents.tail().rows());
    }
    assert_eq!(contents.count(Timestamp(0)), 500);
    for snapshot in [before, folded] {
        let blocks = snapshot.blocks();
        let rows = |block: &Block| snapshot.vectors(*block, Timestamp(0)).unwrap();
        assert!(blocks.iter().all(|block| rows(block).values.iter().all(|value| *value == 0.0)));
        let live: u32 = blocks.iter().flat_map(|block| rows(block).visible).map(u64::count_ones).sum();
        assert_eq!(live, 500);
    }
    assert!(contents.after(None, Timestamp(0)).unwrap().all(|row| row.unwrap().vector == [30.0]));
}
