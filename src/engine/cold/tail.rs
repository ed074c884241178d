//! The log after the fold, read without the segments that it is about.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    clock::Timestamp,
    engine::{
        contents::Snapshot,
        context::Context,
        format::{Change, Entry},
        namespace::{Ahead, Base, Following, State},
        segment::SegmentView,
    },
    error::{Error, Result},
    types::{NamespaceName, VectorId},
};

/// What the log after a fold says.
#[derive(Debug)]
pub struct Tail {
    /// Its rows, and those of the segments that are here.
    pub snapshot: Arc<Snapshot>,
    /// The ids that it wrote or removed: of these, rows of segments are dead.
    pub touched: HashSet<VectorId>,
    /// Whether it removed all rows of segments.
    pub cleared: bool,
    /// When its newest entry was committed; rows that had expired by then are dropped.
    pub purged_at: Option<Timestamp>,
}

impl Tail {
    /// Reads the log to its end, over the segments that are here. None if it has to be read with the
    /// protocol of a loaded namespace: it has ended, is damaged, or was folded meanwhile.
    pub async fn read(
        context: &Context,
        name: &NamespaceName,
        base: &Base,
        views: Vec<SegmentView>,
        ahead: Ahead,
    ) -> Result<Option<Self>> {
        let Base { manifest, tag, read_at } = base.clone();
        let following = Following { context, name, incarnation: manifest.incarnation };
        let mut state = State::new(manifest, tag, views, read_at);
        state.keep_entries();
        let state = RwLock::new(state);
        let read = async {
            let stopped = following.read_on(&state, ahead).await?;
            following.confirm_if_stale(&state).await?;
            Ok(stopped)
        };
        let stopped = match read.await {
            Err(Error::Corrupt { .. }) => return Ok(None),
            read => read?,
        };
        let mut state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if state.has_ended() || state.behind || !stopped.is_answer_for(&state) {
            return Ok(None);
        }
        let entries = state.take_kept();
        let mut tail = Self {
            snapshot: state.contents.snapshot(),
            touched: HashSet::new(),
            cleared: false,
            purged_at: entries.iter().map(|entry| entry.header.committed_at).max(),
        };
        entries.iter().for_each(|entry| tail.take_note(entry));
        Ok(Some(tail))
    }

    fn take_note(&mut self, entry: &Entry) {
        for (kind, id) in entry.changes.kinds.iter().zip(&entry.changes.ids) {
            match kind {
                Change::Upsert | Change::UpsertWithoutVector | Change::Delete => {
                    _ = self.touched.insert(id.clone());
                }
                Change::Clear => self.cleared = true,
            }
        }
    }

    /// Whether the log wrote or removed an id.
    pub fn has_touched(&self, id: &str) -> bool {
        !self.touched.is_empty() && self.touched.contains(id)
    }
}
