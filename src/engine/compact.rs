//! Folding and merging on demand.

use super::{
    Consistency, Engine,
    namespace::{Motive, Outcome},
};
use crate::{
    error::{Error, Result},
    telemetry::{CompactionKind, inherited},
    types::NamespaceName,
};

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compaction {
    /// Folds of the log (0 or 1) and merges of segments.
    pub folds: u64,
    /// Merges of segments.
    pub merges: u64,
    /// Indexes that were built of segments that had none.
    pub indexes: u64,
    /// Rows that were written to segments.
    pub rows: u64,
    /// Bytes that were written to segments.
    pub bytes: u64,
}

impl Engine {
    /// Folds the whole log and merges segments until there is nothing to do. Where another node
    /// does so at the same time, this one leaves the work to it.
    ///
    /// What was begun goes on if the caller loses interest: large segments take longer than a request may.
    pub async fn compact(&self, name: &NamespaceName) -> Result<Compaction> {
        self.compact_beside(name, Motive::Demand).await
    }

    /// [`Engine::compact`], and merges all segments into as few as fit: a search then asks few indexes.
    pub async fn compact_fully(&self, name: &NamespaceName) -> Result<Compaction> {
        self.compact_beside(name, Motive::Full).await
    }

    async fn compact_beside(&self, name: &NamespaceName, motive: Motive) -> Result<Compaction> {
        let (engine, name) = (self.clone(), name.clone());
        let work = inherited(async move { engine.compact_now(&name, motive).await });
        tokio::spawn(work).await.map_err(Error::internal)?
    }

    async fn compact_now(&self, name: &NamespaceName, motive: Motive) -> Result<Compaction> {
        let namespace = self.read(name, Consistency::Strong).await?;
        let mut report = Compaction::default();
        if let Outcome::Done(done) = namespace.compact(CompactionKind::fold, motive).await? {
            report.folds += 1;
            report.rows += done.rows;
            report.bytes += done.bytes;
        }
        while let Outcome::Done(done) = namespace.compact(CompactionKind::merge, motive).await? {
            report.merges += 1;
            report.rows += done.rows;
            report.bytes += done.bytes;
        }
        while let Outcome::Done(done) = namespace.compact(CompactionKind::index, motive).await? {
            report.indexes += 1;
            report.bytes += done.bytes;
        }
        Ok(report)
    }
}
