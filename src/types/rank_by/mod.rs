//! Rankings: by what rows are ordered.
//!
//! A ranking is read from JSON once ([`RankBy::parse`]). It is either an order of fields of the metadata or a score,
//! and a score is that of a vector, that of text, or made of several. What each means stands in
//! `docs/querying.md`. Nothing is left out: what is not understood is an error that names its place.

mod order;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::order::{OrderBy, Position};
use super::filter::{self, Path, list};
use crate::error::Result;

/// What a ranking may consist of at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Functions inside each other.
    pub depth: usize,
    /// Functions, or fields of an order.
    pub parts: usize,
    /// `limits.rank_by_texts`: scores of text. What each row has by each of them is in memory at once.
    pub texts: usize,
    /// `limits.dimension`: values of a vector.
    pub dimension: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 16, parts: 64, texts: 16, dimension: 16_384 }
    }
}

/// By what rows are ranked. Its text ([`fmt::Display`]) is JSON that is read as the same ranking.
#[derive(Debug, Clone, PartialEq)]
pub enum RankBy {
    /// By fields of the metadata, the first one first.
    Order(Vec<OrderBy>),
    /// By a score, the highest first.
    Score(Score),
}

/// A score of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Score {
    /// How near its vector is.
    Near(Near),
    /// How well its text matches.
    Words(Words),
    /// The sum of several.
    Sum(Vec<Score>),
    /// The greatest of several.
    Max(Vec<Score>),
    /// So many times another; the factor is 0 or more.
    Product(f32, Box<Score>),
}

/// The score of a vector.
#[derive(Debug, Clone)]
pub struct Near {
    /// The vector, of finite values; at least one.
    pub vector: Vec<f32>,
    /// Whether exactly the nearest rows are wanted.
    pub exact: bool,
    /// Where it stands in the request, for errors.
    pub place: Box<str>,
}

/// The score of text (BM25).
#[derive(Debug, Clone)]
pub struct Words {
    /// In which field; if missing, in all that are indexed as text.
    pub field: Option<Path>,
    /// What is looked for.
    pub text: Box<str>,
    /// Where it stands in the request, for errors.
    pub place: Box<str>,
}

impl RankBy {
    /// Reads a ranking from JSON text. `place` is where it stands in the request, for errors.
    ///
    /// # Errors
    /// `Invalid` for what is not a ranking or is too large, `EmptyVector` and `LimitExceeded` for vectors; the
    /// field is the place of the bad part, such as `rank_by[1][0][2]`.
    pub fn parse(text: &str, place: &str, limits: &Limits) -> Result<Self> {
        parse::parse(text, place, limits)
    }
}

impl OrderBy {
    /// Reads an order of fields from JSON text: `[field, "asc"]`, `[field, "desc"]` or an array of these. There are
    /// no functions in it, so every name is that of a field.
    ///
    /// # Errors
    /// `Invalid` for what is none; the field is the place of the bad part.
    pub fn parse_all(text: &str, place: &str, limits: &Limits) -> Result<Vec<Self>> {
        parse::parse_order(text, place, limits)
    }
}

impl Score {
    /// The scores of vectors in it.
    pub fn vectors(&self) -> Vec<&Near> {
        let mut found = Vec::new();
        self.visit(&mut |part| {
            if let Self::Near(near) = part {
                found.push(near);
            }
        });
        found
    }

    /// The scores of text in it.
    pub fn words(&self) -> Vec<&Words> {
        let mut found = Vec::new();
        self.visit(&mut |part| {
            if let Self::Words(words) = part {
                found.push(words);
            }
        });
        found
    }

    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        match self {
            Self::Near(_) | Self::Words(_) => {}
            Self::Sum(parts) | Self::Max(parts) => parts.iter().for_each(|part| part.visit(see)),
            Self::Product(_, part) => part.visit(see),
        }
    }
}

/// Where they stand does not count.
impl PartialEq for Near {
    fn eq(&self, other: &Self) -> bool {
        (&self.vector, self.exact) == (&other.vector, other.exact)
    }
}

/// Where they stand does not count.
impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        (&self.field, &self.text) == (&other.field, &other.text)
    }
}

impl fmt::Display for RankBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(fields) => list(f, fields),
            Self::Score(score) => score.fmt(f),
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Near(near) => {
                f.write_str(if near.exact { r#"["kNN","# } else { r#"["ANN","# })?;
                list(f, &near.vector)?;
                f.write_str("]")
            }
            Self::Words(Words { field: Some(field), text, .. }) => {
                write!(f, r#"[{},"BM25",{}]"#, filter::text(&field.to_string()), filter::text(text))
            }
            Self::Words(words) => write!(f, r#"["BM25",{}]"#, filter::text(&words.text)),
            Self::Sum(parts) => several(f, "Sum", parts),
            Self::Max(parts) => several(f, "Max", parts),
            Self::Product(factor, part) => write!(f, r#"["Product",{factor},{part}]"#),
        }
    }
}

fn several(f: &mut fmt::Formatter<'_>, name: &str, parts: &[Score]) -> fmt::Result {
    write!(f, r#"["{name}","#)?;
    list(f, parts)?;
    f.write_str("]")
}
