//! Rows on their way in: columns that are checked while they are filled.

use std::{sync::Arc, time::Duration};

use super::limits::{at_most, check_batch, not_finite};
use crate::{
    config::LimitsConfig,
    error::{Error, Result},
    types::{Rows, VectorId},
};

/// Builds [`Rows`] one value at a time: `begin_row`, values, `end_row`.
///
/// Invariant: after `end_row` every column has one entry a row, every vector has the dimension of
/// the first, every value is finite, and a row has no vector only if that was said. After an error the builder is not used any more.
#[derive(Debug)]
pub struct RowsBuilder<'l> {
    limits: &'l LimitsConfig,
    root: &'static str,
    rows: Rows,
    row_start: usize,
    /// Whether the row that is being built has no vector.
    without_vector: bool,
}

impl<'l> RowsBuilder<'l> {
    /// An empty builder. `root` is what rows are called in errors: `vectors`, for `vectors[3].values[7]`.
    pub fn new(limits: &'l LimitsConfig, root: &'static str) -> Self {
        Self { limits, root, rows: Rows::default(), row_start: 0, without_vector: false }
    }

    /// Makes room for `rows` more rows of `dimension` values.
    pub fn reserve(&mut self, rows: usize, dimension: usize) {
        self.rows.ids.reserve(rows);
        self.rows.metadata.reserve(rows);
        self.rows.ttl.reserve(rows);
        self.rows.vectors.reserve(rows.saturating_mul(dimension));
    }

