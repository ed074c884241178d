//! Full text: rows by the words of their texts, scored by BM25.
//!
//! An index is built from the metadata of a segment's rows ([`build`]), is bytes from then on, and is
//! searched in those bytes where they lie ([`Fulltext`]). A query is planned once ([`Plan`]), its prefixes are
//! expanded over all indexes of a namespace ([`expand`]) and looked up in each ([`Asked`]), the statistics of
//! their live rows are summed, and then each is searched with the same [`Weights`].
//!
//! Why not tantivy: its k1 and b are constants, and its bounds of blocks hold for these and one average
//! length only.
//!
//! Invariants: the same rows and parameters give the same bytes; a row's score depends on its texts and the
//! live rows of the namespace, not on the index that it is in, to the bit; no bytes make it panic or read
//! out of bounds.

mod analysis;
mod asked;
mod bounds;
mod build;
mod dictionary;
mod expand;
mod extract;
mod file;
mod fuzzy;
mod highlight;
mod length;
mod live;
mod pack;
mod plan;
mod postings;
mod search;
mod statistics;
mod totals;
mod varint;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::{
    analysis::Analyzer,
    asked::Asked,
    build::{MetadataOf, MetadataSource, build},
    expand::expand,
    extract::Extractor,
    highlight::{Highlighter, Style},
    live::Live,
    plan::Plan,
    statistics::{Statistics, Weights},
    vocabulary::distinct_terms,
};
use self::{file::File, totals::Totals};
use super::Content;
use crate::{error::Result, types::text::FulltextParams};

/// An index, opened.
#[derive(Debug, Clone)]
pub struct Fulltext {
    file: File,
    totals: Arc<Totals>,
}

impl Fulltext {
    /// Opens an index that was built with such parameters (k1, b and weights may be others), or says what
    /// is wrong with it.
    pub fn open(content: impl Into<Content>, params: &FulltextParams) -> std::result::Result<Self, String> {
        File::open(content.into(), params).map(|file| Self { file, totals: Arc::default() })
    }

    /// How many rows it is over.
    pub fn rows(&self) -> u32 {
        self.file.rows()
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.file.size()
    }

    /// How many terms it has, in all fields.
    pub fn terms(&self) -> u64 {
        self.file.terms()
    }

    /// Its content.
    pub fn content(&self) -> &Content {
        self.file.content()
    }

    /// Its rows that have a text, whatever the field, of those that are live.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if its bytes are damaged.
    pub fn rows_with_text(&self, live: &Live<'_>) -> Result<u64> {
        let fields = (0..self.file.fields()).map(|field| self.file.field(field));
        let fields = fields.collect::<std::result::Result<Vec<_>, _>>()?;
        let has_text = |row: &u32| fields.iter().any(|field| field.lengths[*row as usize] > 0);
        Ok((0..self.rows()).filter(|row| live.has(*row) && has_text(row)).count() as u64)
    }

    /// Compares what it holds with the hash in it, or says what is wrong.
    pub fn check(&self) -> std::result::Result<(), String> {
        self.file.check()
    }
}
