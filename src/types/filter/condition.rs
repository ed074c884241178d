//! One operator on one field: what it accepts.
//!
//! A value of another type than the operator asks for is not accepted, and never an error: rows need
//! not agree on what a field holds. Negations are not made here but around conditions, so that each is
//! the exact complement of what it negates.

use std::cmp::Ordering;

use super::{
    json::Set,
    number::Number,
    path::Path,
    pattern::Pattern,
    reader::{Items, Read, Value},
    time::Time,
};

/// A test of what a path reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Where it looks.
    pub path: Path,
    /// What it accepts.
    pub test: Test,
}

/// What a condition accepts. All but `Exists`, `ArrayAny` and `ArrayAll` accept an array also if they
/// accept one of its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Any value, `null` included.
    Exists,
    /// One of these; with `null` among them, also that nothing is there (`$eq`, `$in`).
    OneOf(Set),
    /// Values on one side of a bound (`$gt`, `$gte`, `$lt`, `$lte`).
    Compare(Side, Bound),
    /// Text with this in it.
    Contains(Box<str>),
    /// Text that begins with this.
    StartsWith(Box<str>),
    /// Text that ends with this.
    EndsWith(Box<str>),
    /// Text that matches (`$regex`, `$glob`, `$icontains`).
    Matches(Pattern),
    /// Arrays with one of these as an element (`$arrayContains`, `$arrayContainsAny`).
    ArrayAny(Set),
    /// Arrays with all of these as elements (`$arrayContainsAll`).
    ArrayAll(Set),
}

/// Which side of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Above.
    Above,
    /// Above, or equal.
    From,
    /// Below.
    Below,
    /// Below, or equal.
    UpTo,
}

impl Side {
    /// Whether a value that is so ordered against the bound is accepted.
    pub fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::From => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::UpTo => order.is_le(),
        }
    }
}

/// What is compared with; only values of the same kind have an order against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// Numbers.
    Number(Number),
    /// Text that is an RFC 3339 time, by time; with what was written.
    Time(Time, Box<str>),
    /// Text, by Unicode code points.
    Text(Box<str>),
}

impl Bound {
    /// Text that is a time is one here.
    pub fn text(text: &str) -> Self {
        Time::parse(text).map_or_else(|| Self::Text(text.into()), |time| Self::Time(time, text.into()))
    }

    /// How `value` is ordered against the bound, if it is.
    pub fn order(&self, value: &Value<'_>) -> Option<Ordering> {
        match (value, self) {
            (Value::Number(number), Self::Number(bound)) => Some(number.cmp(bound)),
            (Value::String(text), Self::Time(bound, _)) => Time::parse(text).map(|time| time.cmp(bound)),
            (Value::String(text), Self::Text(bound)) => Some((**text).cmp(bound)),
            _ => None,
        }
    }
}

impl Test {
    /// Whether a value that is there is accepted.
    pub fn accepts(&self, value: &Value<'_>) -> Read<bool> {
        match (self, value) {
            (Self::Exists, _) => Ok(true),
            (Self::ArrayAny(set), Value::Array(text)) => any(text, |element| set.has(element)),
            (Self::ArrayAll(set), Value::Array(text)) => has_all(set, text),
            (Self::ArrayAny(_) | Self::ArrayAll(_), _) => Ok(false),
            (_, Value::Array(text)) => {
                Ok(self.accepts_one(value)? || any(text, |element| self.accepts_one(element))?)
            }
            _ => self.accepts_one(value),
        }
    }

    /// Whether nothing where the path leads is accepted.
    pub fn accepts_nothing(&self) -> bool {
        matches!(self, Self::OneOf(set) if set.has_null())
    }

    fn accepts_one(&self, value: &Value<'_>) -> Read<bool> {
        let text = || match value {
            Value::String(text) => Some(&**text),
            _ => None,
        };
        Ok(match self {
            Self::OneOf(set) => set.has(value)?,
            Self::Compare(side, bound) => bound.order(value).is_some_and(|order| side.accepts(order)),
            Self::Contains(part) => text().is_some_and(|text| text.contains(&**part)),
            Self::StartsWith(part) => text().is_some_and(|text| text.starts_with(&**part)),
            Self::EndsWith(part) => text().is_some_and(|text| text.ends_with(&**part)),
            Self::Matches(pattern) => text().is_some_and(|text| pattern.matches(text)),
            Self::Exists | Self::ArrayAny(_) | Self::ArrayAll(_) => false,
        })
    }
}

/// Whether an element of the array `text` is accepted.
fn any(text: &str, accepts: impl Fn(&Value<'_>) -> Read<bool>) -> Read<bool> {
    let mut items = Items::of(text);
    while let Some(element) = items.element()? {
        if accepts(&element)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_all(set: &Set, text: &str) -> Read<bool> {
    let mut missing = set.values().len();
    let mut is_found = vec![false; missing];
    let mut items = Items::of(text);
    while missing > 0
        && let Some(element) = items.element()?
    {
        if let Some(place) = set.find(&element)? {
            missing -= usize::from(!std::mem::replace(&mut is_found[place], true));
        }
    }
    Ok(missing == 0)
}
