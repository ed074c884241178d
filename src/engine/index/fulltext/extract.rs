//! The texts of a row, from its metadata.
//!
//! A path leads on as in filters: into the members of objects, and in arrays to the place that is a number
//! or into the members of each object. At its end a string is a text, and so is each string of an array.

use crate::types::{
    filter::{Items, Path, Raw, Read, Value, place_in_array},
    text::FulltextParams,
};

/// Finds the texts of fields.
#[derive(Debug, Clone)]
pub struct Extractor {
    fields: Vec<Path>,
}

impl Extractor {
    /// For the fields of an index; those that are no paths have no texts.
    pub fn new(params: &FulltextParams) -> Result<Self, String> {
        let fields = params.fields.iter().map(|field| Path::parse(field)).collect::<Result<_, _>>()?;
        Ok(Self { fields })
    }

    /// Calls `visit` with each text of a row and the place of its field. Metadata that cannot be read has
    /// no texts from there on.
    pub fn visit(&self, metadata: &str, visit: &mut dyn FnMut(usize, &str)) {
        for (field, path) in self.fields.iter().enumerate() {
            let mut visit = |text: &str| visit(field, text);
            let _unreadable =
                Items::of_object(metadata).and_then(|items| members(items, path.parts(), &mut visit));
        }
    }
}

fn members(mut items: Items<'_>, path: &[Box<str>], visit: &mut dyn FnMut(&str)) -> Read<()> {
    let Some((key, rest)) = path.split_first() else { return Ok(()) };
    let mut found: Option<Raw<'_>> = None;
    // Of members with the same key the last one counts.
    while let Some(member) = items.key()? {
        let value = items.skip()?;
        if *member == **key {
            found = Some(value);
        }
    }
    found.map_or(Ok(()), |value| walk(&value.read()?, rest, visit))
}

fn walk(value: &Value<'_>, path: &[Box<str>], visit: &mut dyn FnMut(&str)) -> Read<()> {
    match value {
        Value::String(text) if path.is_empty() => visit(text),
        Value::Array(array) => elements(array, path, visit)?,
        Value::Object(object) => members(Items::of(object), path, visit)?,
        _ => {}
    }
    Ok(())
}

fn elements(array: &str, path: &[Box<str>], visit: &mut dyn FnMut(&str)) -> Read<()> {
    let place = path.first().and_then(|part| place_in_array(part));
    let (mut items, mut at) = (Items::of(array), 0);
    while let Some(element) = items.element()? {
        match (&element, path.split_first()) {
            (Value::String(text), None) => visit(text),
            (_, Some((_, rest))) if place == Some(at) => walk(&element, rest, visit)?,
            _ => {}
        }
        if let Value::Object(object) = element {
            members(Items::of(object), path, visit)?;
        }
        at += 1;
    }
    Ok(())
}
