//! Orders of rows by fields of their metadata.
//!
//! A row whose field is missing or null comes after all others, ascending or descending. Values of different types
//! come as booleans, numbers, text, objects; numbers by value, text by code points. Of several values the least
//! counts ascending, and the greatest descending. Rows that are equal in all fields come in the order of their ids.

use std::{cmp::Reverse, fmt};

use crate::types::filter::{Items, Json, Path, Read, Unreadable, Value, text};

/// A field that orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBy {
    /// Which.
    pub field: Path,
    /// Whether the greatest come first.
    pub descending: bool,
}

/// Where a row comes in an order; the least is the first. Only positions of the same order can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    keys: Vec<Key>,
    id: Box<str>,
}

/// The value of a field. Fields that are missing come last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Ascending(Json),
    Descending(Reverse<Json>),
    Missing,
}

impl Position {
    /// That of a row.
    pub fn of(order: &[OrderBy], id: &str, metadata: Option<&str>) -> Self {
        let keys = order.iter().map(|by| by.key(metadata)).collect();
        Self { keys, id: id.into() }
    }

    /// Reads what [`fmt::Display`] wrote; none if that is no position of this order.
    pub fn parse(order: &[OrderBy], position: &str) -> Option<Self> {
        serde_json::from_str::<&serde_json::value::RawValue>(position).ok()?;
        let Value::Array(array) = Value::of(position).ok()? else { return None };
        let (mut items, mut keys) = (Items::of(array), Vec::with_capacity(order.len()));
        for by in order {
            let value = json(items.element().ok()??).ok()?;
            keys.push(by.key_of(Some(value).filter(|value| *value != Json::Null)));
        }
        let Value::String(id) = items.element().ok()?? else { return None };
        items.element().ok()?.is_none().then(|| Self { keys, id: id.into() })
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let bytes = |key: &Key| match key {
            Key::Ascending(value) | Key::Descending(Reverse(value)) => value.bytes(),
            Key::Missing => 0,
        };
        self.id.len() + self.keys.iter().map(bytes).sum::<usize>()
    }
}

impl OrderBy {
    fn key(&self, metadata: Option<&str>) -> Key {
        let mut best: Option<Json> = None;
        let read = self.field.visit(metadata.unwrap_or("{}"), &mut |value| {
            let Ok(value) = json(value.clone()) else { return };
            let is_better = match &best {
                _ if value == Json::Null => false,
                None => true,
                Some(best) => {
                    if self.descending {
                        value > *best
                    } else {
                        value < *best
                    }
                }
            };
            if is_better {
                best = Some(value);
            }
        });
        self.key_of(read.ok().and(best))
    }

    fn key_of(&self, value: Option<Json>) -> Key {
        match value {
            None => Key::Missing,
            Some(value) if self.descending => Key::Descending(Reverse(value)),
            Some(value) => Key::Ascending(value),
        }
    }
}

fn json(value: Value<'_>) -> Read<Json> {
    Json::of::<Unreadable>(value, &mut || Ok(()))
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for key in &self.keys {
            match key {
                Key::Ascending(value) | Key::Descending(Reverse(value)) => write!(f, "{value},")?,
                Key::Missing => f.write_str("null,")?,
            }
        }
        write!(f, "{}]", text(&self.id))
    }
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { "desc" } else { "asc" };
        write!(f, r#"[{},"{direction}"]"#, text(&self.field.to_string()))
    }
}
