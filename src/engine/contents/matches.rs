//! Which rows of a snapshot match a filter: decided once for a query, before anything is ranked, so that an
//! answer has as many rows as it may. An index over the metadata of a segment says what it knows of a filter;
//! the metadata of all other rows is read. Who asks again after some writes hands in what was decided before
//! ([`Known`]): rows do not change, so only new ones are looked at.
//!
//! Invariant: these are exactly the visible rows for which [`Filter::matches`] is true.

use std::collections::HashMap;

use rayon::prelude::*;
use uuid::Uuid;

use super::{
    following::{Following, Shown},
    snapshot::{Block, Snapshot},
};
use crate::{
    clock::Timestamp,
    engine::{
        log::Chunk,
        segment::{Batch, SegmentView},
    },
    error::Result,
    planted::{Bug, planted},
    types::{Bits, Filter, count_bits, set_bits},
};

/// Rows whose metadata is read on one thread: waking others takes as long.
const MIN_DIVIDED: u64 = 1024;
/// So many rows of a segment are looked up in an index for a condition while one is read.
const LOOKED_UP_PER_READ: u64 = 1024;
/// So many times as long as a lookup takes a test of each text.
const TIMES_TESTED: u64 = 128;

/// The visible rows of a snapshot that match a filter.
#[derive(Debug)]
pub struct Matches {
    segments: Vec<Matching>,
    chunks: Vec<Matching>,
}

/// The visible rows of a segment or of a chunk of the tail that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// The rows.
    pub rows: Bits,
    /// How many there are.
    pub count: u64,
    /// Rows whose metadata was read for that.
    pub read: u64,
}

/// Which rows matched a filter at some moment, for the next time that it is asked. By the ids of segments and
/// the numbers of chunks, each of which says for good what a row of it holds.
#[derive(Debug, Default)]
pub struct Known {
    segments: HashMap<Uuid, Past>,
    chunks: HashMap<u64, Past>,
}

/// What is known of the rows of a segment, or of the rows that a chunk had.
#[derive(Debug)]
struct Past {
    decided: Bits,
    /// Those of them that match.
    matching: Bits,
}

/// What remains to be decided of a block, by reading the metadata of rows.
struct Open {
    block: Block,
    rows: Vec<u64>,
}

impl Matches {
    /// Decides all visible rows: if there are many and this is called on a thread of a pool, on all of its
    /// threads.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a segment is damaged.
    pub fn of(snapshot: &Snapshot, filter: &Filter, now: Timestamp) -> Result<Self> {
        Self::of_rest(snapshot, filter, now, &Known::default())
    }

    /// The same, if this is what was decided before for the filter, on an older snapshot of the namespace.
    ///
    /// # Errors
    /// As [`Matches::of`].
    pub fn of_rest(snapshot: &Snapshot, filter: &Filter, now: Timestamp, known: &Known) -> Result<Self> {
        let segments = snapshot.segments.iter().map(|view| known.segment(view, filter, now));
        let (mut segments, open_of_segments): (Vec<_>, Vec<_>) = segments.unzip();
        let chunks = snapshot.chunks.iter().map(|chunk| known.chunk(chunk, now));
        let (mut chunks, open_of_chunks): (Vec<_>, Vec<_>) = chunks.unzip();
        let open = snapshot.blocks().into_iter().filter_map(|block| {
            let rows = match block {
                Block::Batch(segment, batch) => {
                    part(snapshot, segment, batch, open_of_segments[segment].as_ref()?)
                }
                Block::Chunk(chunk) => open_of_chunks[chunk].words().to_vec(),
            };
            rows.iter().any(|word| *word != 0).then_some(Open { block, rows })
        });
        let open: Vec<Open> = open.collect();
        let read = |open: &Open| read(snapshot, open, filter);
        let divided = rayon::current_thread_index().is_some()
            && open.iter().map(Open::count).sum::<u64>() >= MIN_DIVIDED;
        let decided: Vec<Vec<u64>> = if divided {
            open.par_iter().map(read).collect::<Result<_>>()?
        } else {
            open.iter().map(read).collect::<Result<_>>()?
        };
        for (open, rows) in open.iter().zip(&decided) {
            let (matching, first) = match open.block {
                Block::Batch(segment, batch) => {
                    (&mut segments[segment], snapshot.segments[segment].segment().row(batch, 0))
                }
                Block::Chunk(chunk) => (&mut chunks[chunk], 0),
            };
            matching.rows.add_part(first as usize, rows);
            matching.count += count_bits(rows);
            matching.read += open.count();
        }
        Ok(Self { segments, chunks })
    }

