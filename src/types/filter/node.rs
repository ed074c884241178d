//! The logic of a filter, and how it is written.

use std::fmt::{self, Display};

use super::{
    condition::{Bound, Condition, Side, Test},
    json::{Json, Set, list, quoted},
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

    /// What this does not match.
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }
}

/// The node, if it is only one.
fn alone(mut nodes: Vec<Node>) -> Result<Node, Vec<Node>> {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => Ok(node),
        Some(node) => {
            nodes.push(node);
            Err(nodes)
        }
        None => Err(nodes),
    }
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

/// An operator and its operand.
type Written<'a> = (&'static str, Operand<'a>);

enum Operand<'a> {
    Bool(bool),
    Number(&'a dyn Display),
    Text(&'a str),
    Value(&'a Json),
    Values(&'a [Json]),
}

fn field(f: &mut fmt::Formatter<'_>, condition: &Condition, (name, operand): Written<'_>) -> fmt::Result {
    f.write_str("{")?;
    quoted(f, &condition.path.to_string())?;
    write!(f, r#":{{"{name}":"#)?;
    match operand {
        Operand::Bool(value) => write!(f, "{value}")?,
        Operand::Number(number) => number.fmt(f)?,
        Operand::Text(text) => quoted(f, text)?,
        Operand::Value(value) => value.fmt(f)?,
        Operand::Values(values) => list(f, values)?,
    }
    f.write_str("}}")
}

fn negated(f: &mut fmt::Formatter<'_>, condition: &Condition) -> fmt::Result {
    let written = match &condition.test {
        Test::Exists => ("$exists", Operand::Bool(false)),
        Test::OneOf(set) => one_or_more(set, "$ne", "$nin"),
        test => {
            let (name, operand) = written(test);
            // The operator's own object stands inside `$not`.
            write!(f, r#"{{"$not":"#)?;
            field(f, condition, (name, operand))?;
            return f.write_str("}");
        }
    };
    field(f, condition, written)
}

fn written(test: &Test) -> Written<'_> {
    match test {
        Test::Exists => ("$exists", Operand::Bool(true)),
        Test::OneOf(set) => one_or_more(set, "$eq", "$in"),
        Test::Compare(side, bound) => {
            let name = match side {
                Side::Above => "$gt",
                Side::From => "$gte",
                Side::Below => "$lt",
                Side::UpTo => "$lte",
            };
            match bound {
                Bound::Number(number) => (name, Operand::Number(number)),
                Bound::Time(_, text) | Bound::Text(text) => (name, Operand::Text(text)),
            }
        }
        Test::Contains(text) => ("$contains", Operand::Text(text)),
        Test::StartsWith(text) => ("$startsWith", Operand::Text(text)),
        Test::EndsWith(text) => ("$endsWith", Operand::Text(text)),
        Test::Matches(pattern) => {
            let name = match pattern.syntax() {
                Syntax::Regex => "$regex",
                Syntax::Glob => "$glob",
                Syntax::IgnoreCase => "$icontains",
            };
            (name, Operand::Text(pattern.source()))
        }
        Test::ArrayAny(set) => one_or_more(set, "$arrayContains", "$arrayContainsAny"),
        Test::ArrayAll(set) => ("$arrayContainsAll", Operand::Values(set.values())),
    }
}

fn one_or_more<'a>(set: &'a Set, one: &'static str, more: &'static str) -> Written<'a> {
    match set.values() {
        [value] => (one, Operand::Value(value)),
        values => (more, Operand::Values(values)),
    }
}
