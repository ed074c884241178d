//! What callers of the engine say and hear.

use std::{fmt, sync::Arc};

pub use super::query::Accuracy;
use super::{grouped::Grouping, query::Work};
use crate::{
    clock::Timestamp,
    error::Result,
    types::{Distance, Filter, IndexType, NamespaceName, Row, VectorId, rank_by::OrderBy},
};

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Every write acknowledged anywhere before the read began is seen.
    #[default]
    Strong,
    /// What this node knows, if it was the newest at most [`Consistency::EVENTUAL`] ago.
    Eventual,
    /// What this node knows, if it was the newest at most this long ago.
    BoundedStaleness(std::time::Duration),
}

/// What a namespace is created with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceSpec {
    /// Values per vector; fixed by the first upsert if missing.
    pub dimension: Option<usize>,
    /// The metric; cosine if missing.
    pub distance: Option<Distance>,
}

/// What [`Engine::create_namespace`] does when the namespace exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// [`crate::error::Error::NamespaceExists`].
    Fail,
    /// Return it, provided that what the spec names agrees with it; else `NamespaceExists`.
    Return,
}

/// A namespace as described to people.
#[derive(Debug, Clone, PartialEq)]
pub struct NamespaceInfo {
    /// Its name.
    pub name: NamespaceName,
    /// Values per vector, once known.
    pub dimension: Option<usize>,
    /// The metric.
    pub distance: Distance,
    /// Live rows, exactly.
    pub count: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its last log entry was committed.
    pub updated_at: Timestamp,
    /// The last log entry that is folded into segments; 0 before the first fold.
    pub folded_seq: u64,
    /// Segments.
    pub segments: u64,
    /// Rows in them, dead ones included.
    pub segment_rows: u64,
    /// Bytes of them.
    pub segment_bytes: u64,
    /// Bytes of its log entries that are not folded.
    pub log_bytes: u64,
    /// Number of its log entries that are not folded.
    pub log_entries: u64,
    /// Sequence number of the newest entry; 0 before the first.
    pub head_seq: u64,
    /// Rows held in memory, dead ones included.
    pub tail_rows: u64,
    /// Bytes that they take in memory.
    pub tail_bytes: u64,
    /// Bytes of uploaded index blobs.
    pub index_bytes: u64,
}

/// Which rows of an upsert or a delete are written, by what is stored under their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Precondition {
    /// Whether a row has to be stored.
    pub presence: Presence,
    /// What has to match the metadata of the stored row. What is not stored is like a row without metadata.
    pub filter: Option<Arc<Filter>>,
}

/// Whether a row has to be stored for another to be written under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// It may be.
    #[default]
    Any,
    /// It must not be: nothing is replaced.
    Absent,
    /// It must be: nothing is inserted.
    Present,
}

/// What an upsert did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upserted {
    /// Distinct ids written.
    pub upserted: u64,
    /// Of these, ids that were not there before.
    pub inserted: u64,
    /// Ids that were not written, because the condition does not hold for them.
    pub skipped: Vec<VectorId>,
}

/// What a delete did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deleted {
    /// Rows that existed and do not any more.
    pub deleted: u64,
    /// Ids of rows that exist still, because the condition does not hold for them.
    pub skipped: Vec<VectorId>,
}

/// Which columns a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// The vectors.
    pub vectors: bool,
    /// The metadata.
    pub metadata: bool,
}

/// A page of rows in id order.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// The last id of this page if more follow.
    pub next: Option<VectorId>,
    /// Live rows in the namespace that match.
    pub total: u64,
}

/// One nearest-neighbour query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The vector to search near.
    pub vector: Vec<f32>,
    /// How many rows at most.
    pub top_k: usize,
    /// The metric, if another than the namespace's.
    pub distance: Option<Distance>,
    /// How exact the answer is to be; `search.recall_target` if missing.
    pub accuracy: Option<Accuracy>,
    /// Which of the namespace's indexes answers; if missing, the fastest that there is.
    pub index: Option<IndexType>,
    /// Which rows may be found; all if missing. Queries of a batch that share one are answered together.
    pub filter: Option<Arc<Filter>>,
    /// Columns to return.
    pub projection: Projection,
    /// Which part of the ranking to return.
    pub cut: Cut,
}

/// Which part of a ranking an answer has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cut {
    /// So many of the first rows are left out.
    pub offset: usize,
    /// Rows with a lower score are left out.
    pub score_threshold: Option<f32>,
    /// Rows with the same value in a field are left out, but for the first ones.
    pub group_by: Option<Grouping>,
    /// By which fields the rows that are left are ordered, if not by their scores. Which rows these are does not
    /// depend on it.
    pub order_by: Vec<OrderBy>,
}

/// A row found by a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Higher is better.
    pub score: f32,
    /// The row.
    pub row: Row,
}

/// The answer to one query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// Best first; equal scores in id order.
    pub hits: Vec<Hit>,
    /// What was looked at.
    pub work: Work,
    /// Time spent searching for this one.
    pub elapsed: std::time::Duration,
}

impl Precondition {
    /// Whether it holds for everything.
    pub fn is_nothing(&self) -> bool {
        self.presence == Presence::Any && self.filter.as_ref().is_none_or(|filter| filter.is_everything())
    }

    /// Whether it holds, if this row is stored, given as its metadata.
    pub fn admits(&self, stored: Option<Option<&str>>) -> bool {
        let is_admitted = match self.presence {
            Presence::Any => true,
            Presence::Absent => stored.is_none(),
            Presence::Present => stored.is_some(),
        };
        is_admitted && self.filter.as_ref().is_none_or(|filter| filter.matches(stored.flatten()))
    }
}

impl Consistency {
    /// How old an answer with [`Consistency::Eventual`] may be.
    pub const EVENTUAL: std::time::Duration = std::time::Duration::from_secs(60);
}

/// The metadata of a row with a text in it, from that which the row has: the first argument names the field that
/// is to hold the text. None if that is the same.
pub type WithText = dyn Fn(&str, Option<&str>) -> Result<Option<Arc<str>>> + Send + Sync;

/// A text, and what else is known of it.
pub struct TextDocument {
    /// The row that it is for.
    pub id: VectorId,
    /// Bytes of what is given, roughly.
    pub bytes: u64,
    /// Puts it into metadata.
    pub edit: Box<WithText>,
}

impl fmt::Debug for TextDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextDocument").field("id", &self.id).finish_non_exhaustive()
    }
}
