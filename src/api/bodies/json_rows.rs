//! `{"vectors": [{"id", "values", "metadata"?, "ttl_seconds"?}, …], "mode"?, "if"?}` straight into columns.
//! `"values": null` is a row without a vector; one that lacks the field is refused.
//!
//! Nothing is built on the way: values go from the text into one flat vector, metadata stays text.
//! Serde can only report text, so a rule that is broken is kept as the [`Error`] that it is while
//! serde unwinds, and the position is known from the builder instead of being tracked.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{json_error, shorten};
use crate::{
    api::dto::{Condition, Mode, Whole},
    api::floats,
    config::LimitsConfig,
    error::{Error, Result},
    service::{RowsBuilder, compact_metadata, ttl},
    types::Rows,
};

/// Parses a whole body.
pub(super) fn parse(limits: &LimitsConfig, body: &[u8]) -> Result<(Rows, Condition)> {
    let mut reader = RowReader::new(limits, "vectors");
    let mut condition = Condition::default();
    reader.read(body, |reader, deserializer| {
        condition = deserializer.deserialize_map(BodyVisitor(reader))?;
        Ok(())
    })?;
    Ok((reader.builder.finish(), condition))
}

/// Reads rows, one JSON object each, into columns.
pub(super) struct RowReader<'l> {
    pub builder: RowsBuilder<'l>,
    /// The field of the row that is being read.
    field: Option<&'static str>,
    /// The field beside the rows that is being read.
    outside: Option<&'static str>,
    failure: Option<Error>,
}

impl<'l> RowReader<'l> {
    pub fn new(limits: &'l LimitsConfig, root: &'static str) -> Self {
        Self { builder: RowsBuilder::new(limits, root), field: None, outside: None, failure: None }
    }

    /// Reads one row.
    pub fn read_row(&mut self, text: &[u8]) -> Result<()> {
        self.read(text, |reader, deserializer| RowSeed(reader).deserialize(deserializer))
    }

    fn read<'de>(
        &mut self,
        text: &'de [u8],
        read: impl FnOnce(
            &mut Self,
            &mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
        ) -> serde_json::Result<()>,
    ) -> Result<()> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        match read(self, &mut deserializer).and_then(|()| deserializer.end()) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failure.take().unwrap_or_else(|| json_error(&self.position(), &error))),
        }
    }

    fn position(&self) -> String {
        if let Some(field) = self.outside {
            return field.into();
        }
        match self.field {
            None if self.builder.is_empty() => ".".into(),
            None => self.builder.row_path(),
            Some("values") => self.builder.path(&format!("values[{}]", self.builder.row_values())),
            Some(field) => self.builder.path(field),
        }
    }

    /// Keeps `error` and gives serde something to stop with.
    fn fail<E: de::Error>(&mut self, error: Error) -> E {
        self.failure = Some(error);
        E::custom("refused")
    }

    fn ensure<T, E: de::Error>(&mut self, result: Result<T>) -> Result<T, E> {
        result.map_err(|error| self.fail(error))
    }

    fn unknown_field<E: de::Error>(&mut self, path: String, known: &str) -> E {
        let message = format!("unknown field; the fields are {known}");
        self.fail(Error::WrongShape { field: shorten(path), message })
    }

    fn repeated_field<E: de::Error>(&mut self, path: String) -> E {
        self.fail(Error::WrongShape { field: path, message: "the field is given twice".into() })
    }

    fn missing_field<E: de::Error>(&mut self, path: String) -> E {
        self.fail(Error::WrongShape { field: path, message: "the field is missing".into() })
    }
}

struct BodyVisitor<'a, 'l>(&'a mut RowReader<'l>);

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
    type Value = Condition;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the field `vectors`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Condition, A::Error> {
        let (mut rows, mut mode, mut filter) = (None, None, None);
        while let Some(key) = map.next_key_seed(Key)? {
            let seen = match &*key {
                "vectors" => rows.is_some(),
                "mode" => mode.is_some(),
                "if" => filter.is_some(),
                other => return Err(self.0.unknown_field(other.to_owned(), "vectors, mode, if")),
            };
            if seen {
                return Err(self.0.repeated_field(key.into_owned()));
            }
            match &*key {
                "vectors" => rows = Some(map.next_value_seed(RowsSeed(self.0))?),
                "mode" => {
                    self.0.outside = Some("mode");
                    mode = Some(map.next_value::<Option<Mode>>()?);
                    self.0.outside = None;
                }
                _ => filter = Some(map.next_value::<Option<Box<RawValue>>>()?),
            }
        }
        match rows {
            Some(()) => Ok(Condition { mode: mode.flatten(), filter: filter.flatten() }),
            None => Err(self.0.missing_field("vectors".into())),
        }
    }
}

