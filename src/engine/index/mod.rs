//! Searching rows that are in memory.
//!
//! Nothing here knows a namespace, an id or the store: it gets vectors and row numbers, and gives
//! row numbers and scores. [`kernel`] computes many products of a query and rows, [`flat`] turns
//! them into scores of the live rows of a chunk, and [`top`] keeps the best.
//!
//! The other types answer approximately, and faster: a [`VectorIndex`] is built once from the rows
//! of a segment ([`VectorSource`]), is bytes from then on, and is searched in those bytes where they
//! lie. It says which rows to look at; their scores are computed exactly, from the rows. What is built
//! over the metadata, its values or its texts, is no such index, but made of rows and kept in the same way ([`Opened`]).
//!
//! Invariants, for all of them (`tests.rs` is one suite for all types): the same rows, parameters
//! and seed give the same bytes; a row is returned at most once, with its exact score, and only if
//! the mask admits it; full effort finds what an exact search finds; no bytes make it panic or read
//! out of bounds.

pub mod attributes;
mod codes;
mod content;
pub mod flat;
pub mod fulltext;
pub mod hnsw;
pub mod ivf;
pub mod kernel;
mod lists;
mod moved;
mod parts;
pub mod pq;
mod random;
mod rotation;
mod search;
mod shortlist;
mod source;
pub mod spfresh;
pub mod top;
mod truth;

use std::sync::Arc;

use crate::{
    error::Result,
    types::{Distance, IndexSpec, IndexType},
};

use self::{attributes::Attributes, fulltext::Fulltext};
pub use self::{
    content::{Content, Reader},
    moved::Moved,
    parts::{InParts, Part, Shortlisted, has_parts, head_bytes, open_head},
    search::{Best, Cost, Effort, Mask, Query, Request, best_of},
    source::{RowSource, Run, Table, VectorSource},
};

/// An index over the rows of a segment, opened from its bytes.
pub trait VectorIndex: std::fmt::Debug + Send + Sync {
    /// Offers the rows near the query to `best`, each at most once.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a row is damaged.
    fn search(&self, request: &Request<'_>, best: &mut Best<'_>) -> Result<Cost>;

    /// The effort at which the share `recall` (from 0 to 1) of the best `top_k` rows is found, as
    /// measured when the index was built.
    fn effort_for(&self, recall: f32, top_k: usize) -> Effort;

    /// The metric that it was built for.
    fn distance(&self) -> Distance;

    /// The rows that it is over: how many, and of which dimension.
    fn shape(&self) -> (usize, usize);

    /// Bytes that a search must have in memory, per index and not per query.
    fn resident_bytes(&self) -> u64;

    /// Compares what the index holds with the hashes in it, or says what is wrong.
    fn check(&self) -> std::result::Result<(), String> {
        Ok(())
    }
}

/// An index over the rows of a segment, whatever it is over.
#[derive(Debug)]
pub enum Opened {
    /// Their vectors.
    Vectors(Box<dyn VectorIndex>),
    /// The values of their metadata.
    Attributes(Attributes),
    /// The words of their texts.
    Texts(Arc<Fulltext>),
}

impl Opened {
    /// Opens an index where its bytes lie, or says what is wrong with them.
    pub fn of(spec: &IndexSpec, content: impl Into<Content>) -> std::result::Result<Self, String> {
        match spec {
            IndexSpec::Attributes => Attributes::open(content).map(Self::Attributes),
            IndexSpec::Fulltext(params) => Fulltext::open(content, params).map(Arc::new).map(Self::Texts),
            spec => open(spec.index_type(), content).map(Self::Vectors),
        }
    }

    /// Whether it is over so many rows of this dimension.
    pub fn fits(&self, rows: usize, dimension: usize) -> bool {
        match self {
            Self::Vectors(index) => index.shape() == (rows, dimension),
            Self::Attributes(index) => index.rows() == rows,
            Self::Texts(index) => index.rows() as usize == rows,
        }
    }

