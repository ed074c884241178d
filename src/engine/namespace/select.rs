//! Writes to the rows that match a filter: which these are is decided on exactly the entries before the one
//! that changes them, and again when that place goes to another writer.
//!
//! Invariant: an entry changes all rows that matched as of the entry before it, of those after an id as many
//! as it may hold, and no others.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Namespace,
    decide::{Decided, METADATA_BYTES, Report},
    queue::{Pending, Write},
};
use crate::{
    clock::Timestamp,
    engine::{
        contents::{Known, Matches, Snapshot},
        context::offload,
        format::{Change, Changes},
        segment::RowRef,
    },
    error::Result,
    types::{Filter, VectorId},
};

/// Rows that an entry changes at most.
const MAX_ROWS: u64 = 100_000;
/// Rows that could not be changed of which it is told why.
pub(in crate::engine) const SHOWN: usize = 100;
/// The new metadata of a row, from what it has; none if that is the same.
pub(in crate::engine) type Edit = dyn Fn(Option<&str>) -> Result<Option<Arc<str>>> + Send + Sync;

/// What is done to rows that match.
#[derive(Clone)]
pub(in crate::engine) enum RowChange {
    /// They are deleted.
    Delete,
    /// They get other metadata, and keep their vectors and the times at which they expire.
    Edit(Arc<Edit>),
}

impl fmt::Debug for RowChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "Delete",
            Self::Edit(_) => "Edit",
        })
    }
}

/// The rows that a write changes.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Selection {
    /// Which.
    pub filter: Arc<Filter>,
    /// Only those with a greater id.
    pub after: Option<VectorId>,
    /// How many of these at most.
    pub limit: u64,
    /// How.
    pub change: RowChange,
    /// What was found out before about the rows that match.
    pub known: Progress,
}

/// Which rows were known to match at the newest part of a change, shared by all of its parts, so that each looks
/// only at rows that were written since.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Progress(Arc<Mutex<Arc<Known>>>);

impl Namespace {
    /// Decides which rows a write by filter changes; it is alone in its group.
    pub(super) async fn select(&self, mut group: Vec<Pending>, now: Timestamp) -> Vec<Pending> {
        let Some(Write::Matching(selection)) = group.first().map(|pending| &pending.write) else {
            return group;
        };
        match self.selected(selection.clone(), now).await {
            Ok(decided) => {
                if let Some(pending) = group.first_mut() {
                    pending.decided = Some(decided);
                }
                group
            }
            Err(error) => {
                group.into_iter().for_each(|pending| pending.answer(Err(error.clone())));
                Vec::new()
            }
        }
    }

    async fn selected(&self, selection: Arc<Selection>, now: Timestamp) -> Result<Decided> {
        let (snapshot, on) = {
            let (state, snapshot) = self.state_and_snapshot();
            (snapshot, state.hash)
        };
        let (filter, known) = (selection.filter.clone(), selection.known.newest());
        let matches = self.context.searchers.matches_rest(snapshot.clone(), filter, now, known).await?;
        selection.known.set(matches.known(&snapshot, now));
        let max = self.context.log.entry_bytes.as_u64();
        let bytes = matches.count().min(MAX_ROWS).saturating_mul(METADATA_BYTES);
        let changes = move || changes(&snapshot, &matches, &selection, max);
        let (changes, report) = offload(bytes, changes).await??;
        Ok(Decided::new(on, changes, report))
    }
}

impl Progress {
    fn newest(&self) -> Arc<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, known: Known) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }
}

/// The changes of the next entry, of about `max` bytes.
fn changes(
    snapshot: &Snapshot,
    matches: &Matches,
    selection: &Selection,
    max: u64,
) -> Result<(Changes, Report)> {
    let limit = selection.limit.min(MAX_ROWS);
    let (mut changes, mut bytes) = (Changes::default(), 0);
    let mut report = Report { read: matches.read(), ..Report::default() };
    let mut last = None;
    for row in snapshot.matching_after(matches, selection.after.as_ref().map(VectorId::as_str))? {
        if bytes >= max || report.matched >= limit {
            report.last = last;
            break;
        }
        let (row, before) = (row?, changes.len());
        let id = VectorId::trusted(row.id);
        last = Some(id.clone());
        report.matched += 1;
        change(&selection.change, id, &row, &mut changes, &mut report);
        if changes.len() > before {
            bytes += bytes_of_last(&changes, &row);
        }
    }
    Ok((changes, report))
}

fn change(how: &RowChange, id: VectorId, row: &RowRef<'_>, changes: &mut Changes, report: &mut Report) {
    match how {
        RowChange::Delete => changes.delete(&[id]),
        RowChange::Edit(edit) => match edit(row.metadata) {
            Ok(Some(metadata)) => changes.put(id, row.vector, Some(metadata), row.expires_at),
            Ok(None) => {}
            Err(error) => {
                report.refused += 1;
                if report.errors.len() < SHOWN {
                    report.errors.push((id, error));
                }
            }
        },
    }
}

/// Roughly what the last change, which is that of a row, takes in an entry.
fn bytes_of_last(changes: &Changes, row: &RowRef<'_>) -> u64 {
    let vector = if changes.kinds.last() == Some(&Change::Upsert) { size_of_val(row.vector) } else { 0 };
    let metadata = changes.metadata.last().and_then(Option::as_deref).map_or(0, str::len);
    (row.id.len() + 16 + vector + metadata) as u64
}
