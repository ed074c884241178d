//! Namespaces on an object store: the commit protocol and everything that reads what it wrote.

pub mod format;
pub mod log;
pub mod manifest;

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    clock::{SharedClock, Timestamp},
    config::Config,
    error::Result,
    storage::Store,
    telemetry::Metrics,
    types::{Distance, IndexType, NamespaceName, Row, Rows, VectorId},
};

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Every write acknowledged anywhere before the read began is seen.
    #[default]
    Strong,
    /// What this node knows; no store request once the namespace is loaded.
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

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upserted {
    /// Distinct ids written.
    pub upserted: u64,
    /// Of these, ids that were not there before.
    pub inserted: u64,
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
    /// Live rows in the namespace.
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
    /// Columns to return.
    pub projection: Projection,
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
    /// Time spent searching for this one.
    pub elapsed: std::time::Duration,
}

/// Everything the server knows how to do with namespaces; cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<()>,
}

#[allow(missing_docs, clippy::todo)]
impl Engine {
    pub fn new(store: Store, clock: SharedClock, config: &Config, metrics: Arc<Metrics>) -> Self {
        todo!()
    }
    pub fn store(&self) -> &Store {
        todo!()
    }
    /// Returns the namespace and whether this call created it.
    pub async fn create_namespace(
        &self,
        name: &NamespaceName,
        spec: NamespaceSpec,
        if_exists: IfExists,
    ) -> Result<(NamespaceInfo, bool)> {
        todo!()
    }
    pub async fn describe(&self, name: &NamespaceName) -> Result<NamespaceInfo> {
        todo!()
    }
    /// Names in order, after `after`; and whether more follow.
    pub async fn list_namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<NamespaceName>, bool)> {
        todo!()
    }
    pub async fn delete_namespace(&self, name: &NamespaceName) -> Result<()> {
        todo!()
    }
    /// Creates the namespace if there is none. `rows` may be empty (nothing happens then).
    pub async fn upsert(&self, name: &NamespaceName, rows: Rows) -> Result<Upserted> {
        todo!()
    }
    /// Returns how many existed.
    pub async fn delete(&self, name: &NamespaceName, ids: Vec<VectorId>) -> Result<u64> {
        todo!()
    }
    /// Returns how many there were.
    pub async fn delete_all(&self, name: &NamespaceName) -> Result<u64> {
        todo!()
    }
    /// The live rows among `ids`, in the order asked; missing ones are left out.
    pub async fn fetch(
        &self,
        name: &NamespaceName,
        ids: &[VectorId],
        consistency: Consistency,
        projection: Projection,
    ) -> Result<Vec<Row>> {
        todo!()
    }
    pub async fn page(
        &self,
        name: &NamespaceName,
        after: Option<&str>,
        limit: usize,
        projection: Projection,
    ) -> Result<Page> {
        todo!()
    }
    pub async fn count(&self, name: &NamespaceName, consistency: Consistency) -> Result<u64> {
        todo!()
    }
    /// Answers in the order of the queries, all on the same state.
    pub async fn query(
        &self,
        name: &NamespaceName,
        queries: Vec<Query>,
        consistency: Consistency,
    ) -> Result<Vec<QueryResult>> {
        todo!()
    }
    pub async fn put_index_blob(&self, name: &NamespaceName, index: IndexType, bytes: Bytes) -> Result<()> {
        todo!()
    }
    pub async fn get_index_blob(&self, name: &NamespaceName, index: IndexType) -> Result<Bytes> {
        todo!()
    }
    pub async fn index_blob_size(&self, name: &NamespaceName, index: IndexType) -> Result<u64> {
        todo!()
    }
    /// Returns whether there was one.
    pub async fn delete_index_blob(&self, name: &NamespaceName, index: IndexType) -> Result<bool> {
        todo!()
    }
    /// Types and sizes.
    pub async fn list_index_blobs(&self, name: &NamespaceName) -> Result<Vec<(IndexType, u64)>> {
        todo!()
    }
}
