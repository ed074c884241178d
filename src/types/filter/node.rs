//! The logic of a filter, and how it is written.

use std::fmt::{self, Display};

use super::{
    condition::{Bound, Condition, Side, Test},
    json::{Set, list, text},
    pattern::Syntax,
};

/// A filter or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// All of these; everything if there are none.
    All(Vec<Node>),
    /// One of these at least.
    Any(Vec<Node>),
    /// Exactly what this does not match.
    Not(Box<Node>),
    /// One operator on one field.
    Condition(Condition),
}

impl Node {
    /// All of `nodes`.
    pub fn all(nodes: Vec<Self>) -> Self {
        alone(nodes).unwrap_or_else(Self::All)
    }

    /// One of `nodes` at least.
    pub fn any(nodes: Vec<Self>) -> Self {
        alone(nodes).unwrap_or_else(Self::Any)
    }

    /// How many conditions are in it with such a test.
    pub(super) fn count(&self, counts: &impl Fn(&Test) -> bool) -> usize {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().map(|node| node.count(counts)).sum(),
            Self::Not(node) => node.count(counts),
            Self::Condition(condition) => usize::from(counts(&condition.test)),
        }
    }

    /// What this does not match.
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }
}

/// The node, if it is only one.
fn alone(mut nodes: Vec<Node>) -> Result<Node, Vec<Node>> {
    if nodes.len() > 1 { Err(nodes) } else { nodes.pop().ok_or(nodes) }
}

impl Display for Node {
    /// JSON that is read as the same filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(nodes) if nodes.is_empty() => f.write_str("{}"),
            Self::All(nodes) => group(f, "$and", nodes),
            Self::Any(nodes) => group(f, "$or", nodes),
            Self::Not(node) => match &**node {
                Self::Condition(condition) => negated(f, condition),
                node => write!(f, r#"{{"$not":{node}}}"#),
            },
            Self::Condition(condition) => field(f, condition, written(&condition.test)),
        }
    }
}

fn group(f: &mut fmt::Formatter<'_>, name: &str, nodes: &[Node]) -> fmt::Result {
    write!(f, r#"{{"{name}":"#)?;
    list(f, nodes)?;
    f.write_str("}")
}

/// An operator and the JSON of its operand.
type Written = (&'static str, String);

fn field(f: &mut fmt::Formatter<'_>, condition: &Condition, (name, operand): Written) -> fmt::Result {
    let path = text(&condition.path.to_string());
    write!(f, r#"{{{path}:{{"{name}":{operand}}}}}"#)
}

fn negated(f: &mut fmt::Formatter<'_>, condition: &Condition) -> fmt::Result {
    match &condition.test {
        Test::Exists => field(f, condition, ("$exists", "false".into())),
        Test::OneOf(set) => field(f, condition, one_or_more(set, "$ne", "$nin")),
        test => {
            f.write_str(r#"{"$not":"#)?;
            field(f, condition, written(test))?;
            f.write_str("}")
        }
    }
}

fn written(test: &Test) -> Written {
    match test {
        Test::Exists => ("$exists", "true".into()),
        Test::OneOf(set) => one_or_more(set, "$eq", "$in"),
        Test::Compare(side, bound) => (
            match side {
                Side::Above => "$gt",
                Side::From => "$gte",
                Side::Below => "$lt",
                Side::UpTo => "$lte",
            },
            match bound {
                Bound::Number(number) => number.to_string(),
                Bound::Time(_, written) | Bound::Text(written) => text(written),
            },
        ),
        Test::Contains(part) => ("$contains", text(part)),
        Test::StartsWith(part) => ("$startsWith", text(part)),
        Test::EndsWith(part) => ("$endsWith", text(part)),
        Test::Matches(pattern) => (
            match pattern.syntax() {
                Syntax::Regex => "$regex",
                Syntax::Glob => "$glob",
                Syntax::IgnoreCase => "$icontains",
            },
            text(pattern.source()),
        ),
        Test::ArrayAny(set) => one_or_more(set, "$arrayContains", "$arrayContainsAny"),
        Test::ArrayAll(set) => ("$arrayContainsAll", set.to_string()),
    }
}

fn one_or_more(set: &Set, one: &'static str, more: &'static str) -> Written {
    match set.values() {
        [value] => (one, value.to_string()),
        _ => (more, set.to_string()),
    }
}
