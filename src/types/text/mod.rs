//! Full text: what can be chosen of an index over texts, and the query language.
//!
//! What a query means for a row, and how texts become terms, is the index's affair
//! (`engine/index/fulltext`). `docs/fulltext.md` describes both.

mod language;
mod lexer;
mod params;
mod parse;
mod query;

#[cfg(test)]
mod tests;

pub use language::Language;
pub use params::{Factor, FulltextParams, MAX_FIELDS};
pub use query::{Clause, Field, Group, Kind, Limits, Part, TextQuery};
