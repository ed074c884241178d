//! Linearizability of each row by itself, from nothing but what clients were told: a search for an
//! order of the requests that explains all answers (Wing and Gong, with Lowe's memory of dead ends).
//!
//! It knows nothing of logs, so it does not believe what the log says either.

use std::collections::HashSet;

use super::{
    condition::Condition,
    history::{Freshness, Record, Reply, Request},
};

/// Dead ends after which a search gives up: where there is no order, there may be too many to visit. What it
/// leaves open, the log's witness has judged.
const ENOUGH: usize = 1 << 17;

/// What a request does to one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Write(Option<u32>),
    Read(Option<u32>),
    /// Writes if a condition holds, and says whether it did.
    Decide {
        condition: Condition,
        /// Whether it holds for rows only.
        selects: bool,
        then: Option<u32>,
        told: Option<bool>,
    },
}

impl Action {
    /// The value of the row after it, if the row can have this value before.
    fn after(self, value: Option<u32>) -> Option<Option<u32>> {
        match self {
            Self::Write(written) => Some(written),
            Self::Read(seen) => (seen == value).then_some(value),
            Self::Decide { condition, selects, then, told } => {
                let holds = condition.admits(value) && (!selects || value.is_some());
                let fits = told.is_none_or(|told| told == holds);
                fits.then_some(if holds { then } else { value })
            }
        }
    }

