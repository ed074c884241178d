//! JSON lines: one row a line.

use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::source::{Lines, ReadError, RowSource};
use crate::{
    error::Error,
    service::{RowsBuilder, compact_metadata, ttl},
};

/// A file of JSON lines.
pub(super) struct Jsonl {
    lines: Lines,
}

/// A row as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    /// Null for a row without a vector.
    #[serde(alias = "vector", deserialize_with = "Option::deserialize")]
    values: Option<Vec<f32>>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(default)]
    ttl_seconds: Option<u64>,
}

/// An id: text, or an integer that becomes text.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Id<'a> {
    #[serde(borrow)]
    Text(std::borrow::Cow<'a, str>),
    Unsigned(u64),
    Signed(i64),
}

impl Id<'_> {
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text.into_owned(),
            Self::Unsigned(number) => number.to_string(),
            Self::Signed(number) => number.to_string(),
        }
    }
}

impl Jsonl {
    pub fn open(path: &Path) -> Result<Self, String> {
        Ok(Self { lines: Lines::open(path)? })
    }
}

impl RowSource for Jsonl {
    fn next_row(&mut self, rows: &mut RowsBuilder<'_>) -> Result<Option<u64>, ReadError> {
        let Some(line) = self.lines.next_line().map_err(ReadError::File)? else { return Ok(None) };
        let row: Line<'_> = serde_json::from_slice(line).map_err(|error| ReadError::File(in_line(&error)))?;
        rows.begin_row()?;
        match &row.values {
            Some(values) => rows.push_values(values)?,
            None => rows.without_vector(),
        }
        let metadata =
            row.metadata.map(|json| compact_metadata(rows.limits(), || rows.path("metadata"), json.get()));
        let metadata = metadata.transpose()?;
        let ttl = row.ttl_seconds.map(|seconds| ttl(|| rows.path("ttl_seconds"), seconds)).transpose()?;
        let bytes = row.values.as_ref().map_or(0, Vec::len) * 4 + metadata.as_deref().map_or(0, str::len);
        rows.end_row(&row.id.into_text(), metadata, ttl)?;
        Ok(Some(bytes as u64))
    }

    fn place(&self) -> String {
        format!("line {}", self.lines.number())
    }

    fn position(&self) -> u64 {
        self.lines.position()
    }

    fn total(&self) -> u64 {
        self.lines.length()
    }
}

/// What serde says, with the place inside of the line instead of "line 1".
pub(super) fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    match error.column() {
        0 => message.to_owned(),
        column => format!("{message} at column {column}"),
    }
}

/// A line of a metadata file as metadata, without the field `id_field`, which is the id.
pub(super) fn metadata_line(
    line: &[u8],
    id_field: Option<&str>,
) -> Result<(String, Option<String>), ReadError> {
    let file = |error: serde_json::Error| ReadError::File(in_line(&error));
    let Some(id_field) = id_field else {
        let json: &RawValue = serde_json::from_slice(line).map_err(file)?;
        return Ok((json.get().to_owned(), None));
    };
    // Order and numbers stay as they are: only the names are looked at.
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(file)?;
    let (mut text, mut id) = (String::from("{"), None);
    for (name, value) in fields.0 {
        if name == id_field {
            let parsed = serde_json::from_str::<Id<'_>>(value.get());
            id = Some(
                parsed
                    .map_err(|_| ReadError::File(format!("field {name:?} is no text and no integer")))?
                    .into_text(),
            );
            continue;
        }
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&name).map_err(file)?);
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    let missing = || ReadError::Row(Error::invalid(id_field, "is missing, and is to be the id"));
    Ok((text, Some(id.ok_or_else(missing)?)))
}

/// An object's fields in their order.
pub(super) struct Fields<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