struct RowsSeed<'a, 'l>(&'a mut RowReader<'l>);

impl<'de> DeserializeSeed<'de> for RowsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(RowSeed(self.0))?.is_some() {}
        Ok(())
    }
}

struct RowSeed<'a, 'l>(&'a mut RowReader<'l>);

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// The fields of a row but its values, which go to the builder as they are read.
#[derive(Default)]
struct Fields<'de> {
    id: Option<Cow<'de, str>>,
    has_values: bool,
    metadata: Option<Option<Arc<str>>>,
    ttl: Option<Option<Duration>>,
}

impl<'de> Visitor<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields `id` and `values`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        let begun = reader.builder.begin_row();
        reader.ensure(begun)?;
        let mut fields = Fields::default();
        while let Some(key) = map.next_key_seed(Key)? {
            read_field(reader, &mut fields, &key, &mut map)?;
            reader.field = None;
        }
        let Some(id) = fields.id else { return Err(reader.missing_field(reader.builder.path("id"))) };
        if !fields.has_values {
            return Err(reader.missing_field(reader.builder.path("values")));
        }
        let ended =
            reader.builder.end_row(&id, fields.metadata.unwrap_or_default(), fields.ttl.unwrap_or_default());
        reader.ensure(ended)
    }
}

fn read_field<'de, A: MapAccess<'de>>(
    reader: &mut RowReader<'_>,
    fields: &mut Fields<'de>,
    key: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    let (name, seen) = match key {
        "id" => ("id", fields.id.is_some()),
        "values" | "vector" => ("values", fields.has_values),
        "metadata" => ("metadata", fields.metadata.is_some()),
        "ttl_seconds" => ("ttl_seconds", fields.ttl.is_some()),
        other => {
            return Err(reader.unknown_field(reader.builder.path(other), "id, values, metadata, ttl_seconds"));
        }
    };
    if seen {
        return Err(reader.repeated_field(reader.builder.path(name)));
    }
    reader.field = Some(name);
    match name {
        "id" => fields.id = Some(map.next_value_seed(Key)?),
        "values" => {
            map.next_value_seed(ValuesSeed(reader))?;
            fields.has_values = true;
        }
        "metadata" => {
            let text = map.next_value::<Option<&RawValue>>()?;
            let metadata = text.map(|text| {
                compact_metadata(reader.builder.limits(), || reader.builder.path("metadata"), text.get())
            });
            fields.metadata = Some(reader.ensure(metadata.transpose())?);
        }
        _ => {
            let seconds = map.next_value::<Option<Whole>>()?;
            let checked = seconds.map(|Whole(seconds)| ttl(|| reader.builder.path("ttl_seconds"), seconds));
            fields.ttl = Some(reader.ensure(checked.transpose())?);
        }
    }
    Ok(())
}

struct ValuesSeed<'a, 'l>(&'a mut RowReader<'l>);

impl<'de> DeserializeSeed<'de> for ValuesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValuesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(floats::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let field = self.0.builder.path("values");
        let values = floats::decode(text).map_err(|message| Error::WrongShape { field, message });
        for value in self.0.ensure(values)? {
            if let Err(error) = self.0.builder.push_value(value) {
                return Err(self.0.fail(error));
            }
        }
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.0.builder.without_vector();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while let Some(value) = values.next_element::<f32>()? {
            if let Err(error) = self.0.builder.push_value(value) {
                return Err(self.0.fail(error));
            }
        }
        Ok(())
    }
}

