//! The indexes that a namespace is to have, and how far they are.

use super::{Consistency, Engine, namespace::Namespace, segment::SegmentRef};
use crate::{
    error::{Error, Result},
    types::{IndexSpec, IndexType, NamespaceName},
};

/// A managed index as described to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexInfo {
    /// What was asked for.
    pub spec: IndexSpec,
    /// Whether nobody asked: it is what a namespace has by default.
    pub automatic: bool,
    /// Rows of the segments that have it, dead ones included.
    pub indexed_rows: u64,
    /// Rows of the segments that are to have it.
    pub eligible_rows: u64,
    /// Rows that are searched exactly, since their segments are small or they are not folded.
    pub exact_rows: u64,
    /// Bytes of its objects.
    pub bytes: u64,
}

impl IndexInfo {
    /// Whether every segment that is to have it has it.
    pub fn is_ready(&self) -> bool {
        self.indexed_rows == self.eligible_rows
    }
}

impl Engine {
    /// Lets the namespace have an index with these parameters. It is built in the background; one of the
    /// same type with others is dropped.
    ///
    /// # Errors
    /// [`Error::NamespaceNotFound`].
    pub async fn put_index(&self, name: &NamespaceName, spec: IndexSpec) -> Result<IndexInfo> {
        let namespace = self.read(name, Consistency::Strong).await?;
        let change = |wanted: &[IndexSpec]| {
            let others = wanted.iter().filter(|other| other.index_type() != spec.index_type());
            Some(others.cloned().chain([spec.clone()]).collect())
        };
        namespace.change_indexes(change).await?;
        namespace.maintain_if_due();
        self.index(name, spec.index_type()).await
    }

    /// Drops an index; returns whether there was one. Without any, every search is exact.
    ///
    /// # Errors
    /// [`Error::NamespaceNotFound`].
    pub async fn delete_index(&self, name: &NamespaceName, index_type: IndexType) -> Result<bool> {
        let namespace = self.read(name, Consistency::Strong).await?;
        let change = |wanted: &[IndexSpec]| {
            let there = wanted.iter().any(|spec| spec.index_type() == index_type);
            let rest = wanted.iter().filter(|spec| spec.index_type() != index_type).cloned();
            there.then(|| rest.collect())
        };
        namespace.change_indexes(change).await
    }

    /// A managed index.
    ///
    /// # Errors
    /// [`Error::IndexNotFound`] if the namespace is not to have one.
    pub async fn index(&self, name: &NamespaceName, index_type: IndexType) -> Result<IndexInfo> {
        let found = self.indexes(name).await?.into_iter().find(|info| info.spec.index_type() == index_type);
        found.ok_or_else(|| Error::IndexNotFound { namespace: name.to_string(), index: index_type.as_str() })
    }

    /// All managed indexes.
    ///
    /// # Errors
    /// [`Error::NamespaceNotFound`].
    pub async fn indexes(&self, name: &NamespaceName) -> Result<Vec<IndexInfo>> {
        let namespace = self.read(name, Consistency::Strong).await?;
        namespace.confirm_manifest().await?;
        Ok(namespace.describe_indexes())
    }
}

impl Namespace {
    /// # Errors
    /// [`Error::IndexNotFound`] if the namespace is not to have such an index.
    pub(super) fn check_wanted(&self, index_type: IndexType) -> Result<()> {
        let state = self.state();
        let wanted = state.manifest.wanted_indexes().iter().any(|spec| spec.index_type() == index_type);
        let missing =
            || Error::IndexNotFound { namespace: self.name().to_string(), index: index_type.as_str() };
        wanted.then_some(()).ok_or_else(missing)
    }

    fn describe_indexes(&self) -> Vec<IndexInfo> {
        let state = self.state();
        let manifest = &state.manifest;
        let chunks = state.contents.tail().chunks();
        let tail_rows = |with_vectors: bool| {
            let chunks = chunks.iter().filter(|chunk| chunk.dimension() > 0 || !with_vectors);
            chunks.map(|chunk| chunk.len() as u64).sum()
        };
        let describe = |spec: &IndexSpec| {
            let mut info = IndexInfo {
                spec: spec.clone(),
                automatic: manifest.indexes.is_none(),
                indexed_rows: 0,
                eligible_rows: 0,
                exact_rows: tail_rows(spec.is_over_vectors()),
                bytes: 0,
            };
            let has_what_it_is_over = |segment: &&SegmentRef| segment.has_vectors || !spec.is_over_vectors();
            for segment in manifest.segments.iter().filter(has_what_it_is_over) {
                let index = segment.indexes.iter().find(|index| spec.is_served_by(&index.spec));
                match index {
                    Some(index) => {
                        info.indexed_rows += segment.rows;
                        info.eligible_rows += segment.rows;
                        info.bytes += index.blob.bytes;
                    }
                    None if self.is_indexed(segment, spec) => info.eligible_rows += segment.rows,
                    None => info.exact_rows += segment.rows,
                }
            }
            info
        };
        manifest.wanted_indexes().iter().map(describe).collect()
    }
}
