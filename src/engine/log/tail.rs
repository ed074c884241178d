//! The rows that the log adds up to, in memory.
//!
//! Invariant: the tail after entry n is a pure function of entries 1..=n: expiry is judged by the
//! times that stand in the entries, so every node that replays the same log counts the same.
//! Readers work on a [`Snapshot`], which a later write never changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use super::chunk::Chunk;
use crate::{
    clock::Timestamp,
    engine::format::{Change, Changes},
    types::VectorId,
};

/// Dead rows are reclaimed when they outnumber the live ones by this many.
const SLACK_ROWS: u64 = 4096;

/// The rows in memory, and where each id is.
#[derive(Debug, Default)]
pub struct Tail {
    dimension: usize,
    chunks: Vec<Chunk>,
    snapshot: Option<Arc<Snapshot>>,
    places: BTreeMap<VectorId, Place>,
    expiring: BTreeSet<(Timestamp, VectorId)>,
    rows: u64,
    content_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    chunk: u32,
    row: u32,
}

/// The rows at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Values per vector; 0 before the first row.
    pub dimension: usize,
    /// The rows.
    pub chunks: Vec<Chunk>,
}

impl Tail {
    /// Applies the changes of one entry, committed at `now`, and returns for each whether it found
    /// a live row (an upsert that replaces, a delete that deletes; for a clear, any).
    pub fn apply(&mut self, changes: &Changes, now: Timestamp) -> Vec<u64> {
        self.snapshot = None;
        if changes.dimension != 0 {
            self.dimension = changes.dimension;
        }
        self.purge(now);
        let mut vectors = changes.vectors.chunks_exact(changes.dimension.max(1));
        let mut found = Vec::with_capacity(changes.len());
        for (index, kind) in changes.kinds.iter().enumerate() {
            let id = &changes.ids[index];
            found.push(match kind {
                Change::Upsert => {
                    let replaced = self.remove(id);
                    // Entries are checked to hold one vector per upsert when they are decoded.
                    let vector = vectors.next().unwrap_or_default();
                    let expires_at = changes.expires_at[index];
                    self.insert(id.clone(), vector, changes.metadata[index].clone(), expires_at);
                    u64::from(replaced)
                }
                Change::Delete => u64::from(self.remove(id)),
                Change::Clear => self.clear(),
            });
        }
        self.reclaim();
        found
    }

    /// Forgets the rows that have expired by `now`.
    pub fn purge(&mut self, now: Timestamp) {
        while let Some((expires_at, _)) = self.expiring.first()
            && *expires_at <= now
        {
            if let Some((_, id)) = self.expiring.pop_first() {
                self.remove(&id);
            }
        }
    }

    /// Live rows at `now`, exactly.
    pub fn count(&self, now: Timestamp) -> u64 {
        let expired = self.expiring.iter().take_while(|(expires_at, _)| *expires_at <= now).count();
        (self.places.len() - expired) as u64
    }

    /// Rows held in memory, dead ones included.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Roughly the memory held, in bytes.
    pub fn bytes(&self) -> u64 {
        // Id and metadata are counted with their reference counts, the id's place in both maps.
        let per_row = 4 * self.dimension as u64 + 160;
        self.rows * per_row + self.content_bytes
    }

    /// A view of the rows as they are now.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        self.snapshot
            .get_or_insert_with(|| {
                Arc::new(Snapshot { dimension: self.dimension, chunks: self.chunks.clone() })
            })
            .clone()
    }

    /// The snapshot, if one was taken since the last change.
    pub fn ready_snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Where the visible row of an id is: chunk and row in it.
    pub fn find(&self, id: &str, now: Timestamp) -> Option<(&Chunk, usize)> {
        let place = self.places.get(id)?;
        let chunk = &self.chunks[place.chunk as usize];
        let row = place.row as usize;
        chunk.expires_at(row).is_none_or(|at| at > now).then_some((chunk, row))
    }

    /// Visible rows in id order, after an id.
    pub fn after<'a>(
        &'a self,
        after: Option<&str>,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a Chunk, usize)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.places.range::<str, _>((start, Bound::Unbounded)).filter_map(move |(_, place)| {
            let chunk = &self.chunks[place.chunk as usize];
            let row = place.row as usize;
            chunk.expires_at(row).is_none_or(|at| at > now).then_some((chunk, row))
        })
    }

    fn insert(
        &mut self,
        id: VectorId,
        vector: &[f32],
        metadata: Option<Arc<str>>,
        expires_at: Option<Timestamp>,
    ) {
        let capacity = Chunk::capacity(self.dimension);
        if self.chunks.last().is_none_or(|chunk| chunk.len() == capacity) {
            // The first chunk grows as it needs to: most namespaces of thousands are small.
            let reserve = if self.chunks.is_empty() { 0 } else { capacity };
            self.chunks.push(Chunk::with_capacity(reserve, self.dimension));
        }
        let index = self.chunks.len() - 1;
        let chunk = &mut self.chunks[index];
        let place = Place { chunk: index as u32, row: chunk.len() as u32 };
        self.content_bytes += content_bytes(&id, metadata.as_deref());
        self.rows += 1;
        if let Some(expires_at) = expires_at {
            self.expiring.insert((expires_at, id.clone()));
        }
        chunk.push(id.clone(), vector, metadata, expires_at);
        self.places.insert(id, place);
    }

    fn remove(&mut self, id: &VectorId) -> bool {
        let Some(place) = self.places.remove(id) else {
            return false;
        };
        let chunk = &mut self.chunks[place.chunk as usize];
        let row = place.row as usize;
        chunk.kill(row);
        if let Some(expires_at) = chunk.expires_at(row) {
            self.expiring.remove(&(expires_at, id.clone()));
        }
        true
    }

    fn clear(&mut self) -> u64 {
        let removed = self.places.len() as u64;
        let dimension = self.dimension;
        *self = Self { dimension, ..Self::default() };
        removed
    }

    /// Rewrites the chunks without their dead rows when those prevail, so that memory follows the
    /// live rows at constant amortised cost.
    fn reclaim(&mut self) {
        let live = self.places.len() as u64;
        if self.rows - live <= live + SLACK_ROWS {
            return;
        }
        let chunks = std::mem::take(&mut self.chunks);
        self.places.clear();
        self.expiring.clear();
        (self.rows, self.content_bytes) = (0, 0);
        for chunk in chunks {
            for row in (0..chunk.len()).filter(|row| chunk.is_live(*row)) {
                let vector = chunk.vector(row, self.dimension);
                let metadata = chunk.metadata(row).cloned();
                self.insert(chunk.id(row).clone(), vector, metadata, chunk.expires_at(row));
            }
        }
    }
}

