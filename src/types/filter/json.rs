//! Values of a filter, in an order in which they can be searched.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use super::{
    number::Number,
    reader::{Items, Read, Unreadable, Value},
};

/// Arrays and objects inside each other, in metadata and in an operand that is compared with it. Low enough that an
/// answer which wraps metadata in a few more levels is within every parser's bound (serde_json's is 128).
pub const MAX_DEPTH: usize = 64;

/// A JSON value. Objects are equal whatever the order of their members; of members with the same key
/// the last one counts, as it does for those who read the metadata.
///
/// The order is that of the variants, then of the values. It is only there to search by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(Box<str>),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(BTreeMap<Box<str>, Json>),
}

impl Json {
    /// The whole of `value`. `count` is called for each value in it, and may refuse.
    pub fn of<E: From<Unreadable>>(
        value: Value<'_>,
        count: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        Self::read(value, MAX_DEPTH, count)
    }

    fn read<E: From<Unreadable>>(
        value: Value<'_>,
        depth: usize,
        count: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        count()?;
        let inner = depth.checked_sub(1).ok_or(Unreadable("values are nested more than 64 levels deep"));
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::String(text.into()),
            Value::Array(text) => {
                let (mut items, mut elements) = (Items::of(text), Vec::new());
                while let Some(element) = items.element()? {
                    elements.push(Self::read(element, inner?, count)?);
                }
                Self::Array(elements)
            }
            Value::Object(text) => {
                let (mut items, mut members) = (Items::of(text), BTreeMap::new());
                while let Some(key) = items.key()? {
                    members.insert(key.into(), Self::read(items.value()?, inner?, count)?);
                }
                Self::Object(members)
            }
        })
    }

    /// How this value and `value`, which is neither array nor object, are ordered.
    fn compare(&self, value: &Value<'_>) -> Ordering {
        match (self, value) {
            (Self::Bool(left), Value::Bool(right)) => left.cmp(right),
            (Self::Number(left), Value::Number(right)) => left.cmp(right),
            (Self::String(left), Value::String(right)) => (**left).cmp(right),
            _ => self.rank().cmp(&rank(value)),
        }
    }

    /// The place of its variant.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::String(_) => 3,
            Self::Array(_) => 4,
            Self::Object(_) => 5,
        }
    }

    /// The bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Null | Self::Bool(_) | Self::Number(_) => 0,
                Self::String(text) => text.len(),
                Self::Array(elements) => elements.iter().map(Self::bytes).sum(),
                Self::Object(members) => members.iter().map(|(key, value)| key.len() + value.bytes()).sum(),
            }
    }

    fn is_nested(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Object(_))
    }
}

/// [`Json::rank`] of what `value` would be.
fn rank(value: &Value<'_>) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::String(string) => f.write_str(&text(string)),
            Self::Array(elements) => list(f, elements),
            Self::Object(members) => {
                f.write_str("{")?;
                for (place, (key, value)) in members.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { "," })?;
                    write!(f, "{}:{value}", text(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// `text` as a JSON string.
pub fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes `items` as a JSON array.
pub fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    f.write_str("[")?;
    for (place, item) in items.iter().enumerate() {
        f.write_str(if place == 0 { "" } else { "," })?;
        item.fmt(f)?;
    }
    f.write_str("]")
}

/// Different values, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set(Vec<Json>);

impl Set {
    /// The set of these.
    pub fn new(mut values: Vec<Json>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self(values)
    }

    /// Its values, ascending.
    pub fn values(&self) -> &[Json] {
        &self.0
    }

    /// Whether `null` is in it.
    pub fn has_null(&self) -> bool {
        self.0.first() == Some(&Json::Null)
    }

    /// The place of `value` among its values.
    pub fn find(&self, value: &Value<'_>) -> Read<Option<usize>> {
        if let Value::Array(_) | Value::Object(_) = value {
            if !self.0.last().is_some_and(Json::is_nested) {
                return Ok(None);
            }
            let value = Json::of(value.clone(), &mut || Ok::<_, Unreadable>(()))?;
            return Ok(self.0.binary_search(&value).ok());
        }
        Ok(self.0.binary_search_by(|item| item.compare(value)).ok())
    }

    /// Whether `value` is in it.
    pub fn has(&self, value: &Value<'_>) -> Read<bool> {
        self.find(value).map(|place| place.is_some())
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::of(Value::of(text).unwrap(), &mut || Ok::<_, Unreadable>(())).unwrap()
    }

    const VALUES: [&str; 14] = [
        "null",
        "false",
        "true",
        "-1.5",
        "0",
        "9007199254740993",
        "\"\"",
        "\"a\"",
        "\"b\"",
        "[]",
        "[1,[2]]",
        "{}",
        r#"{"a":1,"b":[]}"#,
        r#"{"a":2}"#,
    ];

    #[test]
    fn a_set_finds_exactly_its_values() {
        for left_out in 0..VALUES.len() {
            let inside = VALUES.iter().enumerate().filter(|(at, _)| *at != left_out);
            let set = Set::new(inside.map(|(_, text)| json(text)).rev().collect());
            for (at, text) in VALUES.iter().enumerate() {
                let found = set.find(&Value::of(text).unwrap()).unwrap();
                assert_eq!(
                    found.map(|place| set.values()[place].clone()),
                    (at != left_out).then(|| json(text))
                );
            }
        }
        assert_eq!(Set::new(vec![json("1"), json("1.0"), json("1")]).values().len(), 1);
    }

    #[test]
    fn objects_are_equal_in_any_order_and_the_last_of_equal_keys_counts() {
        let set = Set::new(vec![json(r#"{"a":1,"b":2}"#)]);
        assert_eq!(set.has(&Value::of(r#"{ "b":2.0, "a":3, "\u0061":1 }"#).unwrap()), Ok(true));
        assert_eq!(set.has(&Value::of(r#"{"a":1}"#).unwrap()), Ok(false));
    }

    #[test]
    fn printing_keeps_the_value() {
        for text in VALUES {
            assert_eq!(json(&json(text).to_string()), json(text));
        }
        assert_eq!(json(r#"{"\u0000\"é":["\n"]}"#).to_string(), r#"{"\u0000\"é":["\n"]}"#);
    }

    #[test]
    fn deep_values_are_refused() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let read = |text: &str| Json::of(Value::of(text).unwrap(), &mut || Ok::<_, Unreadable>(()));
        assert!(read(&deep(MAX_DEPTH)).is_ok());
        assert!(read(&deep(MAX_DEPTH + 2)).is_err());
        assert!(read(&deep(1_000_000)).is_err());
    }
}
