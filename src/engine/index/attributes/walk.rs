//! The keys of a row: one pass over its metadata.
//!
//! Everything is read, also what no filter can name, so that a row is either readable in all of its parts or
//! marked as one that only reading decides: whether a filter may fail on it depends on where the filter looks.
//!
//! Invariant: a path leads here to what it leads a filter to, but for places in arrays, which are not followed.

use super::key::{ARRAY, ELEMENT, EXISTS, Key, NESTED, NULL, OBJECT};
use crate::types::filter::{Items, Read, Time, Unreadable, Value};

/// Levels of objects and arrays that are walked. Metadata is nested up to 64 levels; beyond this many a row is
/// read, since a filter that compares whole values may find it too deep.
const MAX_DEPTH: usize = 48;
const TOO_DEEP: Unreadable = Unreadable("values are nested too deep");

/// What becomes of what a walk finds.
pub trait Found {
    /// A path: that of a member of the objects at another one.
    fn child(&mut self, parent: u32, key: &str) -> u32;

    /// A key of the row at a path.
    fn key(&mut self, path: u32, key: &Key);

    /// One more value at a path.
    fn value(&mut self, path: u32);
}

/// Goes through a row's metadata.
pub fn walk(object: &str, found: &mut impl Found) -> Read<()> {
    let mut walker = Walker { found, depth: 0 };
    walker.members(0, Items::of_object(object)?)?.end()
}

struct Walker<'f, F> {
    found: &'f mut F,
    depth: usize,
}

impl<F: Found> Walker<'_, F> {
    /// Goes through the members of an object; of members with the same key the last one counts.
    fn members<'a>(&mut self, path: u32, mut items: Items<'a>) -> Read<Items<'a>> {
        let mut members = Vec::new();
        while let Some(key) = items.key()? {
            members.push((key, items.skip()?));
        }
        // In a stable order, so that the last of equal keys is the last.
        members.sort_by(|(left, _), (right, _)| left.cmp(right));
        for (place, (key, value)) in members.iter().enumerate() {
            let (value, is_last) =
                (value.read()?, members.get(place + 1).is_none_or(|(next, _)| next != key));
            if is_last {
                let path = self.found.child(path, key);
                self.value(path, &value)?;
            } else {
                readable(value, MAX_DEPTH.saturating_sub(self.depth))?;
            }
        }
        Ok(items)
    }

    /// A value that a path leads to.
    fn value(&mut self, path: u32, value: &Value<'_>) -> Read<()> {
        self.found.key(path, &Key::of_kind(EXISTS));
        self.found.value(path);
        match value {
            Value::Array(text) => {
                self.found.key(path, &Key::of_kind(ARRAY));
                self.nested(|walker| walker.elements(path, Items::of(text)))
            }
            Value::Object(text) => {
                self.found.key(path, &Key::of_kind(OBJECT));
                self.nested(|walker| walker.members(path, Items::of(text)).map(drop))
            }
            scalar => {
                self.scalar(path, 0, scalar);
                Ok(())
            }
        }
    }

    fn elements(&mut self, path: u32, mut items: Items<'_>) -> Read<()> {
        while let Some(element) = items.element()? {
            match element {
                Value::Array(_) => {
                    self.found.key(path, &Key::of_kind(ELEMENT + NESTED));
                    // No path leads inside but by places.
                    readable(element, MAX_DEPTH.saturating_sub(self.depth))?;
                }
                Value::Object(text) => {
                    self.found.key(path, &Key::of_kind(ELEMENT + OBJECT));
                    self.nested(|walker| walker.members(path, Items::of(text)).map(drop))?;
                }
                scalar => self.scalar(path, ELEMENT, &scalar),
            }
        }
        Ok(())
    }

    fn scalar(&mut self, path: u32, element: u8, value: &Value<'_>) {
        let key = match value {
            Value::Null => Key::of_kind(element + NULL),
            Value::Bool(value) => Key::of_bool(element, *value),
            Value::Number(number) => Key::of_number(element, number),
            Value::String(text) => {
                if let Some(time) = Time::parse(text) {
                    self.found.key(path, &Key::of_time(element, time));
                }
                Key::of_text(element, text)
            }
            Value::Array(_) | Value::Object(_) => return,
        };
        self.found.key(path, &key);
    }

    fn nested(&mut self, inside: impl FnOnce(&mut Self) -> Read<()>) -> Read<()> {
        if self.depth == MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }
}

/// Whether a value can be read in all of its parts, of at most so many levels.
fn readable(value: Value<'_>, levels: usize) -> Read<()> {
    let inner = levels.checked_sub(1).ok_or(TOO_DEEP)?;
    match value {
        Value::Array(text) => {
            let mut items = Items::of(text);
            while let Some(element) = items.element()? {
                readable(element, inner)?;
            }
        }
        Value::Object(text) => {
            let mut items = Items::of(text);
            while items.key()?.is_some() {
                readable(items.value()?, inner)?;
            }
        }
        _ => {}
    }
    Ok(())
}
