//! Writes that depend on what is stored under their ids.
//!
//! What a condition says is asked of the state before the entry, as the writes before it in the same entry leave
//! it. The entry itself holds plain upserts and deletes, so that nobody has to evaluate anything to read the log.
//!
//! Invariant: a decision counts only in the entry right after the state that it was made on; [`Decided`] names
//! that state by the hash of its newest entry.

use std::{collections::HashMap, sync::Arc};

use super::{
    Namespace,
    queue::{Pending, Write},
    state::State,
};
use crate::{
    clock::Timestamp,
    engine::{
        Precondition,
        contents::ByIds,
        format::{Changes, Hash},
    },
    error::{Error, Result},
    planted::{Bug, planted},
    types::{Rows, VectorId},
};

/// What is read of a row to decide whether a condition holds for it, roughly.
pub(super) const METADATA_BYTES: u64 = 1024;

/// What a write does on a state that it depends on.
#[derive(Debug)]
pub(in crate::engine) struct Decided {
    /// The newest entry of that state.
    on: Hash,
    changes: Changes,
    /// How many changes these are, also once they were taken.
    pub(super) count: usize,
    /// What is left out.
    pub(super) report: Report,
}

/// What a write left out.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Report {
    /// Ids for which its condition does not hold.
    pub skipped: Vec<VectorId>,
    /// Rows that match its filter.
    pub matched: u64,
    /// Rows whose metadata was read to decide which these are.
    pub read: u64,
    /// How many of these could not be changed.
    pub refused: u64,
    /// The first of them, with what is wrong.
    pub errors: Vec<(VectorId, Error)>,
    /// The last id that was looked at, if rows after it may match, too.
    pub last: Option<VectorId>,
}

impl Decided {
    /// On the state whose newest entry has this hash.
    pub fn new(on: Hash, changes: Changes, report: Report) -> Self {
        Self { on, count: changes.len(), changes, report }
    }

    /// The changes, for the entry.
    pub fn take(&mut self) -> Changes {
        if planted(Bug::DecidedOnOlderState) {
            return self.changes.clone();
        }
        std::mem::take(&mut self.changes)
    }
}

impl Pending {
    /// Whether what it does was decided on this state, or does not depend on it.
    pub(super) fn is_of(&self, state: &State) -> bool {
        self.decided.as_ref().is_none_or(|decided| decided.on == state.hash)
    }

    /// Whether it was decided that it changes nothing.
    pub(super) fn does_nothing(&self) -> bool {
        self.decided.as_ref().is_some_and(|decided| decided.count == 0)
    }
}

/// The metadata of a row that is there.
type Stored = Option<Arc<str>>;

/// A state with the writes of a group so far. Nothing is locked while it is there: it holds what it needs.
pub(super) struct Stage {
    /// The newest entry of the state.
    on: Hash,
    now: Timestamp,
    dimension: Option<usize>,
    /// The rows that conditions ask for; without conditions it does not matter what is written.
    stored: Option<ByIds>,
    /// What the group so far leaves of the rows that it writes.
    written: HashMap<VectorId, Option<Stored>>,
    cleared: bool,
}

impl Namespace {
    /// The present state before the first write of a group.
    ///
    /// # Errors
    /// If nothing can be written to it.
    pub(super) fn stage(&self, group: &[Pending], now: Timestamp) -> Result<Stage> {
        let stage = |state: &State, stored| {
            let (on, dimension, written) = (state.hash, state.dimension, HashMap::new());
            Stage { on, now, dimension, stored, written, cleared: false }
        };
        if asked(group).next().is_none() {
            let state = self.state();
            return self.check_writable(&state).map(|()| stage(&state, None));
        }
        let (state, snapshot) = self.state_and_snapshot();
        self.check_writable(&state)?;
        let stored = state.contents.by_ids(snapshot, asked(group));
        Ok(stage(&state, Some(stored)))
    }

    fn check_writable(&self, state: &State) -> Result<()> {
        if state.has_ended() && !planted(Bug::WritesAfterSeal) {
            return Err(self.not_found());
        }
        state.fault.as_ref().map_or(Ok(()), |fault| Err(self.read_only(fault)))
    }

    fn read_only(&self, fault: &Error) -> Error {
        Error::ReadOnly { namespace: self.name.to_string(), reason: fault.to_string() }
    }
}

/// The ids for which a group has conditions.
pub(super) fn asked(group: &[Pending]) -> impl Iterator<Item = &VectorId> {
    group.iter().flat_map(|pending| match &pending.write {
        Write::UpsertIf(rows, _) => &*rows.ids,
        Write::DeleteIf(ids, _) => ids,
        Write::Upsert(_) | Write::Delete(_) | Write::Clear | Write::Seal => &[],
        Write::Matching(_) | Write::Documents(_) => &[],
    })
}