fn content_bytes(id: &VectorId, metadata: Option<&str>) -> u64 {
    (id.as_str().len() + metadata.map_or(0, str::len)) as u64
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::types::Rows;

    #[derive(Debug, Clone)]
    enum Step {
        Upsert(Vec<(u8, f32, Option<u8>)>),
        Delete(Vec<u8>),
        Clear,
        Wait(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let row = (0..24u8, -9f32..9.0, prop::option::weighted(0.3, 1..20u8));
        prop_oneof![
            6 => prop::collection::vec(row, 1..9).prop_map(Step::Upsert),
            3 => prop::collection::vec(0..24u8, 1..5).prop_map(Step::Delete),
            1 => Just(Step::Clear),
            3 => (1..9u8).prop_map(Step::Wait),
        ]
    }

    type Model = BTreeMap<String, (f32, Option<i64>)>;

    fn visible(model: &Model, now: i64) -> Vec<(String, f32)> {
        let visible = model.iter().filter(|(_, (_, expires))| expires.is_none_or(|at| at > now));
        visible.map(|(id, (value, _))| (id.clone(), *value)).collect()
    }

    proptest! {
        #[test]
        fn the_tail_equals_a_map(steps in prop::collection::vec(step(), 1..60)) {
            let (mut tail, mut model, mut now) = (Tail::default(), Model::new(), 0i64);
            for step in steps {
                let mut changes = Changes::default();
                let at = Timestamp(now);
                match step {
                    Step::Wait(by) => now += i64::from(by) * 1000,
                    Step::Clear => {
                        changes.clear();
                        let expected = visible(&model, now).len() as u64;
                        prop_assert_eq!(tail.apply(&changes, at), vec![expected]);
                        model.clear();
                    }
                    Step::Delete(ids) => {
                        let ids: Vec<_> = ids.iter().map(|id| VectorId::trusted(&id.to_string())).collect();
                        changes.delete(&ids);
                        let found = tail.apply(&changes, at);
                        for (id, found) in ids.iter().zip(found) {
                            let old = model.remove(id.as_str());
                            let expected = old.is_some_and(|(_, expires)| expires.is_none_or(|at| at > now));
                            prop_assert_eq!(found, u64::from(expected));
                        }
                    }
                    Step::Upsert(rows) => {
                        let mut batch = Rows { dimension: 2, ..Rows::default() };
                        for (id, value, ttl) in rows {
                            batch.ids.push(VectorId::trusted(&id.to_string()));
                            batch.vectors.extend([value, 1.0]);
                            batch.metadata.push(None);
                            batch.ttl.push(ttl.map(|ttl| Duration::from_secs(ttl.into())));
                            model.insert(id.to_string(), (value, ttl.map(|ttl| now + i64::from(ttl) * 1000)));
                        }
                        changes.upsert(&batch, at);
                        tail.apply(&changes, at);
                    }
                }
                let at = Timestamp(now);
                let expected = visible(&model, now);
                let rows: Vec<_> = tail
                    .after(None, at)
                    .map(|(chunk, row)| (chunk.id(row).to_string(), chunk.vector(row, 2)[0]))
                    .collect();
                prop_assert_eq!(&rows, &expected);
                prop_assert_eq!(tail.count(at), expected.len() as u64);
                let scanned: u32 = tail.snapshot().chunks.iter()
                    .flat_map(|chunk| chunk.visible(at)).map(u64::count_ones).sum();
                prop_assert_eq!(scanned as usize, expected.len());
            }
        }
    }

    #[test]
    fn a_snapshot_does_not_see_later_writes_and_dead_rows_are_reclaimed() {
        let mut tail = Tail::default();
        let write = |tail: &mut Tail, value: f32| {
            let mut changes = Changes::default();
            for id in 0..500 {
                let rows = Rows {
                    dimension: 1,
                    ids: vec![VectorId::trusted(&format!("{id:03}"))],
                    vectors: vec![value],
                    metadata: vec![None],
                    ttl: vec![None],
                };
                changes.upsert(&rows, Timestamp(0));
            }
            tail.apply(&changes, Timestamp(0));
        };
        write(&mut tail, 0.0);
        let before = tail.snapshot();
        for round in 1..=30 {
            write(&mut tail, round as f32);
            assert!(tail.rows() <= 2 * 500 + SLACK_ROWS + 500, "{} rows", tail.rows());
        }
        assert_eq!(tail.count(Timestamp(0)), 500);
        assert!(before.chunks.iter().all(|chunk| chunk.vectors().iter().all(|value| *value == 0.0)));
        assert!(tail.after(None, Timestamp(0)).all(|(chunk, row)| chunk.vector(row, 1) == [30.0]));
    }
}
