//! A segment with the rows of it that are live as of an entry of the log.
//!
//! Cheap to clone: readers hold a clone, and a row that dies later is copied aside with the few
//! words of its batch.
//!
//! Invariant: like the tail, the view after entry n is a pure function of entries 1..=n: expired
//! rows are dropped by the times that stand in the entries.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::{Segment, SegmentIndex};
use crate::{
    clock::Timestamp,
    engine::index::{attributes::Attributes, fulltext::Fulltext},
    error::Result,
    types::{Bits, IndexSpec, text::FulltextParams},
};

/// A bit per row of a record batch, lowest first.
type Words = Arc<[u64]>;

/// A segment and its live rows.
#[derive(Debug, Clone)]
pub struct SegmentView {
    segment: Arc<Segment>,
    live: Arc<Vec<Words>>,
    live_rows: u64,
    /// Of the rows that expire, in that order, so many are dropped.
    purged: usize,
    indexes: Arc<[SegmentIndex]>,
}

impl SegmentView {
    /// A segment of which these rows are dead.
    pub fn new(segment: Arc<Segment>, deletes: &RoaringBitmap) -> Self {
        let full = |batch: usize| -> Words {
            let rows = segment.batch_rows(batch);
            let word = |index: usize| match rows - index * 64 {
                64.. => u64::MAX,
                rest => (1 << rest) - 1,
            };
            (0..rows.div_ceil(64)).map(word).collect()
        };
        let live = Arc::new((0..segment.batch_count()).map(full).collect());
        let mut view =
            Self { live_rows: segment.rows() as u64, segment, live, purged: 0, indexes: Arc::default() };
        for row in deletes {
            view.hide(row);
        }
        view
    }

    /// The same with indexes over the segment.
    pub fn with_indexes(self, indexes: Vec<SegmentIndex>) -> Self {
        Self { indexes: indexes.into(), ..self }
    }

    /// Indexes over the rows of the segment, dead ones included.
    pub fn indexes(&self) -> &Arc<[SegmentIndex]> {
        &self.indexes
    }

    /// What is known of the metadata of its rows.
    pub fn attributes(&self) -> Option<&Attributes> {
        self.indexes.iter().find_map(|index| index.index.attributes())
    }

    /// The index over its texts that serves these parameters.
    pub fn texts(&self, params: &FulltextParams) -> Option<&Arc<Fulltext>> {
        let serves =
            |spec: &IndexSpec| matches!(spec, IndexSpec::Fulltext(built) if params.indexes_as(built));
        let index = self.indexes.iter().find(|index| serves(&index.reference.spec))?;
        index.index.texts()
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Rows that are live but for those that expired since the last purge.
    pub fn live_rows(&self) -> u64 {
        self.live_rows
    }

    /// The live row of an id.
    pub fn find(&self, id: &str) -> Result<Option<u32>> {
        Ok(self.segment.find(id)?.filter(|row| self.is_live(*row)))
    }

    /// Whether a row is live, expiry not considered.
    pub fn is_live(&self, row: u32) -> bool {
        let (batch, place) = self.segment.place(row);
        self.live[batch][place / 64] >> (place % 64) & 1 == 1
    }

    /// Lets a row die; returns whether it was live.
    pub fn hide(&mut self, row: u32) -> bool {
        if !self.is_live(row) {
            return false;
        }
        let (batch, place) = self.segment.place(row);
        let words = Arc::make_mut(&mut Arc::make_mut(&mut self.live)[batch]);
        words[place / 64] &= !(1 << (place % 64));
        self.live_rows -= 1;
        true
    }

    /// Lets the rows die that have expired by `now`.
    pub fn purge(&mut self, now: Timestamp) {
        let expired: Vec<u32> = self.expired(now).collect();
        self.purged += expired.len();
        for row in expired {
            self.hide(row);
        }
    }

    /// Live rows at `now`, exactly.
    pub fn count(&self, now: Timestamp) -> u64 {
        self.live_rows - self.expired(now).filter(|row| self.is_live(*row)).count() as u64
    }

    /// The rows of a record batch that a reader may see at `now`, one bit each.
    pub fn visible(&self, batch: usize, now: Timestamp) -> Result<Words> {
        let live = &self.live[batch];
        let rows = self.segment.batch(batch)?;
        if rows.first_expiry().is_none_or(|at| at > now) {
            return Ok(live.clone());
        }
        let mut visible: Words = live.clone();
        let words = Arc::make_mut(&mut visible);
        for place in 0..self.segment.batch_rows(batch) {
            if rows.expires_at(place).is_some_and(|at| at <= now) {
                words[place / 64] &= !(1 << (place % 64));
            }
        }
        Ok(visible)
    }

    /// Whether a reader may see all rows at `now`.
    pub fn shows_all(&self, now: Timestamp) -> bool {
        self.live_rows == self.segment.rows() as u64 && self.expired(now).next().is_none()
    }

    /// The rows that a reader may see at `now`.
    pub fn visible_rows(&self, now: Timestamp) -> Bits {
        let mut visible = Bits::none(self.segment.rows());
        for (batch, words) in self.live.iter().enumerate() {
            visible.add_part(self.segment.row(batch, 0) as usize, words);
        }
        self.expired(now).for_each(|row| visible.remove(row));
        visible
    }

    /// The dead rows.
    pub fn deletes(&self) -> RoaringBitmap {
        let rows = 0..self.segment.rows() as u32;
        if self.live_rows == 0 { rows.collect() } else { rows.filter(|row| !self.is_live(*row)).collect() }
    }

    /// The rows that have expired by `now` and count as live still.
    pub fn expired_rows(&self, now: Timestamp) -> RoaringBitmap {
        self.expired(now).collect()
    }

    /// Rows that have expired by `now` and are not dropped yet.
    fn expired(&self, now: Timestamp) -> impl Iterator<Item = u32> + '_ {
        self.segment.expiry().skip(self.purged).take_while(move |(at, _)| *at <= now).map(|(_, row)| row)
    }
}
