//! Searching vectors that are in memory.
//!
//! Nothing here knows a namespace, an id or the store: it gets vectors and row numbers, and gives
//! row numbers and scores. [`kernel`] computes many products of a query and rows, [`flat`] turns
//! them into scores of the live rows of a chunk, and [`top`] keeps the best.
//!
//! The other types answer approximately, and faster: a [`VectorIndex`] is built once from the rows
//! of a segment ([`VectorSource`]), is bytes from then on, and is searched in those bytes where they
//! lie. It says which rows to look at; their scores are computed exactly, from the rows.
//!
//! Invariants, for all of them (`tests.rs` is one suite for all types): the same rows, parameters
//! and seed give the same bytes; a row is returned at most once, with its exact score, and only if
//! the mask admits it; full effort finds what an exact search finds; no bytes make it panic or read
//! out of bounds.

pub mod flat;
pub mod hnsw;
pub mod kernel;
mod search;
mod source;
pub mod top;

use crate::error::Result;

pub use self::{
    search::{Best, Cost, Effort, Mask, Query, Request, best_of},
    source::{Run, Table, VectorSource},
};

/// An index over the rows of a segment, opened from its bytes.
pub trait VectorIndex: std::fmt::Debug + Send + Sync {
    /// Offers the rows near the query to `best`, each at most once.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a row is damaged.
    fn search(&self, request: &Request<'_>, best: &mut Best<'_>) -> Result<Cost>;

    /// The effort at which the share `recall` (from 0 to 1) of the best rows is found, as measured
    /// when the index was built.
    fn effort_for(&self, recall: f32) -> Effort;

    /// Bytes that a search must have in memory, per index and not per query.
    fn resident_bytes(&self) -> u64;
}

#[cfg(test)]
mod tests;
