//! Linearizability of each row by itself, from nothing but what clients were told: a search for an
//! order of the requests that explains all answers (Wing and Gong, with Lowe's memory of dead ends).
//!
//! It knows nothing of logs, so it does not believe what the log says either.

use std::collections::HashSet;

use super::history::{Freshness, Record, Reply, Request};

/// What a request does to one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Write(Option<u32>),
    Read(Option<u32>),
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

/// The requests that concern a row. A write of unknown outcome whose value nobody read may as well
/// not have happened.
fn calls(records: &[Record], id: u8) -> Vec<Call> {
    let mut calls: Vec<Call> = records.iter().filter_map(|record| call(record, id)).collect();
    let read: HashSet<Action> = calls.iter().map(|call| call.action).collect();
    calls.retain(|call| match call.action {
        Action::Write(Some(value)) => call.replied != u64::MAX || read.contains(&Action::Read(Some(value))),
        _ => true,
    });
    calls.sort_by_key(|call| call.invoked);
    calls
}

fn call(record: &Record, id: u8) -> Option<Call> {
    let action = match (&record.request, &record.reply) {
        (Request::Upsert { ids, value, .. }, reply) if ids.contains(&id) && writes(reply) => {
            Action::Write(Some(*value))
        }
        (Request::Insert { value, .. }, Reply::Inserted(ids)) if ids.contains(&id) => {
            Action::Write(Some(*value))
        }
        (Request::Insert { ids, value }, reply) if ids.contains(&id) && writes(reply) => {
            Action::Write(Some(*value))
        }
        (Request::Delete { ids, .. }, reply) if ids.contains(&id) && writes(reply) => Action::Write(None),
        (Request::Clear | Request::Drop, reply) if writes(reply) => Action::Write(None),
        (Request::Fetch { ids, freshness: Freshness::Strong }, Reply::Rows(rows)) if ids.contains(&id) => {
            Action::Read(rows.get(&id).copied())
        }
        (Request::Page, Reply::Rows(rows)) => Action::Read(rows.get(&id).copied()),
        (Request::Page | Request::Fetch { freshness: Freshness::Strong, .. }, Reply::NotFound) => {
            Action::Read(None)
        }
        _ => return None,
    };
    let replied = if record.reply.is_answer() { record.replied.tick } else { u64::MAX };
    Some(Call { action, invoked: record.invoked.tick, replied })
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
        for index in left {
            let Call { action, invoked, .. } = self.calls[index];
            let next = match action {
                Action::Write(written) => written,
                Action::Read(seen) if seen == value => value,
                Action::Read(_) => continue,
            };
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
}
