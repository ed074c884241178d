//! A query over texts, as it is written.

use std::sync::Arc;

use super::parse;
use crate::error::Result;

/// What a query may consist of at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `limits.text_query_depth`: groups inside each other.
    pub depth: usize,
    /// `limits.text_query_terms`: words, phrases, prefixes and fuzzy words; and the terms that they become.
    pub terms: usize,
    /// `limits.text_expansions`: terms that prefixes and fuzzy words of a query stand for, together.
    pub expansions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 32, terms: 1024, expansions: 4096 }
    }
}

/// A query over texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextQuery {
    /// Its parts.
    pub root: Group,
}

impl TextQuery {
    /// Reads a query. `place` is where it stands in the request, for errors.
    ///
    /// # Errors
    /// `Invalid` for what is not a query, with the character at which it goes wrong, and `LimitExceeded` for
    /// one that is too large.
    pub fn parse(text: &str, place: &str, limits: &Limits) -> Result<Self> {
        parse::parse(text, place, limits).map(|root| Self { root })
    }

    /// A query for any of the words of a text in which no character means anything else.
    pub fn plain(text: &str) -> Self {
        let part = Part { kind: Kind::Words, text: text.into(), field: None };
        Self { root: Group { should: vec![Clause::Part(part)], ..Group::default() } }
    }
}

/// Parts that are asked for together: a row matches if all of `must` match it, none of `must_not`
/// does, and, if nothing must, one of `should`; if there is neither, all rows but those of `must_not`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// `+a`, or `a AND …`
    pub must: Vec<Clause>,
    /// `a`, or `a OR …`
    pub should: Vec<Clause>,
    /// `-a`, or `NOT a`
    pub must_not: Vec<Clause>,
}

/// A part of a query that may have parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clause {
    /// One that has none.
    Part(Part),
    /// One in parentheses, or joined by operators.
    Group(Group),
}

/// Something to find in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What is found.
    pub kind: Kind,
    /// What is written, without escapes and signs.
    pub text: String,
    /// Where to look. None: in all fields of the index.
    pub field: Option<Field>,
}

/// How the text of a part is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any of its words (or each, where it must match).
    Words,
    /// `"…"`: its words in this order.
    Phrase,
    /// `…*`: words that begin like it.
    Prefix,
    /// `…~`: words of which it differs by at most so many letters (added, left out, other, or swapped).
    Fuzzy(u8),
}

/// The name of a field in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// As it is written.
    pub name: Arc<str>,
    /// Which character of the query it begins at; the first one is 1.
    pub character: usize,
}