    /// About how many rows could be read while a filter is decided.
    pub fn cost(snapshot: &Snapshot, filter: &Filter) -> u64 {
        let (conditions, patterns) = (filter.conditions() as u64, filter.scans() as u64);
        let of_segment = |view: &SegmentView| match view.attributes() {
            Some(_) => {
                view.segment().rows() as u64 * (conditions + patterns * TIMES_TESTED) / LOOKED_UP_PER_READ
            }
            None => view.live_rows(),
        };
        let in_tail: u64 = snapshot.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        snapshot.segments.iter().map(of_segment).sum::<u64>() + in_tail
    }

    /// Those of a segment.
    pub fn segment(&self, segment: usize) -> &Matching {
        &self.segments[segment]
    }

    /// Those of the tail, chunk by chunk.
    pub fn chunks(&self) -> &[Matching] {
        &self.chunks
    }

    /// Those of the tail that have vectors.
    pub fn with_vectors<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Matching> {
        let chunks = self.chunks.iter().zip(&snapshot.chunks);
        chunks.filter(|(_, chunk)| chunk.dimension() > 0).map(|(matching, _)| matching)
    }

    /// How many rows match.
    pub fn count(&self) -> u64 {
        self.all().map(|matching| matching.count).sum()
    }

    /// What these say about rows of other snapshots, given the one that they are of, and when that was.
    pub fn known(&self, snapshot: &Snapshot, now: Timestamp) -> Known {
        let segments = snapshot.segments.iter().zip(&self.segments).map(|(view, matching)| {
            (view.segment().reference().id, Past::new(view.visible_rows(now), matching))
        });
        let chunks = snapshot.chunks.iter().zip(&self.chunks);
        let chunks =
            chunks.map(|(chunk, matching)| (chunk.number(), Past::new(visible(chunk, now), matching)));
        Known { segments: segments.collect(), chunks: chunks.collect() }
    }

    /// Rows whose metadata was read.
    pub fn read(&self) -> u64 {
        self.all().map(|matching| matching.read).sum()
    }

    /// Those of each block, one bit each, lowest first.
    pub fn by_block(&self, snapshot: &Snapshot) -> Vec<(Block, Vec<u64>)> {
        snapshot.blocks().into_iter().map(|block| (block, self.of_block(snapshot, block))).collect()
    }

