//! Filters from JSON. Whatever is not understood is refused with its place, never left out: a
//! condition that is dropped would let rows through.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Limits,
    condition::{Bound, Condition, Side, Test},
    json::{Json, Set},
    node::Node,
    path::Path,
    pattern::{Pattern, Syntax},
    reader::{Items, Unreadable, Value},
};
use crate::error::{Error, Result};

/// What may stand at a field.
const OPERATORS: [&str; 18] = [
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$contains",
    "$icontains",
    "$startsWith",
    "$endsWith",
    "$glob",
    "$regex",
    "$arrayContains",
    "$arrayContainsAll",
    "$arrayContainsAny",
];
/// What may stand beside fields.
const LOGIC: [&str; 3] = ["$and", "$or", "$not"];
/// Characters of a name that a message repeats.
const SHOWN: usize = 60;

/// Reads the filter that `text` is. `place` is where it stands in the request.
pub fn parse(text: &str, place: &str, limits: &Limits) -> Result<Node> {
    // Syntax is checked as a whole first, without recursion; the reader below takes it for granted.
    serde_json::from_str::<&RawValue>(text)
        .map_err(|error| Error::invalid(place, format!("malformed JSON: {error}")))?;
    let value = Value::of(text).map_err(|reason| unreadable(place, reason))?;
    Parser { limits, nodes: 0, values: 0, patterns: 0 }.filter(place, value, 1)
}

struct Parser<'a> {
    limits: &'a Limits,
    nodes: usize,
    values: usize,
    patterns: usize,
}

type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