impl Stage {
    /// The hash of the newest entry of the state.
    pub fn on(&self) -> Hash {
        self.on
    }

    /// Refuses the requests that cannot be committed, and gives back the others.
    pub fn admit_all(mut self, group: Vec<Pending>) -> Vec<Pending> {
        let mut admitted = Vec::with_capacity(group.len());
        for mut pending in group {
            match self.admit(&mut pending) {
                Ok(()) => admitted.push(pending),
                Err(error) => pending.answer(Err(error)),
            }
        }
        admitted
    }

    /// Adds the next write, if it fits the namespace, and decides it, if it has a condition.
    fn admit(&mut self, pending: &mut Pending) -> Result<()> {
        if planted(Bug::DecidedOnOlderState) && pending.decided.is_some() {
            return Ok(());
        }
        let decided = match &pending.write {
            Write::Upsert(rows) => {
                self.upsert(rows)?;
                None
            }
            Write::Delete(ids) => {
                self.delete(ids.iter());
                None
            }
            Write::Clear => {
                self.written.clear();
                self.cleared = true;
                None
            }
            Write::UpsertIf(rows, condition) => Some(self.upsert_if(rows, condition)?),
            Write::DeleteIf(ids, condition) => Some(self.delete_if(ids, condition)?),
            // These are decided next, away from the state.
            Write::Matching(_) | Write::Documents(_) | Write::Seal => None,
        };
        pending.decided = decided;
        Ok(())
    }

    /// The first upsert fixes the dimension for those after it.
    fn upsert(&mut self, rows: &Rows) -> Result<()> {
        self.check_dimension(rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.dimension = Some(rows.dimension).filter(|fixed| *fixed != 0).or(self.dimension);
        if self.stored.is_some() {
            let written = rows.ids.iter().zip(&rows.metadata);
            self.written.extend(written.map(|(id, metadata)| (id.clone(), Some(metadata.clone()))));
        }
        Ok(())
    }

    fn check_dimension(&self, rows: &Rows) -> Result<()> {
        match self.dimension {
            Some(expected) if expected != rows.dimension && rows.dimension != 0 => {
                Err(Error::DimensionMismatch { field: "vectors".into(), expected, actual: rows.dimension })
            }
            _ => Ok(()),
        }
    }

    fn delete<'i>(&mut self, ids: impl Iterator<Item = &'i VectorId>) {
        if self.stored.is_some() {
            self.written.extend(ids.map(|id| (id.clone(), None)));
        }
    }

    fn upsert_if(&mut self, rows: &Rows, condition: &Precondition) -> Result<Decided> {
        self.check_dimension(rows)?;
        let (mut kept, mut skipped) = (Vec::with_capacity(rows.len()), Vec::new());
        for (row, id) in rows.ids.iter().enumerate() {
            match condition.admits(self.row(id)?.as_ref().map(Option::as_deref)) {
                true => kept.push(row),
                false => skipped.push(id.clone()),
            }
        }
        let some;
        let rows = if skipped.is_empty() {
            rows
        } else {
            some = rows.only(&kept);
            &some
        };
        self.upsert(rows)?;
        let mut changes = Changes::default();
        changes.upsert(rows, self.now);
        Ok(self.decided(changes, skipped))
    }

    fn delete_if(&mut self, ids: &[VectorId], condition: &Precondition) -> Result<Decided> {
        let (mut changes, mut skipped) = (Changes::default(), Vec::new());
        for id in ids {
            match self.row(id)? {
                None => {}
                Some(stored) if condition.admits(Some(stored.as_deref())) => {
                    changes.delete(std::slice::from_ref(id));
                }
                Some(_) => skipped.push(id.clone()),
            }
        }
        // Not before all are decided: what is refused leaves nothing that later requests would see.
        self.delete(changes.ids.iter());
        Ok(self.decided(changes, skipped))
    }

    fn decided(&self, changes: Changes, skipped: Vec<VectorId>) -> Decided {
        Decided::new(self.on, changes, Report { skipped, ..Report::default() })
    }

    /// The row under an id after the writes so far.
    fn row(&self, id: &VectorId) -> Result<Option<Stored>> {
        if let Some(written) = self.written.get(id) {
            return Ok(written.clone());
        }
        let Some(stored) = self.stored.as_ref().filter(|_| !self.cleared) else {
            return Ok(None);
        };
        let row = stored.find(id, self.now)?;
        Ok(row.map(|row| row.metadata.map(Arc::from)))
    }
}