    /// The value that it may write.
    fn written(self) -> Option<u32> {
        match self {
            Self::Write(value) | Self::Decide { then: value, .. } => value,
            Self::Read(_) => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Call {
    action: Action,
    invoked: u64,
    /// `u64::MAX` for a write of which nobody knows whether or when it happens.
    replied: u64,
}

/// The rows for which there is no such order.
pub fn disordered(records: &[Record], ids: u8) -> Vec<String> {
    let disordered = |id: &u8| !is_linearizable(&calls(records, *id));
    (0..ids).filter(disordered).map(|id| format!("no order of requests explains row {id}")).collect()
}

/// The requests that concern a row. A write of unknown outcome whose value nobody met may as well
/// not have happened.
fn calls(records: &[Record], id: u8) -> Vec<Call> {
    let mut calls: Vec<Call> = records.iter().filter_map(|record| call(record, id)).collect();
    let read: HashSet<Action> = calls.iter().map(|call| call.action).collect();
    let decides = |call: &Call| matches!(call.action, Action::Decide { .. }) && call.replied != u64::MAX;
    let is_asked = calls.iter().any(decides);
    calls.retain(|call| match call.action.written() {
        Some(value) => call.replied != u64::MAX || is_asked || read.contains(&Action::Read(Some(value))),
        None => true,
    });
    calls.sort_by_key(|call| call.invoked);
    calls
}

fn call(record: &Record, id: u8) -> Option<Call> {
    let action = action(record, id)?;
    let replied = if record.reply.is_answer() { record.replied.tick } else { u64::MAX };
    Some(Call { action, invoked: record.invoked.tick, replied })
}

fn action(record: &Record, id: u8) -> Option<Action> {
    let reply = &record.reply;
    let concerns = match &record.request {
        Request::Upsert { ids, .. }
        | Request::Documents { ids, .. }
        | Request::UpsertIf { ids, .. }
        | Request::Delete { ids, .. }
        | Request::DeleteIf { ids, .. }
        | Request::Fetch { ids, freshness: Freshness::Strong } => ids.contains(&id),
        Request::UpdateMatching { .. }
        | Request::DeleteMatching { .. }
        | Request::Clear
        | Request::Drop
        | Request::Page => true,
        _ => false,
    };
    if !concerns {
        return None;
    }
    let decide = |condition: Condition, then: Option<u32>, told: Option<bool>| Action::Decide {
        condition,
        selects: !matches!(record.request, Request::UpsertIf { .. }),
        then,
        told,
    };
    Some(match (&record.request, reply) {
        (Request::Upsert { value, .. } | Request::Documents { value, .. }, reply) if writes(reply) => {
            Action::Write(Some(*value))
        }
        (Request::UpsertIf { value, condition, .. }, Reply::Admitted { ids, .. }) => {
            decide(*condition, Some(*value), Some(ids.contains(&id)))
        }
        (
            Request::UpsertIf { value, condition, .. } | Request::UpdateMatching { value, condition },
            Reply::Unknown(_),
        ) => decide(*condition, Some(*value), None),
        (Request::DeleteIf { condition, .. } | Request::DeleteMatching { condition }, Reply::Unknown(_)) => {
            decide(*condition, None, None)
        }
        (Request::DeleteIf { ids, condition }, Reply::Spared { deleted, skipped }) => {
            let others = (ids.len() - skipped.len()) as u64;
            match (skipped.contains(&id), *deleted) {
                (true, _) => decide(*condition, None, Some(false)),
                (false, 0) => Action::Read(None),
                (false, deleted) => decide(*condition, None, (deleted == others).then_some(true)),
            }
        }
        (Request::UpdateMatching { condition, value }, Reply::Changed { next, .. }) if reached(*next, id) => {
            decide(*condition, Some(*value), None)
        }
        (Request::DeleteMatching { condition }, Reply::Changed { next, .. }) if reached(*next, id) => {
            decide(*condition, None, None)
        }
        (Request::Delete { .. } | Request::Clear | Request::Drop, reply) if writes(reply) => {
            Action::Write(None)
        }
        (Request::Page | Request::Fetch { .. }, Reply::Rows(rows)) => {
            Action::Read(rows.get(&id).map(|cell| cell.value))
        }
        (Request::Page | Request::Fetch { .. }, Reply::NotFound) => Action::Read(None),
        _ => return None,
    })
}

/// Whether a change of all rows for which a condition holds looked at this one.
fn reached(next: Option<u8>, id: u8) -> bool {
    next.is_none_or(|next| id <= next)
}

fn writes(reply: &Reply) -> bool {
    matches!(reply, Reply::Written { .. } | Reply::Done | Reply::Unknown(_))
}

/// Calls in the order of their invocation.
fn is_linearizable(calls: &[Call]) -> bool {
    let mut search = Search { calls, taken: vec![0; calls.len().div_ceil(64)], dead_ends: HashSet::new() };
    search.explains(None)
}

struct Search<'a> {
    calls: &'a [Call],
    /// One bit for each call that has been put in order.
    taken: Vec<u64>,
    dead_ends: HashSet<(Vec<u64>, Option<u32>)>,
}

impl Search<'_> {
    /// Whether the calls that are left can follow, if the row has this value.
    fn explains(&mut self, value: Option<u32>) -> bool {
        let open = |search: &Self, index: usize| search.taken[index / 64] >> (index % 64) & 1 == 0;
        let left: Vec<usize> = (0..self.calls.len()).filter(|index| open(self, *index)).collect();
        let first_reply = left.iter().map(|index| self.calls[*index].replied).min().unwrap_or(u64::MAX);
        if first_reply == u64::MAX {
            return true;
        }
        if !self.dead_ends.insert((self.taken.clone(), value)) {
            return false;
        }
        if self.dead_ends.len() > ENOUGH {
            return true;
        }
        for index in left {
            let Call { action, invoked, .. } = self.calls[index];
            let Some(next) = action.after(value) else { continue };
            if invoked > first_reply {
                break;
            }
            self.taken[index / 64] |= 1 << (index % 64);
            if self.explains(next) {
                return true;
            }
            self.taken[index / 64] &= !(1 << (index % 64));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: u32, invoked: u64, replied: u64) -> Call {
        Call { action: Action::Write(Some(value)), invoked, replied }
    }

    fn read(value: Option<u32>, invoked: u64, replied: u64) -> Call {
        Call { action: Action::Read(value), invoked, replied }
    }

    #[test]
    fn orders_are_found_and_their_lack_is_noticed() {
        assert!(is_linearizable(&[write(1, 0, 1), read(Some(1), 2, 3)]));
        assert!(!is_linearizable(&[write(1, 0, 1), read(None, 2, 3)]), "a stale read");
        assert!(is_linearizable(&[write(1, 0, 9), read(None, 1, 2), read(Some(1), 3, 4)]));
        assert!(!is_linearizable(&[write(1, 0, 9), read(Some(1), 1, 2), read(None, 3, 4)]), "back in time");
        assert!(is_linearizable(&[write(1, 0, u64::MAX), read(None, 1, 2), read(Some(1), 8, 9)]), "late");
        assert!(!is_linearizable(&[read(Some(7), 1, 2)]), "a value from nowhere");
        assert!(!is_linearizable(&[read(Some(1), 0, 1), write(1, 2, 3)]), "before it was written");
    }

    fn swap(from: u32, to: u32, told: bool, invoked: u64, replied: u64) -> Call {
        let condition = Condition::Value(from);
        let action = Action::Decide { condition, selects: false, then: Some(to), told: Some(told) };
        Call { action, invoked, replied }
    }

    #[test]
    fn a_condition_holds_for_what_is_there() {
        assert!(is_linearizable(&[write(1, 0, 1), swap(1, 2, true, 2, 3), read(Some(2), 4, 5)]));
        assert!(is_linearizable(&[write(1, 0, 1), swap(2, 3, false, 2, 3), read(Some(1), 4, 5)]));
        assert!(!is_linearizable(&[write(1, 0, 1), swap(1, 2, false, 2, 3)]), "skipped, though it holds");
        assert!(!is_linearizable(&[write(1, 0, 1), swap(1, 2, true, 2, 5), swap(1, 3, true, 2, 5)]), "twice");
        assert!(is_linearizable(&[write(1, 0, 1), write(2, 2, u64::MAX), swap(2, 3, true, 2, 5)]), "late");
    }
}