    /// Compares what it holds with the hashes in it, or says what is wrong.
    pub fn check(&self) -> std::result::Result<(), String> {
        match self {
            Self::Vectors(index) => index.check(),
            // All of it was checked when it was opened.
            Self::Attributes(_) => Ok(()),
            Self::Texts(index) => index.check(),
        }
    }

    /// The index over vectors that it is.
    pub fn vectors(&self) -> Option<&dyn VectorIndex> {
        match self {
            Self::Vectors(index) => Some(&**index),
            Self::Attributes(_) | Self::Texts(_) => None,
        }
    }

    /// The index over metadata that it is.
    pub fn attributes(&self) -> Option<&Attributes> {
        match self {
            Self::Attributes(index) => Some(index),
            Self::Vectors(_) | Self::Texts(_) => None,
        }
    }

    /// The index over texts that it is.
    pub fn texts(&self) -> Option<&Arc<Fulltext>> {
        match self {
            Self::Texts(index) => Some(index),
            Self::Vectors(_) | Self::Attributes(_) => None,
        }
    }
}

/// Builds an index over all rows, on the threads of the pool that this is called on. The same rows,
/// parameters and seed give the same bytes.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn build(spec: &IndexSpec, rows: &dyn RowSource, distance: Distance, seed: u64) -> Result<Vec<u8>> {
    match spec {
        IndexSpec::Ivf(params) => ivf::build(rows, distance, params, seed),
        IndexSpec::Pq(params) => pq::build(rows, distance, params, seed),
        IndexSpec::Hnsw(params) => hnsw::build(rows, distance, params, seed),
        IndexSpec::Spfresh(params) => spfresh::build(rows, distance, params, seed),
        IndexSpec::Attributes => attributes::build(rows),
        IndexSpec::Fulltext(params) => fulltext::build(&fulltext::MetadataOf(rows), params),
    }
}

/// An index over an older table, some rows of which are in a newer one.
#[derive(Debug, Clone)]
pub struct Base {
    /// The index.
    pub content: Content,
    /// Where the rows are now.
    pub moved: Moved,
}

/// How an index came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// From the rows alone.
    Built,
    /// From an older index and what changed.
    Extended,
}

/// Whether an index that knows so many of the rows of a newer table is worth continuing.
pub fn is_worth_extending(spec: &IndexSpec, known: usize, rows: usize) -> bool {
    matches!(spec, IndexSpec::Spfresh(_)) && spfresh::is_worth_extending(known, rows)
}

/// [`build`], but the work follows what changed since an older index of the same type was built; if
/// that is of no use, all is built. Whatever its bytes say, the index is one over all rows and no others.
///
/// # Errors
/// As [`build`].
pub fn extend(
    spec: &IndexSpec,
    rows: &dyn RowSource,
    distance: Distance,
    seed: u64,
    base: &Base,
) -> Result<(Vec<u8>, Work)> {
    let extended = match spec {
        IndexSpec::Spfresh(params) => spfresh::extend(rows, distance, params, seed, base)?,
        _ => None,
    };
    match extended {
        Some(bytes) => Ok((bytes, Work::Extended)),
        None => Ok((build(spec, rows, distance, seed)?, Work::Built)),
    }
}

/// Opens an index over vectors where its bytes lie, or says what is wrong with them.
pub fn open(index_type: IndexType, content: impl Into<Content>) -> Result<Box<dyn VectorIndex>, String> {
    let content = content.into();
    match index_type {
        IndexType::Ivf => Ok(Box::new(ivf::Ivf::open(content)?)),
        IndexType::Pq => Ok(Box::new(pq::Pq::open(content)?)),
        IndexType::Hnsw => Ok(Box::new(hnsw::Hnsw::open(content)?)),
        IndexType::Spfresh => Ok(Box::new(spfresh::Spfresh::open(content)?)),
        other => Err(format!("an index of type {} is not over vectors", other.as_str())),
    }
}

#[cfg(test)]
mod tests;
