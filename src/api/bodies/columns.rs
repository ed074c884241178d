//! `{"ids", "vectors", "attributes"?, "ttl_seconds"?, "dimension"?, "mode"?, "if"?}`: rows in columns. A null among
//! the vectors is a row without one.

use std::{collections::BTreeMap, fmt, fmt::Write as _};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    api::{
        dto::{Condition, Mode, optional},
        floats,
    },
    config::LimitsConfig,
    engine::Precondition,
    error::{Error, Result},
    service::{RowsBuilder, check_batch, compact_metadata, ttl},
    types::Rows,
};

/// A column upsert as it is sent; see [`super::super::dto::UpsertColumnsRequest`] for its documentation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Columns {
    ids: Vec<String>,
    vectors: Matrix,
    #[serde(default)]
    attributes: Option<BTreeMap<String, Vec<Box<RawValue>>>>,
    #[serde(default, deserialize_with = "optional")]
    ttl_seconds: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    dimension: Option<usize>,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default, rename = "if")]
    filter: Option<Box<RawValue>>,
}

impl Columns {
    /// For which rows the upsert counts.
    pub fn condition(&mut self, limits: &LimitsConfig) -> Result<Precondition> {
        Condition { mode: self.mode, filter: self.filter.take() }.precondition(limits)
    }

    /// The rows, checked.
    pub fn into_rows(self, limits: &LimitsConfig) -> Result<Rows> {
        check_batch(limits, "ids", self.ids.len())?;
        let rows = self.ids.len();
        same_length("vectors", self.vectors.lengths.len(), rows)?;
        for (name, column) in self.attributes.iter().flatten() {
            same_length(&format!("attributes.{name}"), column.len(), rows)?;
        }
        let ttl = self.ttl_seconds.map(|seconds| ttl(|| "ttl_seconds".into(), seconds)).transpose()?;
        let mut builder = RowsBuilder::new(limits, "vectors");
        let mut values = self.vectors.values.as_slice();
        for (row, (id, &length)) in self.ids.iter().zip(&self.vectors.lengths).enumerate() {
            builder.begin_row()?;
            match length {
                None => builder.without_vector(),
                Some(length) => {
                    if let Some(expected) = self.dimension.filter(|&expected| expected != length) {
                        let field = format!("vectors[{row}]");
                        return Err(Error::DimensionMismatch { field, expected, actual: length });
                    }
                    let (vector, rest) = values.split_at(length);
                    builder.push_values(vector)?;
                    values = rest;
                }
            }
            let metadata = self
                .attributes_of(row)
                .map(|text| compact_metadata(limits, || format!("attributes (row {row})"), &text));
            builder.end_row(id, metadata.transpose()?, ttl)?;
        }
        Ok(builder.finish())
    }

    /// The row's attributes as the text of an object; a null is an attribute that the row lacks.
    fn attributes_of(&self, row: usize) -> Option<String> {
        let mut text = String::new();
        for (name, column) in self.attributes.iter().flatten() {
            let value = column.get(row)?.get();
            if value != "null" {
                let separator = if text.is_empty() { '{' } else { ',' };
                let name = serde_json::Value::from(name.as_str());
                // Writing to a String cannot fail.
                let _ = write!(text, "{separator}{name}:{value}");
            }
        }
        if text.is_empty() {
            return None;
        }
        text.push('}');
        Some(text)
    }
}

fn same_length(field: &str, actual: usize, ids: usize) -> Result<()> {
    if actual == ids {
        return Ok(());
    }
    Err(Error::invalid(field, format!("has {actual} entries, but there are {ids} ids")))
}

/// Vectors, flat; not checked yet.
#[derive(Debug, Default)]
struct Matrix {
    values: Vec<f32>,
    /// None for a row without a vector.
    lengths: Vec<Option<usize>>,
}

impl<'de> Deserialize<'de> for Matrix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Matrix;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of vectors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Matrix, A::Error> {
                let mut matrix = Matrix::default();
                while let Some(length) = rows.next_element_seed(Vector(&mut matrix.values))? {
                    matrix.lengths.push(length);
                }
                Ok(matrix)
            }
        }
        deserializer.deserialize_seq(Rows)
    }
}

/// Appends one vector and gives its length, if it is one.
struct Vector<'a>(&'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for Vector<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Vector<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(floats::EXPECTED)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Option<usize>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Option<usize>, A::Error> {
        let before = self.0.len();
        while let Some(value) = values.next_element()? {
            self.0.push(value);
        }
        Ok(Some(self.0.len() - before))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Option<usize>, E> {
        let values = floats::decode(text).map_err(E::custom)?;
        self.0.extend_from_slice(&values);
        Ok(Some(values.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Rows> {
        let columns: Columns = serde_json::from_str(text).unwrap();
        columns.into_rows(&LimitsConfig::default())
    }

    #[test]
    fn attributes_become_metadata_and_nulls_are_absent() {
        let rows = rows(
            r#"{"ids":["a","b","c"],"vectors":[[1,2],[3,4],[5,6]],"ttl_seconds":9,"dimension":2,
                "attributes":{"n\"":[1, null ,{"x" : 1}],"t":[null,null,"y"]}}"#,
        )
        .unwrap();
        assert_eq!(rows.vectors, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let metadata: Vec<_> = rows.metadata.iter().map(Option::as_deref).collect();
        assert_eq!(metadata, [Some(r#"{"n\"":1}"#), None, Some(r#"{"n\"":{"x":1},"t":"y"}"#)]);
        assert_eq!(rows.ttl[2].map(|ttl| ttl.as_secs()), Some(9));
    }

    #[test]
    fn a_vector_may_be_base64() {
        let rows = rows(r#"{"ids":["a","b"],"vectors":["AACAPwAAAMA=",[3,4]]}"#).unwrap();
        assert_eq!(rows.vectors, [1.0, -2.0, 3.0, 4.0]);
        let error = serde_json::from_str::<Columns>(r#"{"ids":["a"],"vectors":["AACAPwA="]}"#).unwrap_err();
        assert!(error.to_string().contains("5 bytes"), "{error}");
    }

    #[test]
    fn a_null_is_a_row_without_a_vector() {
        let rows = rows(r#"{"ids":["a","b"],"vectors":[null,[3,4]],"dimension":2}"#).unwrap();
        assert_eq!(
            (rows.dimension, &rows.without_vector[..], rows.vector(1)),
            (2, &[0][..], &[3.0, 4.0][..])
        );
    }

    #[test]
    fn columns_of_different_lengths_are_refused_by_name() {
        for (text, starts) in [
            (r#"{"ids":["a"],"vectors":[]}"#, "vectors: has 0 entries, but there are 1"),
            (r#"{"ids":["a"],"vectors":[[1]],"attributes":{"k":[]}}"#, "attributes.k: has 0 entries"),
            (r#"{"ids":["a","b"],"vectors":[[1],[1,2]]}"#, "vectors[1].values: dimension is 2"),
            (r#"{"ids":["a"],"vectors":[[1]],"dimension":2}"#, "vectors[0]: dimension is 1, but 2"),
            (r#"{"ids":["a"],"vectors":[[1e39]]}"#, "vectors[0].values[0]: must be a finite"),
            (r#"{"ids":["a"],"vectors":[[1]],"ttl_seconds":0}"#, "ttl_seconds: must be"),
        ] {
            let error = rows(text).unwrap_err();
            assert!(error.to_string().starts_with(starts), "{text}: {error}");
        }
    }
}
