//! An index over the metadata of rows, by which filters are decided without reading it.
//!
//! One sorted dictionary of typed values for each path, and the rows that have each value: equality is a
//! lookup, a comparison a range of the dictionary whose rows lie side by side, and a pattern is tested once for
//! each distinct text. It is built once from the rows of a segment, is bytes from then on, and is read in those
//! bytes where they lie.
//!
//! It does not keep everything: not the rest of long text, not whole arrays and objects, not the places in
//! arrays. What that leaves open is told ([`Decided`]) and has to be decided by reading the row.
//!
//! Invariants: what it says agrees with [`Filter::matches`] for every row; the same rows give the same bytes;
//! no bytes make it panic or read out of bounds.

mod build;
mod collect;
mod decide;
mod file;
mod key;
#[cfg(test)]
mod tests;
mod walk;

pub use self::{build::build, decide::Decided};
use self::{decide::decide, file::File};
use super::Content;
use crate::types::Filter;

/// An index over the metadata of the rows of a segment, opened from its bytes.
#[derive(Debug)]
pub struct Attributes {
    file: File,
}

impl Attributes {
    /// Opens an index where its bytes lie, or says what is wrong with them.
    pub fn open(content: impl Into<Content>) -> Result<Self, String> {
        Ok(Self { file: File::open(content.into())? })
    }

    /// How many rows it is over.
    pub fn rows(&self) -> usize {
        self.file.rows()
    }

    /// What it knows of a filter.
    pub fn decide(&self, filter: &Filter) -> Decided {
        decide(&self.file, filter.root())
    }
}
