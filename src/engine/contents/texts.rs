//! Indexes over the texts of a snapshot: those of its segments, and for rows that have none in the store,
//! because they are in the tail, in a small segment, or in one whose index is being built, indexes in
//! memory. These are built when a search first wants them, and kept as long as searches do.
//!
//! Invariant: a part's index is over exactly the rows that its place names, since rows of a segment never
//! change and rows of a chunk are only added to.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rayon::prelude::*;
use uuid::Uuid;

use super::{Matches, Snapshot};
use crate::{
    clock::Timestamp,
    engine::{
        index::fulltext::{Fulltext, MetadataOf, MetadataSource, build},
        log::Chunk,
    },
    error::{Error, Result},
    types::text::FulltextParams,
};

/// Rows that are indexed together while their chunk is being filled: what is indexed again with each row
/// that is added.
const PIECE_ROWS: usize = 64;

/// The indexes in memory of a namespace.
#[derive(Debug, Default)]
pub struct TextIndexes {
    held: Mutex<Held>,
    /// Held while much is built, so that searches which come meanwhile wait instead of building it too.
    building: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Held {
    /// What all of them were built with.
    params: FulltextParams,
    indexes: HashMap<Key, Arc<Fulltext>>,
}

/// Which rows, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Segment(Uuid),
    Chunk { number: u64, first: usize, end: usize },
}

/// A part of a snapshot that has an index of its own.
#[derive(Debug, Clone)]
pub struct TextPart {
    /// Which.
    pub place: TextPlace,
    /// The index.
    pub index: Arc<Fulltext>,
}

/// Rows of a snapshot that are indexed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextPlace {
    /// Those of a segment, by its number.
    Segment(usize),
    /// Rows of a chunk, by its number. The first is a multiple of 64.
    Chunk(usize, Range<usize>),
}

impl TextIndexes {
    /// The parts of a snapshot with their indexes. Builds those that are missing, on the threads of the pool
    /// that this is called on, and forgets those that this snapshot does not want.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a segment is damaged.
    pub fn parts(&self, snapshot: &Snapshot, params: &FulltextParams) -> Result<Vec<TextPart>> {
        let places = places(snapshot);
        let found = self.find(snapshot, params, &places);
        let missing: Vec<usize> = (0..places.len()).filter(|part| found[*part].is_none()).collect();
        let build = |part: &usize| {
            let (_, place) = &places[*part];
            Ok((*part, Arc::new(place.build(snapshot, params)?)))
        };
        let built: HashMap<usize, Arc<Fulltext>> = match &missing[..] {
            [only] => std::iter::once(build(only)?).collect(),
            several => several.par_iter().map(build).collect::<Result<_>>()?,
        };
        self.hold(snapshot, params, &places, &built);
        let parts = places.into_iter().zip(found).enumerate();
        let parts = parts.filter_map(|(part, ((_, place), index))| {
            let index = index.or_else(|| built.get(&part).cloned())?;
            Some(TextPart { place, index })
        });
        Ok(parts.collect())
    }

    /// How many rows [`TextIndexes::parts`] would have to index.
    pub fn missing_rows(&self, snapshot: &Snapshot, params: &FulltextParams) -> usize {
        let places = places(snapshot);
        let found = self.find(snapshot, params, &places);
        let missing = places.iter().zip(found).filter(|(_, index)| index.is_none());
        missing.map(|((_, place), _)| place.rows(snapshot)).sum()
    }

