//! What writes with conditions must have done, as the rows right before their changes say: the naive model.

use super::{
    condition::Condition,
    history::{Contents, Record, Reply, Request},
    timeline::{Applied, Place, Step, Timeline, What},
};

/// Those of the ids for whose rows a condition holds.
pub fn admitted(ids: &[u8], condition: Condition, rows: &Contents) -> Vec<u8> {
    let admits = |id: &&u8| condition.admits(rows.get(id).map(|cell| cell.value));
    ids.iter().filter(admits).copied().collect()
}

/// Those of all rows after an id for which a condition holds.
fn selected(condition: Condition, rows: &Contents, after: Option<u8>) -> Vec<u8> {
    let rest = rows.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
    let selected = rest.filter(|(_, cell)| condition.selects(Some(cell.value)));
    selected.map(|(id, _)| *id).collect()
}

/// How many changes a write made at its place, and how many rows they met: exactly those that it should.
pub fn effect(timeline: &Timeline, place: Place, request: &Request) -> Result<(u64, u64), String> {
    let changes = &timeline.steps[place.step].changes;
    let (first, expected, extra) = match request {
        Request::Upsert { ids, .. } => (place.first, ids.clone(), 0),
        Request::UpsertIf { ids, condition, .. } => {
            (place.first, admitted(ids, *condition, &changes[place.first].before), 0)
        }
        Request::Delete { ids, .. } => {
            let first = place.first.checked_sub(ids.len()).ok_or("a delete lacks some of its rows")?;
            (first, ids.clone(), 1)
        }
        other => return Err(format!("{other:?} leaves no mark")),
    };
    let of_request = &changes[first..place.first + place.count];
    let made: Vec<u8> = of_request.iter().filter_map(row_of).collect();
    if made != expected {
        return Err(format!("the log has changes of {made:?} for it at {place:?}, not of {expected:?}"));
    }
    let found =
        of_request.iter().filter(|change| row_of(change).is_some_and(|row| change.before.contains_key(&row)));
    Ok((made.len() as u64 + extra, found.count() as u64))
}

fn row_of(change: &Applied) -> Option<u8> {
    match change.what {
        What::Put(row, _) | What::Gone(row) => Some(row),
        What::Marker | What::Clear => None,
    }
}

/// The step of a write, if these are the rows that it wrote.
pub fn wrote(timeline: &Timeline, place: Place, ids: &[u8]) -> Result<usize, String> {
    let changes = timeline.steps[place.step].changes[place.first..].iter().take(place.count);
    match changes.filter_map(row_of).eq(ids.iter().copied()) {
        true => Ok(place.step),
        false => Err("it wrote other rows".into()),
    }
}

/// Whether a delete of rows for which a condition holds fits a step.
pub fn spares(step: &Step, ids: &[u8], condition: Condition, deleted: u64, skipped: &[u8]) -> bool {
    step.stages().any(|(rows, rest)| {
        let there = ids.iter().filter(|id| rows.contains_key(id)).copied();
        let (gone, spared): (Vec<u8>, Vec<u8>) =
            there.partition(|id| condition.selects(rows.get(id).map(|cell| cell.value)));
        gone.len() as u64 == deleted
            && spared == skipped
            && gone.len() <= rest.len()
            && gone.iter().zip(rest).all(|(id, change)| change.what == What::Gone(*id))
    })
}

/// Whether a request may have deleted a row with this value, without leaving a mark.
pub fn may_delete(record: &Record, row: u8, value: Option<u32>) -> bool {
    let done = match record.reply {
        Reply::Unknown(_) => true,
        Reply::Spared { deleted, .. } => deleted > 0,
        Reply::Changed { changed, .. } => changed > 0,
        _ => false,
    };
    done && match &record.request {
        Request::DeleteIf { ids, condition } => ids.contains(&row) && condition.selects(value),
        Request::DeleteMatching { condition } => condition.selects(value),
        _ => false,
    }
}

/// How a change of all rows for which a condition holds came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// No row is left after the last one.
    All,
    /// It looked at rows up to this one.
    At(u8),
    /// Nobody knows.
    Open,
}

impl End {
    pub fn of(next: Option<u8>) -> Self {
        next.map_or(Self::All, Self::At)
    }
}

/// A change of all rows for which a condition holds: each of its entries changes those that matched right
/// before it, from where the last one ended, in the order of ids.
pub struct Parts<'a> {
    pub steps: &'a [Step],
    pub condition: Condition,
    /// The value that rows get; they are deleted if it is missing.
    pub value: Option<u32>,
    pub end: End,
}

impl Parts<'_> {
    /// The last step of it, if there are steps from this one on that change so many rows after this id.
    pub fn last(&self, from: usize, after: Option<u8>, left: u64) -> Option<usize> {
        if left == 0 {
            return self.ended(from, after);
        }
        (from..self.steps.len()).find_map(|at| {
            let part = self.part(&self.steps[at], after).filter(|part| part.len() as u64 <= left)?;
            self.last(at, part.last().copied(), left - part.len() as u64)
        })
    }

    /// The rows that a step changes, if it is a part.
    fn part(&self, step: &Step, after: Option<u8>) -> Option<Vec<u8>> {
        let rows = &step.changes.first()?.before;
        let part: Option<Vec<u8>> = step.changes.iter().map(|change| self.changed(rows, change)).collect();
        part.filter(|part| selected(self.condition, rows, after).starts_with(part))
    }

    fn changed(&self, rows: &Contents, change: &Applied) -> Option<u8> {
        match (change.what, self.value) {
            (What::Put(row, cell), Some(value)) => (cell.value == value
                && Some(cell.vector) == rows.get(&row).map(|before| before.vector))
            .then_some(row),
            (What::Gone(row), None) => Some(row),
            _ => None,
        }
    }

    fn ended(&self, from: usize, after: Option<u8>) -> Option<usize> {
        let is_done = |rows: &Contents| selected(self.condition, rows, after).is_empty();
        match self.end {
            End::Open => Some(from),
            End::At(next) => (after == Some(next)).then_some(from),
            End::All => {
                (from..self.steps.len()).find(|at| self.steps[*at].contents.as_ref().is_some_and(is_done))
            }
        }
    }
}
