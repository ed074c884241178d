//! Searching an index of which only some parts are here: its head, and those lists that a query wants.
//!
//! The head says which lists a query looks at; with these supplied, the same search as on the whole index
//! says which rows are worth an exact score, and with those rows supplied it finds the same rows.
//!
//! Invariant: a part is checked against its hash in the head when it is supplied, and a search that
//! would need a part that is not here says so instead of finding less.

use std::ops::Range;

use bytes::Bytes;

use super::{Best, Cost, Request, VectorIndex, pq::Pq, spfresh::Spfresh};
use crate::{error::Result, types::IndexType};

/// A part of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which one.
    pub number: u32,
    /// Its bytes in the index.
    pub range: Range<u64>,
}

/// Rows that are worth an exact score.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shortlisted {
    /// Estimates and rows, the best estimate first.
    pub candidates: Vec<(f32, u32)>,
    /// So many of them are scored at most.
    pub scored: usize,
    /// With fewer than so many, a search would look further.
    pub wanted: usize,
    /// What was looked at.
    pub cost: Cost,
}

/// An index of which the head is here, and those parts that were supplied.
pub trait InParts: VectorIndex {
    /// The parts that a search for so many rows looks at; none if it would look at everything.
    fn wanted(&self, request: &Request<'_>, limit: usize) -> Option<Vec<Part>>;

    /// Takes the bytes of a part, or says what is wrong with them.
    fn supply(&mut self, number: u32, bytes: Bytes) -> std::result::Result<(), String>;

    /// The rows that a search for `limit` rows scores exactly, and up to `spare` that come next, of the
    /// rows that the mask admits. None if a part is missing.
    ///
    /// # Errors
    /// As [`VectorIndex::search`].
    fn shortlist(&self, request: &Request<'_>, limit: usize, spare: usize) -> Result<Option<Shortlisted>>;

    /// Scores candidates as a search does.
    ///
    /// # Errors
    /// As [`VectorIndex::search`].
    fn rerank(
        &self,
        request: &Request<'_>,
        candidates: &[(f32, u32)],
        best: &mut Best<'_>,
        cost: &mut Cost,
    ) -> Result<()>;
}

/// Whether indexes of a type can be searched in parts.
pub fn has_parts(index_type: IndexType) -> bool {
    matches!(index_type, IndexType::Spfresh | IndexType::Pq)
}

/// How many bytes of an index are its head, if it can be searched in parts.
pub fn head_bytes(index_type: IndexType, bytes: &Bytes) -> Option<usize> {
    let lists = has_parts(index_type).then(|| super::lists::Lists::open(bytes.clone()))?;
    lists.ok().map(|lists| lists.head_bytes())
}

/// Opens an index of `length` bytes of which only the head is here, or says what is wrong with it.
pub fn open_head(index_type: IndexType, head: &Bytes, length: u64) -> Result<Box<dyn InParts>, String> {
    match index_type {
        IndexType::Spfresh => Ok(Box::new(Spfresh::open_head(head, length)?)),
        IndexType::Pq => Ok(Box::new(Pq::open_head(head, length)?)),
        other => Err(format!("an index of type {} cannot be searched in parts", other.as_str())),
    }
}