    /// Those of a block, one bit each, lowest first.
    pub fn of_block(&self, snapshot: &Snapshot, block: Block) -> Vec<u64> {
        match block {
            Block::Batch(segment, batch) => part(snapshot, segment, batch, &self.segments[segment].rows),
            Block::Chunk(chunk) => self.chunks[chunk].rows.words().to_vec(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Matching> {
        self.segments.iter().chain(&self.chunks)
    }
}

impl Matching {
    /// What is known without reading.
    fn of(rows: Bits) -> Self {
        Self { count: rows.count(), rows, read: 0 }
    }
}

impl Known {
    /// The visible rows of a segment that match as far as is known, and those of which nothing is known, if
    /// there may be any.
    fn segment(&self, view: &SegmentView, filter: &Filter, now: Timestamp) -> (Matching, Option<Bits>) {
        match self.segments.get(&view.segment().reference().id) {
            Some(past) => {
                let (matching, open) = past.of(view.visible_rows(now));
                (matching, Some(open))
            }
            None => ask_index(view, filter, now),
        }
    }

    /// The same of a chunk.
    fn chunk(&self, chunk: &Chunk, now: Timestamp) -> (Matching, Bits) {
        let nothing = (Matching::of(Bits::none(chunk.len())), visible(chunk, now));
        match self.chunks.get(&chunk.number()) {
            Some(past) => past.of(nothing.1),
            None if planted(Bug::BulkMissesNewRows) && !self.chunks.is_empty() => {
                (nothing.0, Bits::none(chunk.len()))
            }
            None => nothing,
        }
    }
}

impl Past {
    fn new(decided: Bits, matching: &Matching) -> Self {
        Self { decided, matching: matching.rows.clone() }
    }

    /// Of the rows that are visible now, those that match, and those that were not decided.
    fn of(&self, mut visible: Bits) -> (Matching, Bits) {
        // A chunk may have more rows by now.
        let widened = |bits: &Bits| {
            let mut wide = Bits::none(visible.rows());
            wide.add_words(bits.words().iter().copied());
            wide
        };
        let (decided, mut matching) = (widened(&self.decided), widened(&self.matching));
        matching.keep(&visible);
        visible.subtract(&decided);
        (Matching::of(matching), visible)
    }
}

/// The rows of a chunk that are visible.
fn visible(chunk: &Chunk, now: Timestamp) -> Bits {
    Bits::of_words(chunk.len(), chunk.visible(now).to_vec())
}

impl Open {
    fn count(&self) -> u64 {
        count_bits(&self.rows)
    }
}

impl Snapshot {
    /// Rows that match, in id order, after an id.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`], here and for every row.
    pub fn matching_after<'a>(&'a self, matches: &'a Matches, after: Option<&str>) -> Result<Following<'a>> {
        let chunks = self.chunks.iter().zip(&matches.chunks);
        let rows = chunks.flat_map(|(chunk, matching)| matching.rows.iter().map(move |row| (chunk, row)));
        let id = |(chunk, row): (&'a Chunk, usize)| chunk.id(row).as_str();
        let mut tail: Vec<(&Chunk, usize)> = rows
            .map(|(chunk, row)| (chunk, row as usize))
            .filter(|row| after.is_none_or(|after| id(*row) > after))
            .collect();
        tail.sort_unstable_by_key(|row| id(*row));
        let segments = self.segments.iter().zip(&matches.segments);
        let segments = segments.map(|(view, matching)| (view, Shown::These(&matching.rows)));
        Following::new(segments, tail.into_iter(), after)
    }
}

/// The visible rows of a segment of which it is known that they match, and those of which nothing is known, if
/// there may be any.
fn ask_index(view: &SegmentView, filter: &Filter, now: Timestamp) -> (Matching, Option<Bits>) {
    let Some(attributes) = view.attributes() else {
        return (Matching::of(Bits::none(view.segment().rows())), Some(view.visible_rows(now)));
    };
    let (mut certain, mut open) = attributes.decide(filter).into_parts();
    if !view.shows_all(now) {
        let visible = view.visible_rows(now);
        certain.keep(&visible);
        if let Some(open) = &mut open {
            open.keep(&visible);
        }
    }
    (Matching::of(certain), open)
}

/// Those of a segment's rows that are in a record batch of it.
fn part(snapshot: &Snapshot, segment: usize, batch: usize, rows: &Bits) -> Vec<u64> {
    let segment = snapshot.segments[segment].segment();
    rows.part(segment.row(batch, 0) as usize, segment.batch_rows(batch))
}

/// The rows of a block, of those that are open, whose metadata matches.
fn read(snapshot: &Snapshot, open: &Open, filter: &Filter) -> Result<Vec<u64>> {
    Ok(match open.block {
        Block::Batch(segment, batch) => {
            let batch: &Batch = snapshot.segments[segment].segment().batch(batch)?;
            matching(&open.rows, |row| filter.matches(batch.metadata(row)))
        }
        Block::Chunk(chunk) => {
            let chunk = &snapshot.chunks[chunk];
            matching(&open.rows, |row| filter.matches(chunk.metadata(row).map(AsRef::as_ref)))
        }
    })
}

/// Of some rows, those that match.
fn matching(rows: &[u64], matches: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut matching = vec![0; rows.len()];
    for row in set_bits(rows).filter(|row| matches(*row as usize)) {
        matching[row as usize / 64] |= 1 << (row % 64);
    }
    matching
}