impl Parser<'_> {
    /// An object of fields and logic, all of which must hold.
    fn filter(&mut self, place: &str, value: Value<'_>, depth: usize) -> Result<Node> {
        let Value::Object(text) = value else {
            return Err(unexpected(place, &value, r#"an object such as {"year": {"$gte": 2000}}"#));
        };
        let members = self.members(place, text)?;
        let depth = self.level(place, &members, depth)?;
        let nodes = members.into_iter().map(|(name, value)| {
            let place = format!("{place}.{}", shown(&name));
            match &*name {
                "$and" => self.filters(&place, value, depth).map(Node::all),
                "$or" => self.filters(&place, value, depth).map(Node::any),
                "$not" => {
                    self.node(&place, depth)?;
                    self.filter(&place, value, depth + 1).map(Node::negated)
                }
                name if name.starts_with('$') => Err(not_logic(place, name)),
                name => self.field(&place, name, value, depth),
            }
        });
        nodes.collect::<Result<_>>().map(Node::all)
    }

    /// The filters of `$and` or `$or`.
    fn filters(&mut self, place: &str, value: Value<'_>, depth: usize) -> Result<Vec<Node>> {
        self.node(place, depth)?;
        let Value::Array(text) = value else {
            return Err(unexpected(place, &value, "an array of filters"));
        };
        let (mut items, mut nodes) = (Items::of(text), Vec::new());
        while let Some(element) = items.element().map_err(|reason| unreadable(place, reason))? {
            nodes.push(self.filter(&format!("{place}[{}]", nodes.len()), element, depth + 1)?);
        }
        if nodes.is_empty() {
            return Err(Error::invalid(place, "found an empty array; expected at least one filter"));
        }
        Ok(nodes)
    }

    fn field(&mut self, place: &str, name: &str, value: Value<'_>, depth: usize) -> Result<Node> {
        let path = Path::parse(name).map_err(|message| Error::invalid(place, message))?;
        if let Value::Object(_) = value {
            return self.operators(place, &path, value, depth);
        }
        self.node(place, depth)?;
        self.equal(place, value).map(|test| condition(&path, test))
    }

    /// An object of operators, all of which must hold.
    fn operators(&mut self, place: &str, path: &Path, value: Value<'_>, depth: usize) -> Result<Node> {
        const EXPECTED: &str = r#"an object of operators such as {"$gte": 2000}"#;
        let Value::Object(text) = value else { return Err(unexpected(place, &value, EXPECTED)) };
        let members = self.members(place, text)?;
        if members.is_empty() {
            let message = format!(r#"found an empty object; expected {EXPECTED}, or {{"$eq": {{}}}}"#);
            return Err(Error::invalid(place, message));
        }
        let depth = self.level(place, &members, depth)?;
        let nodes = members.into_iter().map(|(name, value)| {
            let place = format!("{place}.{}", shown(&name));
            self.node(&place, depth)?;
            match &*name {
                "$not" => self.operators(&place, path, value, depth + 1).map(Node::negated),
                "$ne" => self.equal(&place, value).map(|test| condition(path, test).negated()),
                "$nin" => self.values(&place, value).map(|set| condition(path, Test::OneOf(set)).negated()),
                "$exists" => match value {
                    Value::Bool(true) => Ok(condition(path, Test::Exists)),
                    Value::Bool(false) => Ok(condition(path, Test::Exists).negated()),
                    _ => Err(unexpected(&place, &value, "true or false")),
                },
                name => self.test(&place, path, name, value).map(|test| condition(path, test)),
            }
        });
        nodes.collect::<Result<_>>().map(Node::all)
    }

    fn test(&mut self, place: &str, path: &Path, name: &str, value: Value<'_>) -> Result<Test> {
        Ok(match name {
            "$eq" => self.equal(place, value)?,
            "$in" => Test::OneOf(self.values(place, value)?),
            "$gt" => Test::Compare(Side::Above, bound(place, value)?),
            "$gte" => Test::Compare(Side::From, bound(place, value)?),
            "$lt" => Test::Compare(Side::Below, bound(place, value)?),
            "$lte" => Test::Compare(Side::UpTo, bound(place, value)?),
            "$contains" => Test::Contains(text(place, value)?),
            "$startsWith" => Test::StartsWith(text(place, value)?),
            "$endsWith" => Test::EndsWith(text(place, value)?),
            "$icontains" => self.pattern(place, Syntax::IgnoreCase, value)?,
            "$glob" => self.pattern(place, Syntax::Glob, value)?,
            "$regex" => self.pattern(place, Syntax::Regex, value)?,
            "$arrayContains" => Test::ArrayAny(self.set_of_one(place, value)?),
            "$arrayContainsAny" => Test::ArrayAny(self.values(place, value)?),
            "$arrayContainsAll" => Test::ArrayAll(self.values(place, value)?),
            name => return Err(not_operator(place, path, name)),
        })
    }

    fn equal(&mut self, place: &str, value: Value<'_>) -> Result<Test> {
        self.set_of_one(place, value).map(Test::OneOf)
    }

    fn set_of_one(&mut self, place: &str, value: Value<'_>) -> Result<Set> {
        Ok(Set::new(vec![self.json(place, value)?]))
    }

    fn values(&mut self, place: &str, value: Value<'_>) -> Result<Set> {
        let Value::Array(text) = value else { return Err(unexpected(place, &value, "an array of values")) };
        let (mut items, mut values) = (Items::of(text), Vec::new());
        while let Some(element) = items.element().map_err(|reason| unreadable(place, reason))? {
            values.push(self.json(place, element)?);
        }
        Ok(Set::new(values))
    }

    /// An operand with all that is in it, within the limit.
    fn json(&mut self, place: &str, value: Value<'_>) -> Result<Json> {
        let max = self.limits.values;
        let count = &mut || {
            self.values += 1;
            if self.values > max { Err(Refused::TooMany) } else { Ok(()) }
        };
        Json::of(value, count).map_err(|refused| match refused {
            Refused::Unreadable(reason) => unreadable(place, reason),
            Refused::TooMany => over(place, "limits.filter_values", max),
        })
    }

    fn pattern(&mut self, place: &str, syntax: Syntax, value: Value<'_>) -> Result<Test> {
        let source = text(place, value)?;
        self.patterns += 1;
        if self.patterns > self.limits.patterns {
            return Err(over(place, "limits.filter_patterns", self.limits.patterns));
        }
        let pattern = Pattern::new(syntax, &source);
        pattern.map(Test::Matches).map_err(|message| Error::invalid(place, message))
    }

    /// The members of an object. A repeated name is refused: one of two conditions would be lost.
    fn members<'a>(&self, place: &str, object: &'a str) -> Result<Members<'a>> {
        let unreadable = |reason| unreadable(place, reason);
        let (mut items, mut members) = (Items::of(object), Members::new());
        while let Some(name) = items.key().map_err(unreadable)? {
            if members.len() == self.limits.nodes {
                return Err(over(place, "limits.filter_nodes", self.limits.nodes));
            }
            if members.iter().any(|(other, _)| *other == name) {
                let message = "stands here twice; put the conditions into $and";
                return Err(Error::invalid(format!("{place}.{}", shown(&name)), message));
            }
            let value = items.value().map_err(|reason| self::unreadable(place, reason))?;
            members.push((name, value));
        }
        Ok(members)
    }

    /// Several members are a level of their own, since they are joined like those of `$and`.
    fn level(&mut self, place: &str, members: &Members<'_>, depth: usize) -> Result<usize> {
        if members.len() < 2 {
            return Ok(depth);
        }
        self.node(place, depth)?;
        Ok(depth + 1)
    }

    /// Counts a part of the filter that stands at this depth.
    fn node(&mut self, place: &str, depth: usize) -> Result<()> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(over(place, "limits.filter_nodes", self.limits.nodes));
        }
        if depth > self.limits.depth {
            return Err(over(place, "limits.filter_depth", self.limits.depth));
        }
        Ok(())
    }
}