    /// Waits for its turn to build much. Whoever builds holds it, also when nobody waits for that any more.
    pub async fn turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.building).lock_owned().await
    }

    fn find(
        &self,
        snapshot: &Snapshot,
        params: &FulltextParams,
        places: &[(Key, TextPlace)],
    ) -> Vec<Option<Arc<Fulltext>>> {
        let held = self.held();
        let serves = params.indexes_as(&held.params);
        let of_place = |(key, place): &(Key, TextPlace)| {
            place.stored(snapshot, params).or_else(|| held.indexes.get(key).filter(|_| serves)).cloned()
        };
        places.iter().map(of_place).collect()
    }

    /// Keeps those in memory that this snapshot wants and that are not stored.
    fn hold(
        &self,
        snapshot: &Snapshot,
        params: &FulltextParams,
        places: &[(Key, TextPlace)],
        built: &HashMap<usize, Arc<Fulltext>>,
    ) {
        let mut held = self.held();
        let before =
            if params.indexes_as(&held.params) { std::mem::take(&mut held.indexes) } else { HashMap::new() };
        held.params.clone_from(params);
        let index = |(part, (key, place)): (usize, &(Key, TextPlace))| {
            let index = built.get(&part).or_else(|| before.get(key))?;
            place.stored(snapshot, params).is_none().then(|| (*key, index.clone()))
        };
        held.indexes = places.iter().enumerate().filter_map(index).collect();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What is held is whole at any time.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TextPlace {
    /// The index that is kept in the store.
    fn stored<'a>(&self, snapshot: &'a Snapshot, params: &FulltextParams) -> Option<&'a Arc<Fulltext>> {
        match self {
            Self::Segment(segment) => snapshot.segments[*segment].texts(params),
            Self::Chunk(..) => None,
        }
    }

    fn rows(&self, snapshot: &Snapshot) -> usize {
        match self {
            Self::Segment(segment) => snapshot.segments[*segment].segment().rows(),
            Self::Chunk(_, rows) => rows.len(),
        }
    }

    fn build(&self, snapshot: &Snapshot, params: &FulltextParams) -> Result<Fulltext> {
        let bytes = match self {
            Self::Segment(segment) => build(&MetadataOf(&**snapshot.segments[*segment].segment()), params)?,
            Self::Chunk(chunk, rows) => {
                build(&ChunkRows { chunk: &snapshot.chunks[*chunk], rows: rows.clone() }, params)?
            }
        };
        Fulltext::open(bytes, params).map_err(Error::internal)
    }

    /// The rows that a reader may see at `now`, a bit each, counted from the first of the part; none if these
    /// are all.
    pub fn visible(&self, snapshot: &Snapshot, now: Timestamp) -> Option<Vec<u64>> {
        match self {
            Self::Segment(segment) => {
                let view = &snapshot.segments[*segment];
                let all = view.count(now) == view.segment().rows() as u64;
                (!all).then(|| view.visible_rows(now).words().to_vec())
            }
            Self::Chunk(chunk, rows) => {
                let words = of_rows(&snapshot.chunks[*chunk].visible(now), rows);
                let count: u32 = words.iter().map(|word| word.count_ones()).sum();
                (count as usize != rows.len()).then_some(words)
            }
        }
    }

    /// Those that match, in the same way.
    pub fn matching(&self, matches: &Matches) -> Vec<u64> {
        match self {
            Self::Segment(segment) => matches.segment(*segment).rows.words().to_vec(),
            Self::Chunk(chunk, rows) => of_rows(matches.chunks()[*chunk].rows.words(), rows),
        }
    }
}

/// The bits of rows, the first of which is a multiple of 64.
fn of_rows(words: &[u64], rows: &Range<usize>) -> Vec<u64> {
    let mut words = words[rows.start / 64..rows.end.div_ceil(64)].to_vec();
    if let Some(last) = words.last_mut()
        && !rows.len().is_multiple_of(64)
    {
        *last &= (1 << (rows.len() % 64)) - 1;
    }
    words
}

/// Segments, and then the tail: chunks that are full as a whole, and those that are being filled by pieces.
fn places(snapshot: &Snapshot) -> Vec<(Key, TextPlace)> {
    let segments = snapshot
        .segments
        .iter()
        .enumerate()
        .map(|(number, view)| (Key::Segment(view.segment().reference().id), TextPlace::Segment(number)));
    let mut places: Vec<_> = segments.collect();
    for (chunk, rows) in snapshot.chunks.iter().enumerate() {
        let (number, length) = (rows.number(), rows.len());
        let step = if rows.is_full() { length.max(1) } else { PIECE_ROWS };
        for first in (0..length).step_by(step) {
            let end = length.min(first + step);
            places.push((Key::Chunk { number, first, end }, TextPlace::Chunk(chunk, first..end)));
        }
    }
    places
}

/// Some rows of a chunk.
struct ChunkRows<'a> {
    chunk: &'a Chunk,
    rows: Range<usize>,
}

impl MetadataSource for ChunkRows<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn metadata(&self, row: usize) -> Result<Option<&str>> {
        Ok(self.chunk.metadata(self.rows.start + row).map(AsRef::as_ref))
    }
}