/// A string, borrowed from the text where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Rows> {
        let limits =
            LimitsConfig { batch_rows: 3, dimension: 4, metadata_bytes: 20, ..LimitsConfig::default() };
        Ok(parse(&limits, text.as_bytes())?.0)
    }

    #[test]
    fn rows_become_columns_whatever_the_order_of_their_fields() {
        let rows = parse_text(
            r#"{"vectors":[
                {"id":"a","values":[1,-2.5],"metadata":{ "k" : [1, 2] },"ttl_seconds":60},
                {"metadata":null,"vector":[3e-1,4],"id":"b\n\u00e9","ttl_seconds":null},
                {"values":[5,6],"id":"a"}
            ]}"#,
        )
        .unwrap();
        assert_eq!(rows.dimension, 2);
        assert_eq!(rows.ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["a", "b\né", "a"]);
        assert_eq!(rows.vectors, [1.0, -2.5, 0.3, 4.0, 5.0, 6.0]);
        assert_eq!(rows.metadata[0].as_deref(), Some(r#"{"k":[1,2]}"#));
        assert_eq!(rows.metadata[1..], [None, None]);
        assert_eq!(rows.ttl, [Some(Duration::from_secs(60)), None, None]);
        assert!(parse_text(r#"{"vectors":[]}"#).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let row = |fields: &str| format!(r#"{{"vectors":[{{"id":"a","values":[1,2]}},{{{fields}}}]}}"#);
        for (text, status_like, starts) in [
            (row(r#""id":"b","values":[1,"x"]"#), "shape", "vectors[1].values[1]: invalid type: string"),
            (row(r#""id":"b","values":[1,null]"#), "shape", "vectors[1].values[1]: invalid type: null"),
            (row(r#""id":"b","values":[1,1e39]"#), "invalid", "vectors[1].values[1]: must be a finite"),
            (row(r#""id":7,"values":[1,2]"#), "shape", "vectors[1].id: invalid type: integer"),
            (row(r#""id":"","values":[1,2]"#), "invalid", "vectors[1].id: an id needs"),
            (row(r#""values":[1,2]"#), "shape", "vectors[1].id: the field is missing"),
            (row(r#""id":"b""#), "shape", "vectors[1].values: the field is missing"),
            (row(r#""id":"b","values":[]"#), "empty", "vectors[1].values: a vector needs"),
            (row(r#""id":"b","values":[1]"#), "dimension", "vectors[1].values: dimension is 1, but 2"),
            (row(r#""id":"b","values":[1,2],"text":1"#), "shape", "vectors[1].text: unknown field"),
            (row(r#""id":"b","id":"b","values":[1,2]"#), "shape", "vectors[1].id: the field is given twice"),
            (row(r#""id":"b","values":[1],"vector":[2]"#), "shape", "vectors[1].values: the field is given"),
            (
                row(r#""id":"b","values":[1,2],"metadata":[]"#),
                "shape",
                "vectors[1].metadata: metadata must be",
            ),
            (row(r#""id":"b","values":[1,2],"ttl_seconds":0"#), "invalid", "vectors[1].ttl_seconds: must be"),
            (row(r#""id":"b","values":[1,2],"ttl_seconds":-1"#), "shape", "vectors[1].ttl_seconds: invalid"),
            (row(r#""id":"b","values":[1,2],"ttl_seconds":1.5"#), "shape", "vectors[1].ttl_seconds: invalid"),
            (
                row(r#""id":"b","values":[1,2,3,4,5]"#),
                "limit",
                "vectors[1].values: 5 is over the limit limits.d",
            ),
            (
                row(r#""id":"b","values":[1,2],"metadata":{"k":"0123456789abcdef"}"#),
                "limit",
                "vectors[1].metadata: 24 is over the limit limits.metadata_bytes = 20",
            ),
            (row(r#""id":"b","values":[1,2"#), "invalid", "body: malformed JSON"),
            (row(r#""id":"b","values":[1,NaN]"#), "invalid", "body: malformed JSON"),
            ("{}".into(), "shape", "vectors: the field is missing"),
            ("[]".into(), "shape", "body: invalid type: sequence"),
            ("".into(), "invalid", "body: malformed JSON"),
            (r#"{"vectors":{}}"#.into(), "shape", "body: invalid type: map"),
            (r#"{"vectors":[1]}"#.into(), "shape", "body: invalid type: integer"),
            (r#"{"vectors":[],"x":1}"#.into(), "shape", "x: unknown field"),
            (r#"{"vectors":[],"vectors":[]}"#.into(), "shape", "vectors: the field is given twice"),
            (r#"{"vectors":[]} x"#.into(), "invalid", "body: malformed JSON"),
        ] {
            let error = parse_text(&text).unwrap_err();
            let kind = match error {
                Error::Invalid { .. } => "invalid",
                Error::WrongShape { .. } => "shape",
                Error::EmptyVector { .. } => "empty",
                Error::DimensionMismatch { .. } => "dimension",
                Error::LimitExceeded { .. } => "limit",
                _ => "other",
            };
            assert_eq!(kind, status_like, "{text}: {error}");
            assert!(error.to_string().starts_with(starts), "{text}: {error}");
        }
    }

    #[test]
    fn a_batch_over_the_limit_is_refused_before_it_is_read() {
        let row = r#"{"id":"a","values":[1]}"#;
        let text = format!(r#"{{"vectors":[{row},{row},{row},{row}, this is never reached"#);
        let error = parse_text(&text).unwrap_err();
        assert_eq!(error.to_string(), "vectors: 4 is over the limit limits.batch_rows = 3");
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        let deep = "[".repeat(1_000_000);
        assert!(
            parse_text(&format!(r#"{{"vectors":[{{"id":"a","values":[1],"metadata":{{"k":{deep}"#)).is_err()
        );
        assert!(parse_text(&deep).is_err());
        assert!(parse_text(&format!(r#"{{"vectors":{deep}"#)).is_err());
    }
}
