//! One vector object of the classic layout.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::super::jsonl::{Fields, Id, in_line};
use crate::{
    config::LimitsConfig,
    service::{RowsBuilder, compact_metadata},
    types::Rows,
};

/// What rows are called in the paths of the builder's errors.
const ROOT: &str = "row";

/// A vector that breaks no rule.
#[derive(Debug)]
pub(super) struct Row {
    /// It alone.
    pub row: Rows,
    /// Fields that the layout does not have and that hold something.
    pub ignored: Vec<String>,
}

/// Reads and checks an object. An error is a reason that reads well after the object's key.
pub(super) fn parse(bytes: &[u8], limits: &LimitsConfig) -> Result<Row, String> {
    if bytes.is_empty() {
        return Err("is empty".into());
    }
    let fields: Fields<'_> = serde_json::from_slice(bytes).map_err(|error| in_line(&error))?;
    let (mut id, mut values, mut metadata, mut ignored) = (None, None, None, Vec::new());
    for (name, value) in fields.0 {
        let slot = match name.as_str() {
            "id" => &mut id,
            "values" => &mut values,
            "metadata" => &mut metadata,
            _ if value.get() == "null" => continue,
            _ => {
                ignored.push(name);
                continue;
            }
        };
        if slot.replace(value).is_some() {
            return Err(format!("has the field {name:?} twice"));
        }
    }
    let id = id.ok_or("has no field \"id\"")?;
    let id = serde_json::from_str::<Id<'_>>(id.get()).map_err(|_| "id: is no text")?.into_text();
    let values = parse_values(values.ok_or("has no field \"values\"")?)?;
    let metadata = metadata.map(RawValue::get).filter(|text| *text != "null");
    let metadata = metadata.map(|text| compact_metadata(limits, || "metadata".into(), text)).transpose();
    let metadata = metadata.map_err(|error| error.to_string())?;
    Ok(Row { row: check(limits, &id, &values, metadata).map_err(|error| plain(&error))?, ignored })
}

fn parse_values(values: &RawValue) -> Result<Vec<f32>, String> {
    serde_json::from_str(values.get()).map_err(|error| {
        // JSON has no word for them, so that is how its writers store NaN and the infinities.
        let nullable = serde_json::from_str::<Vec<Option<f32>>>(values.get()).unwrap_or_default();
        match nullable.iter().position(Option::is_none) {
            Some(at) => format!("values[{at}]: is null, which stands for a value that was not finite"),
            None => format!("values: {}", in_line(&error)),
        }
    })
}

fn check(
    limits: &LimitsConfig,
    id: &str,
    values: &[f32],
    metadata: Option<Arc<str>>,
) -> crate::error::Result<Rows> {
    let mut rows = RowsBuilder::new(limits, ROOT);
    rows.begin_row()?;
    rows.push_values(values)?;
    rows.end_row(id, metadata, None)?;
    Ok(rows.finish())
}

/// Without the place in a batch of one.
fn plain(error: &crate::error::Error) -> String {
    error.to_string().replace(&format!("{ROOT}[0]."), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_what_they_hold() {
        let limits = LimitsConfig::default();
        let text = r#"{"metadata":{"b":1.50, "a":[]},"values":[1,-2.5e0],"id":"a/\u00e9","ttl":null,"x":1}"#;
        let Row { row, ignored } = parse(text.as_bytes(), &limits).unwrap();
        assert_eq!((row.ids[0].as_str(), row.vector(0)), ("a/é", &[1.0, -2.5][..]));
        assert_eq!(row.metadata[0].as_deref(), Some(r#"{"b":1.50,"a":[]}"#));
        assert_eq!(ignored, ["x"]);
        for none in [r#"{"id":"a","values":[1],"metadata":null}"#, r#"{"id":"a","values":[1]}"#] {
            assert_eq!(parse(none.as_bytes(), &limits).unwrap().row.metadata[0], None);
        }
    }

    #[test]
    fn every_fault_has_a_reason() {
        let limits = LimitsConfig { id_bytes: 4, dimension: 3, ..LimitsConfig::default() };
        for (text, reason) in [
            ("", "is empty"),
            (" ", "EOF"),
            ("\0\0\0\0", "expected value"),
            (r#"{"id":"a","values":[1,2"#, "EOF"),
            (r#"{"id":"a","values":[1]} {}"#, "trailing"),
            (r#"[1]"#, "expected an object"),
            (r#"{"values":[1]}"#, "no field \"id\""),
            (r#"{"id":"a"}"#, "no field \"values\""),
            (r#"{"id":"a","id":"b","values":[1]}"#, "\"id\" twice"),
            (r#"{"id":[1],"values":[1]}"#, "id: is no text"),
            (r#"{"id":"","values":[1]}"#, "id: "),
            (r#"{"id":"abcde","values":[1]}"#, "id: 5 is over the limit limits.id_bytes = 4"),
            (r#"{"id":"a","values":[1,null]}"#, "values[1]: is null"),
            (r#"{"id":"a","values":[1,NaN]}"#, "expected value"),
            (r#"{"id":"a","values":[1,1e300]}"#, "values[1]: must be a finite"),
            (r#"{"id":"a","values":"x"}"#, "values: invalid type"),
            (r#"{"id":"a","values":[]}"#, "at least one value"),
            (r#"{"id":"a","values":[1,2,3,4]}"#, "values: 4 is over the limit limits.dimension = 3"),
            (r#"{"id":"a","values":[1],"metadata":[1]}"#, "metadata must be an object"),
            (r#"{"id":"a","values":[1],"metadata":"x"}"#, "metadata must be an object"),
        ] {
            let told = parse(text.as_bytes(), &limits).unwrap_err();
            assert!(told.contains(reason), "{text}: {told}");
            assert!(!told.contains("row["), "{told}");
        }
        assert!(parse(b"{\"id\":\"\xff\",\"values\":[1]}", &limits).is_err());
    }
}
