//! Rows of some ids at one moment: where they are in the tail is looked up while nothing is written, and
//! everything that reads segments comes later.

use std::{collections::HashMap, sync::Arc};

use super::{
    Contents,
    snapshot::{Snapshot, in_segments, of_chunk},
};
use crate::{clock::Timestamp, engine::segment::RowRef, error::Result, types::VectorId};

/// The rows of some ids, for readers: a later write never changes them.
#[derive(Debug)]
pub struct ByIds {
    snapshot: Arc<Snapshot>,
    /// Chunk and row.
    in_tail: HashMap<VectorId, (usize, usize)>,
}

impl Contents {
    /// The rows of these ids as they are now, where `snapshot` is that of now. Nothing is read for it.
    pub fn by_ids<'i>(&self, snapshot: Arc<Snapshot>, ids: impl Iterator<Item = &'i VectorId>) -> ByIds {
        let in_tail = ids.filter_map(|id| Some((id.clone(), self.tail.place(id.as_str())?))).collect();
        ByIds { snapshot, in_tail }
    }
}

impl ByIds {
    /// The visible row of one of the ids.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`]
    pub fn find(&self, id: &VectorId, now: Timestamp) -> Result<Option<RowRef<'_>>> {
        let row = match self.in_tail.get(id) {
            Some((chunk, row)) => Some(of_chunk(&self.snapshot.chunks[*chunk], *row)),
            None => in_segments(&self.snapshot.segments, id.as_str())?,
        };
        Ok(row.filter(|row| row.expires_at.is_none_or(|at| at > now)))
    }
}
