//! Filters: which rows, by their metadata.
//!
//! A filter is read from JSON once ([`Filter::parse`]) and then asked for each row
//! ([`Filter::matches`]). What an operator means for which values stands in `docs/filters.md`.
//! Three rules hold for all of it:
//!
//! - Nothing is left out. What is not understood is an error that names its place.
//! - `$not`, `$ne`, `$nin` and `$exists: false` match exactly what their opposites do not.
//! - A row whose metadata cannot be read matches no filter, negated or not.
//!
//! Evaluation by an index must agree with [`Filter::matches`] for every row; [`Filter::root`] is what
//! it starts from.

mod condition;
mod escapes;
mod field;
mod json;
mod node;
mod number;
mod parse;
mod path;
mod pattern;
mod plan;
mod reader;
mod time;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use self::plan::Plan;
pub use self::{
    condition::{Bound, Condition, Side, Test},
    json::{Json, MAX_DEPTH, Set, list, text},
    node::Node,
    number::Number,
    path::{Path, index as place_in_array},
    pattern::{Pattern, Syntax},
    reader::{Items, Raw, Read, Unreadable, Value},
    time::Time,
};
use crate::error::Result;

/// What a filter may consist of at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `limits.filter_depth`: how many of `$and`, `$or`, `$not` and objects with several members stand
    /// inside each other, the condition in them included.
    pub depth: usize,
    /// `limits.filter_nodes`: conditions, logical operators and objects with several members.
    pub nodes: usize,
    /// `limits.filter_values`: values to compare with, in all lists together.
    pub values: usize,
    /// `limits.filter_patterns`: `$regex`, `$glob` and `$icontains` together.
    pub patterns: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 32, nodes: 1024, values: 10_000, patterns: 32 }
    }
}

/// A filter over the metadata of rows. Its text ([`fmt::Display`]) is JSON that is read as the same filter.
#[derive(Debug, Clone)]
pub struct Filter {
    root: Node,
    plan: Plan,
}

impl Filter {
    /// Reads a filter from JSON text. `place` is where it stands in the request, for errors.
    ///
    /// # Errors
    /// `Invalid` for what is not a filter and `LimitExceeded` for one that is too large; the field is the
    /// place of the bad part, such as `filter.$and[1].year.$gte`.
    pub fn parse(text: &str, place: &str, limits: &Limits) -> Result<Self> {
        let root = parse::parse(text, place, limits)?;
        let plan = Plan::new(&root);
        Ok(Self { root, plan })
    }

    /// Whether a row matches, by its metadata: JSON text of an object; none is the same as `{}`.
    ///
    /// The text was checked when it was written and is not checked as a whole here. False if it cannot
    /// be read.
    pub fn matches(&self, metadata: Option<&str>) -> bool {
        self.plan.matches(metadata.unwrap_or("{}")).unwrap_or(false)
    }

    /// Whether it is `{}`, which matches every row.
    pub fn is_everything(&self) -> bool {
        matches!(&self.root, Node::All(nodes) if nodes.is_empty())
    }

    /// How many conditions are in it.
    pub fn conditions(&self) -> usize {
        self.root.count(&|_| true)
    }

    /// How many of them have to look at every text to find those that they accept.
    pub fn scans(&self) -> usize {
        self.root.count(&|test| matches!(test, Test::Contains(_) | Test::EndsWith(_) | Test::Matches(_)))
    }

    /// How many `$regex`, `$glob` and `$icontains` are in it.
    pub fn patterns(&self) -> usize {
        self.root.count(&|test| matches!(test, Test::Matches(_)))
    }

    /// Its logic.
    pub fn root(&self) -> &Node {
        &self.root
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

impl Eq for Filter {}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}