/// Why an operand is refused.
enum Refused {
    Unreadable(Unreadable),
    TooMany,
}

impl From<Unreadable> for Refused {
    fn from(reason: Unreadable) -> Self {
        Self::Unreadable(reason)
    }
}

fn condition(path: &Path, test: Test) -> Node {
    Node::Condition(Condition { path: path.clone(), test })
}

fn bound(place: &str, value: Value<'_>) -> Result<Bound> {
    match value {
        Value::Number(number) => Ok(Bound::Number(number)),
        Value::String(text) => Ok(Bound::text(&text)),
        _ => Err(unexpected(place, &value, "a number, or a string (text or an RFC 3339 time)")),
    }
}

fn text(place: &str, value: Value<'_>) -> Result<Box<str>> {
    match value {
        Value::String(text) => Ok(text.into()),
        _ => Err(unexpected(place, &value, "a string")),
    }
}

fn over(place: &str, limit: &'static str, max: usize) -> Error {
    // Counting stops at the first that is too many.
    Error::LimitExceeded { field: place.into(), limit, max: max as u64, actual: max as u64 + 1 }
}

fn unreadable(place: &str, Unreadable(reason): Unreadable) -> Error {
    Error::invalid(place, format!("cannot be read: {reason}"))
}

fn unexpected(place: &str, found: &Value<'_>, expected: &str) -> Error {
    Error::invalid(place, format!("found {}; expected {expected}", found.kind()))
}

/// A name with a dollar sign where fields stand.
fn not_logic(place: String, name: &str) -> Error {
    let message = match OPERATORS.contains(&name) {
        true => format!(r#"{name} stands inside of a field: {{"field": {{"{name}": …}}}}"#),
        false if name == "$nor" => r#"is written {"$not": {"$or": […]}}"#.into(),
        false => format!(
            r"unknown operator{} Here stand {} and fields; a dollar sign that begins a field's name is written \$",
            meant(name, LOGIC.iter().chain(&OPERATORS)),
            LOGIC.join(" "),
        ),
    };
    Error::invalid(place, message)
}

/// A name that is no operator, at a field.
fn not_operator(place: &str, path: &Path, name: &str) -> Error {
    let message = match name {
        "$and" | "$or" => format!(r#"{name} stands beside fields: {{"{name}": [{{"field": …}}, …]}}"#),
        "$options" => r#"flags stand in the pattern: {"$regex": "(?i)…"}"#.into(),
        _ if !name.starts_with('$') => format!(
            "expected an operator; a nested field is written {:?}, and an object to compare with {{\"$eq\": {{…}}}}",
            format!("{path}.{}", shown(name)),
        ),
        _ => format!(
            "unknown operator{} The operators are {} $not",
            meant(name, OPERATORS.iter().chain(&["$not"])),
            OPERATORS.join(" "),
        ),
    };
    Error::invalid(place, message)
}

/// What was probably meant by an unknown operator.
fn meant<'a>(name: &str, known: impl Iterator<Item = &'a &'a str>) -> String {
    let name = shown(name).to_lowercase();
    let scored = known
        .map(|known| (strsim::normalized_damerau_levenshtein(&name, &known.to_lowercase()), *known))
        .filter(|(score, _)| *score > 0.5);
    let nearest = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map_or_else(|| ".".into(), |(_, known)| format!("; did you mean {known}?"))
}

/// A name as far as messages repeat it.
fn shown(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => Cow::Borrowed(name),
    }
}
