//! The rows of a namespace: its segments and the tail of its log, as one table.
//!
//! Invariants: an id is live in at most one place, since an entry that writes or removes it lets
//! the row die that a segment holds; and the contents after entry n are a pure function of entries
//! 1..=n, whatever was folded when, because expiry is judged by the times that stand in the entries.

mod by_ids;
mod following;
mod matches;
mod snapshot;
#[cfg(test)]
mod tests;
mod texts;

use std::sync::Arc;

use self::following::Shown;
pub use self::{
    by_ids::ByIds,
    following::Following,
    matches::{Known, Matches, Matching},
    snapshot::{Block, Snapshot, Vectors},
    texts::{TextIndexes, TextPart, TextPlace},
};
use super::{
    format::{Change, Changes},
    log::Tail,
    segment::{RowRef, SegmentView},
};
use crate::{clock::Timestamp, error::Result, types::VectorId};

/// The rows as of an entry of the log.
#[derive(Debug, Default)]
pub struct Contents {
    dimension: usize,
    segments: Vec<SegmentView>,
    tail: Tail,
    snapshot: Option<Arc<Snapshot>>,
    texts: Arc<TextIndexes>,
}

/// A live row of a segment: which segment, and which row.
type InSegment = (usize, u32);

impl Contents {
    /// The rows of segments, with nothing after the fold.
    pub fn new(dimension: Option<usize>, segments: Vec<SegmentView>) -> Self {
        Self { dimension: dimension.unwrap_or(0), segments, ..Self::default() }
    }

    /// The segments, with what is live in them.
    pub fn segments(&self) -> &[SegmentView] {
        &self.segments
    }

    /// Takes other segments that hold the same rows.
    pub fn stand_on(&mut self, segments: Vec<SegmentView>) {
        self.segments = segments;
        self.snapshot = None;
    }

    /// The rows after the fold.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Applies the changes of one entry, committed at `now`, and returns for each whether it found
    /// a live row (an upsert that replaces, a delete that deletes; for a clear, how many).
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a segment is damaged; then nothing is applied.
    pub fn apply(&mut self, changes: &Changes, now: Timestamp) -> Result<Vec<u64>> {
        let places = self.places(changes)?;
        self.snapshot = None;
        if changes.dimension != 0 {
            self.dimension = changes.dimension;
        }
        self.tail.purge(now);
        self.segments.iter_mut().for_each(|segment| segment.purge(now));
        let mut vectors = changes.vectors.chunks_exact(changes.dimension.max(1));
        let mut found = Vec::with_capacity(changes.len());
        for (index, kind) in changes.kinds.iter().enumerate() {
            let id = &changes.ids[index];
            found.push(match kind {
                Change::Upsert | Change::UpsertWithoutVector => {
                    // Entries are checked to hold one vector per upsert when they are decoded.
                    let has_vector = *kind == Change::Upsert;
                    let vector = if has_vector { vectors.next().unwrap_or_default() } else { &[] };
                    let metadata = changes.metadata[index].clone();
                    let in_tail = self.tail.upsert(id, vector, metadata, changes.expires_at[index]);
                    u64::from(self.hide(places.get(index)) || in_tail)
                }
                Change::Delete => {
                    let in_tail = self.tail.delete(id);
                    u64::from(self.hide(places.get(index)) || in_tail)
                }
                Change::Clear => self.clear(),
            });
        }
        self.tail.reclaim();
        Ok(found)
    }

    /// Live rows at `now`, exactly.
    pub fn count(&self, now: Timestamp) -> u64 {
        self.segments.iter().map(|segment| segment.count(now)).sum::<u64>() + self.tail.count(now)
    }

    /// The visible row of an id.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`]
    pub fn find(&self, id: &str, now: Timestamp) -> Result<Option<RowRef<'_>>> {
        if let Some((chunk, row)) = self.tail.find(id, now) {
            return Ok(Some(snapshot::of_chunk(chunk, row)));
        }
        let row = snapshot::in_segments(&self.segments, id)?;
        Ok(row.filter(|row| row.expires_at.is_none_or(|at| at > now)))
    }

    /// Visible rows in id order, after an id.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`], here and for every row.
    pub fn after(&self, after: Option<&str>, now: Timestamp) -> Result<Following<'_>> {
        let segments = self.segments.iter().map(|view| (view, Shown::Visible(now)));
        Following::new(segments, self.tail.after(after, now), after)
    }

    /// A view of the rows as they are now.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        let new = || {
            Arc::new(Snapshot {
                dimension: self.dimension,
                segments: self.segments.clone(),
                chunks: self.tail.chunks().to_vec(),
                texts: self.texts.clone(),
            })
        };
        self.snapshot.get_or_insert_with(new).clone()
    }

    /// The snapshot, if one was taken since the last change.
    pub fn ready_snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Where the rows are that the changes will replace or remove, as far as segments hold them.
    /// Empty without segments.
    fn places(&self, changes: &Changes) -> Result<Vec<Option<InSegment>>> {
        if self.segments.is_empty() {
            return Ok(Vec::new());
        }
        let of = |id: &VectorId| if id.as_str().is_empty() { Ok(None) } else { self.in_segment(id.as_str()) };
        changes.ids.iter().map(of).collect()
    }

    fn in_segment(&self, id: &str) -> Result<Option<InSegment>> {
        for (index, segment) in self.segments.iter().enumerate() {
            if let Some(row) = segment.find(id)? {
                return Ok(Some((index, row)));
            }
        }
        Ok(None)
    }

    /// Lets a row of a segment die, unless it did (or the segment is gone) since it was looked up.
    fn hide(&mut self, place: Option<&Option<InSegment>>) -> bool {
        let Some(Some((segment, row))) = place else { return false };
        self.segments.get_mut(*segment).is_some_and(|segment| segment.hide(*row))
    }

    fn clear(&mut self) -> u64 {
        let in_segments: u64 = self.segments.iter().map(SegmentView::live_rows).sum();
        self.segments.clear();
        in_segments + self.tail.clear()
    }
}
