//! What clients asked, what they were told, and when.

use std::{collections::BTreeMap, fmt};

use quiver::error::Error;

use super::condition::Condition;

/// A moment: true milliseconds, and a number that orders all events of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    pub tick: u64,
    pub millis: u64,
}

/// What a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The value in its metadata: that of the write that it is from.
    pub value: u32,
    /// The value in its vector, if it has one; changes of metadata leave it as it is.
    pub vector: Option<u32>,
}

/// The rows of a namespace, or of a part of it.
pub type Contents = BTreeMap<u8, Cell>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    Strong,
    Eventual,
}

/// A request. Every upsert has a value and every delete a marker of its own, by which they are found
/// again in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Upsert {
        ids: Vec<u8>,
        value: u32,
        dimension: usize,
    },
    /// An upsert of those rows for which a condition holds.
    UpsertIf {
        ids: Vec<u8>,
        value: u32,
        condition: Condition,
    },
    Delete {
        ids: Vec<u8>,
        marker: u32,
    },
    /// A delete of those rows for which a condition holds.
    DeleteIf {
        ids: Vec<u8>,
        condition: Condition,
    },
    /// Another value for all rows for which a condition holds.
    UpdateMatching {
        condition: Condition,
        value: u32,
    },
    /// A delete of all rows for which a condition holds.
    DeleteMatching {
        condition: Condition,
    },
    Clear,
    Fetch {
        ids: Vec<u8>,
        freshness: Freshness,
    },
    Page,
    /// How many rows there are, or for how many a condition holds.
    Count {
        condition: Option<Condition>,
        freshness: Freshness,
    },
    Describe,
    Compact,
    /// Garbage collection, of the whole store.
    Collect,
    Create,
    Drop,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A write is done: changes made, and rows that they met.
    Written {
        changes: u64,
        found: u64,
    },
    /// These ids were written, and so many of them were there; for the others the condition did not hold.
    Admitted {
        ids: Vec<u8>,
        found: u64,
    },
    /// So many rows were deleted; these are there and the condition did not hold for them.
    Spared {
        deleted: u64,
        skipped: Vec<u8>,
    },
    /// So many rows were changed, up to this id if not all were looked at.
    Changed {
        changed: u64,
        next: Option<u8>,
    },
    /// A namespace was created, or was there.
    Created(bool),
    /// Anything else is done.
    Done,
    Rows(Contents),
    Count(u64),
    Described {
        count: u64,
        head: u64,
        folded: u64,
    },
    /// There is no such namespace.
    NotFound,
    /// Nothing was done.
    Refused(String),
    /// Nobody knows; also for a client that went away, or whose node crashed.
    Unknown(String),
    /// What must not be said when nothing is damaged.
    Wrong(String),
}

impl Reply {
    /// What an error says.
    pub fn of(error: &Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NamespaceNotFound { .. } => Self::NotFound,
            Error::OutcomeUnknown { .. } => Self::Unknown(text),
            Error::Unavailable { .. }
            | Error::StoreRefused { .. }
            | Error::Overloaded { .. }
            | Error::NamespaceExists { .. }
            | Error::DimensionMismatch { .. } => Self::Refused(text),
            _ => Self::Wrong(text),
        }
    }

    /// Whether the request is known to have been done.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Unknown(_) | Self::Wrong(_))
    }
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub client: usize,
    pub node: usize,
    pub request: Request,
    pub invoked: Moment,
    pub replied: Moment,
    pub reply: Reply,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, node, request, invoked, replied, reply } = self;
        let (from, to) = (invoked.millis, replied.millis);
        let (first, last) = (invoked.tick, replied.tick);
        write!(
            f,
            "{from:>8}–{to:<8} ms  [{first}, {last}]  client {client} on node {node}: {request:?} -> {reply:?}"
        )
    }
}