    /// The limits that rows are held to.
    pub fn limits(&self) -> &'l LimitsConfig {
        self.limits
    }

    /// Rows that are complete.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is complete.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The path of the row that is being built, such as `vectors[3]`.
    pub fn row_path(&self) -> String {
        format!("{}[{}]", self.root, self.rows.len())
    }

    /// The path of a field of the row that is being built.
    pub fn path(&self, field: &str) -> String {
        format!("{}[{}].{field}", self.root, self.rows.len())
    }

    /// Number of values that the row which is being built has so far.
    pub fn row_values(&self) -> usize {
        self.rows.vectors.len() - self.row_start
    }

    /// Starts a row.
    pub fn begin_row(&mut self) -> Result<()> {
        check_batch(self.limits, self.root, self.rows.len() + 1)?;
        self.row_start = self.rows.vectors.len();
        self.without_vector = false;
        Ok(())
    }

    /// Says that the row has no vector.
    pub fn without_vector(&mut self) {
        self.without_vector = true;
    }

    /// Appends a value to the row's vector.
    #[inline]
    pub fn push_value(&mut self, value: f32) -> Result<()> {
        if !value.is_finite() {
            return Err(not_finite(self.path(&format!("values[{}]", self.row_values()))));
        }
        if self.row_values() == self.limits.dimension {
            return at_most(
                || self.path("values"),
                "limits.dimension",
                self.limits.dimension,
                self.row_values() + 1,
            );
        }
        self.rows.vectors.push(value);
        Ok(())
    }

    /// Appends values to the row's vector.
    pub fn push_values(&mut self, values: &[f32]) -> Result<()> {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(not_finite(self.path(&format!("values[{}]", self.row_values() + index))));
        }
        let values_after = self.row_values() + values.len();
        at_most(|| self.path("values"), "limits.dimension", self.limits.dimension, values_after)?;
        self.rows.vectors.extend_from_slice(values);
        Ok(())
    }

    /// Ends the row.
    pub fn end_row(&mut self, id: &str, metadata: Option<Arc<str>>, ttl: Option<Duration>) -> Result<()> {
        let id = VectorId::parse(id, self.limits.id_bytes, || self.path("id"))?;
        let values = self.row_values();
        if values == 0 && !self.without_vector {
            return Err(Error::EmptyVector { field: self.path("values") });
        }
        if self.rows.dimension == 0 {
            self.rows.dimension = values;
        }
        if self.without_vector {
            self.rows.without_vector.push(self.rows.len());
        } else if values != self.rows.dimension {
            let (field, expected) = (self.path("values"), self.rows.dimension);
            return Err(Error::DimensionMismatch { field, expected, actual: values });
        }
        self.rows.ids.push(id);
        self.rows.metadata.push(metadata);
        self.rows.ttl.push(ttl);
        Ok(())
    }

    /// Takes the last complete row back.
    pub fn remove_last(&mut self) {
        let Some(last) = self.rows.len().checked_sub(1) else { return };
        self.rows = self.rows.only(&(0..last).collect::<Vec<_>>());
    }

    /// The rows that are complete.
    pub fn finish(mut self) -> Rows {
        // Values of a row that was refused belong to none.
        let with_vector = self.rows.len() - self.rows.without_vector.len();
        self.rows.vectors.truncate(with_vector * self.rows.dimension);
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_aligned() {
        let limits = LimitsConfig::default();
        let mut builder = RowsBuilder::new(&limits, "vectors");
        for (id, values) in [("a", [1.0, 2.0]), ("b", [3.0, 4.0])] {
            builder.begin_row().unwrap();
            builder.push_values(&values).unwrap();
            builder.end_row(id, None, None).unwrap();
        }
        let rows = builder.finish();
        assert_eq!((rows.len(), rows.dimension), (2, 2));
        assert_eq!(rows.vector(1), [3.0, 4.0]);
    }

    #[test]
    fn a_row_that_was_refused_leaves_nothing() {
        let limits = LimitsConfig::default();
        let refused = || {
            let mut builder = RowsBuilder::new(&limits, "vectors");
            for (id, values) in [("a", [1.0, 2.0]), ("b", [3.0, 4.0]), ("", [5.0, 6.0])] {
                builder.begin_row().unwrap();
                builder.push_values(&values).unwrap();
                assert_eq!(builder.end_row(id, None, None).is_ok(), !id.is_empty());
            }
            builder
        };
        let rows = refused().finish();
        assert_eq!((rows.len(), &rows.vectors[..]), (2, &[1.0, 2.0, 3.0, 4.0][..]));
        let mut builder = refused();
        builder.remove_last();
        let rows = builder.finish();
        assert_eq!((rows.len(), rows.dimension, &rows.vectors[..]), (1, 2, &[1.0, 2.0][..]));
    }

    #[test]
    fn rows_without_vectors_fix_no_dimension() {
        let limits = LimitsConfig::default();
        let mut builder = RowsBuilder::new(&limits, "vectors");
        for (id, values) in [("a", None), ("b", Some([3.0, 4.0])), ("c", None), ("d", Some([5.0, 6.0]))] {
            builder.begin_row().unwrap();
            match values {
                Some(values) => builder.push_values(&values).unwrap(),
                None => builder.without_vector(),
            }
            builder.end_row(id, None, None).unwrap();
        }
        let rows = builder.finish();
        assert_eq!((rows.len(), rows.dimension, &rows.without_vector[..]), (4, 2, &[0, 2][..]));
        assert_eq!((rows.vector(0), rows.vector(3)), (&[][..], &[5.0, 6.0][..]));
    }

    #[test]
    fn every_refusal_names_the_row_and_the_value() {
        let limits = LimitsConfig { dimension: 3, batch_rows: 2, ..LimitsConfig::default() };
        let one_row = || {
            let mut builder = RowsBuilder::new(&limits, "vectors");
            builder.begin_row().unwrap();
            builder.push_values(&[1.0, 2.0]).unwrap();
            builder.end_row("a", None, None).unwrap();
            builder.begin_row().unwrap();
            builder
        };

        let mut builder = one_row();
        builder.push_value(0.0).unwrap();
        let error = builder.push_value(f32::NAN).unwrap_err();
        assert!(error.to_string().starts_with("vectors[1].values[1]: must be a finite"), "{error}");
        let error = builder.push_values(&[f32::NEG_INFINITY]).unwrap_err();
        assert!(error.to_string().starts_with("vectors[1].values[1]:"), "{error}");

        let error = one_row().push_values(&[0.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "vectors[1].values: 4 is over the limit limits.dimension = 3");
        let mut builder = one_row();
        builder.push_values(&[0.0; 3]).unwrap();
        let error = builder.push_value(0.0).unwrap_err();
        assert_eq!(error.to_string(), "vectors[1].values: 4 is over the limit limits.dimension = 3");

        let error = one_row().end_row("b", None, None).unwrap_err();
        assert!(matches!(error, Error::EmptyVector { field } if field == "vectors[1].values"));
        let mut builder = one_row();
        builder.push_value(0.0).unwrap();
        let error = builder.end_row("b", None, None).unwrap_err();
        assert!(matches!(error, Error::DimensionMismatch { expected: 2, actual: 1, .. }));

        let mut builder = one_row();
        builder.push_values(&[0.0; 2]).unwrap();
        builder.end_row("b", None, None).unwrap();
        let error = builder.begin_row().unwrap_err();
        assert!(matches!(error, Error::LimitExceeded { limit: "limits.batch_rows", max: 2, .. }));
    }
}
