//! The rows in memory: those of the entries after the last fold.
//!
//! Readers work on clones of the [`Chunk`]s, which a later write never changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use super::chunk::Chunk;
use crate::{clock::Timestamp, types::VectorId};

/// Dead rows are reclaimed when they outnumber the live ones by this many.
const SLACK_ROWS: u64 = 4096;

/// The rows in memory, and where each id is.
#[derive(Debug, Default)]
pub struct Tail {
    chunks: Vec<Chunk>,
    /// The chunks that rows are added to, of which there is one for each dimension; mostly the last.
    open: Vec<u32>,
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

impl Tail {
    /// Inserts a row or replaces the one of its id; returns whether there was one. The vector is empty if the
    /// row has none.
    pub fn upsert(
        &mut self,
        id: &VectorId,
        vector: &[f32],
        metadata: Option<Arc<str>>,
        expires_at: Option<Timestamp>,
    ) -> bool {
        let replaced = self.delete(id);
        self.insert(id.clone(), vector, metadata, expires_at);
        replaced
    }

    /// Forgets the rows that have expired by `now`.
    pub fn purge(&mut self, now: Timestamp) {
        while let Some((expires_at, _)) = self.expiring.first()
            && *expires_at <= now
        {
            if let Some((_, id)) = self.expiring.pop_first() {
                self.delete(&id);
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
        let per_row = 160;
        self.rows * per_row + self.content_bytes
    }

    /// The rows as they are now. Cheap; later changes do not show in it.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Where the visible row of an id is: chunk and row in it.
    pub fn find(&self, id: &str, now: Timestamp) -> Option<(&Chunk, usize)> {
        let place = self.places.get(id)?;
        let chunk = &self.chunks[place.chunk as usize];
        let row = place.row as usize;
        chunk.expires_at(row).is_none_or(|at| at > now).then_some((chunk, row))
    }

    /// Where the row of an id is, expired or not: the number of its chunk among [`Tail::chunks`], and the row in it.
    pub fn place(&self, id: &str) -> Option<(usize, usize)> {
        self.places.get(id).map(|place| (place.chunk as usize, place.row as usize))
    }

    /// Visible rows in id order, after an id.
    pub fn after<'a>(
        &'a self,
        after: Option<&str>,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a Chunk, usize)> + use<'a> {
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
        let index = self.open_chunk(vector.len());
        let chunk = &mut self.chunks[index];
        let place = Place { chunk: index as u32, row: chunk.len() as u32 };
        self.content_bytes += content_bytes(&id, vector, metadata.as_deref());
        self.rows += 1;
        if let Some(expires_at) = expires_at {
            self.expiring.insert((expires_at, id.clone()));
        }
        chunk.push(id.clone(), vector, metadata, expires_at);
        self.places.insert(id, place);
    }

    /// The chunk that the next row of a dimension is added to.
    fn open_chunk(&mut self, dimension: usize) -> usize {
        let open = self.open.iter().position(|open| self.chunks[*open as usize].dimension() == dimension);
        if let Some(place) = open {
            if !self.chunks[self.open[place] as usize].is_full() {
                return self.open[place] as usize;
            }
            self.open.swap_remove(place);
        }
        // The first chunk grows as it needs to: most namespaces of thousands are small.
        let reserve = if self.chunks.is_empty() { 0 } else { Chunk::capacity(dimension) };
        self.open.push(self.chunks.len() as u32);
        self.chunks.push(Chunk::with_capacity(reserve, dimension));
        self.chunks.len() - 1
    }

    /// Removes the row of an id; returns whether there was one.
    pub fn delete(&mut self, id: &VectorId) -> bool {
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

    /// Removes every row; returns how many there were.
    pub fn clear(&mut self) -> u64 {
        let removed = self.places.len() as u64;
        *self = Self::default();
        removed
    }

    /// Rewrites the chunks without their dead rows when those prevail, so that memory follows the
    /// live rows at constant amortised cost.
    pub fn reclaim(&mut self) {
        let live = self.places.len() as u64;
        if self.rows - live <= live + SLACK_ROWS {
            return;
        }
        let chunks = std::mem::take(&mut self.chunks);
        self.open.clear();
        self.places.clear();
        self.expiring.clear();
        (self.rows, self.content_bytes) = (0, 0);
        for chunk in chunks {
            for row in (0..chunk.len()).filter(|row| chunk.is_live(*row)) {
                let vector = chunk.vector(row);
                let metadata = chunk.metadata(row).cloned();
                self.insert(chunk.id(row).clone(), vector, metadata, chunk.expires_at(row));
            }
        }
    }
}

fn content_bytes(id: &VectorId, vector: &[f32], metadata: Option<&str>) -> u64 {
    (id.as_str().len() + size_of_val(vector) + metadata.map_or(0, str::len)) as u64
}
