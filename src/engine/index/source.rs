//! Where an index finds the rows themselves: to learn from when it is built, and to score the
//! candidates exactly when it is searched.

use crate::{error::Result, types::inverse_norm};

/// Vectors by row number, `0..rows`.
pub trait VectorSource: Sync {
    /// Values per vector; at least 1.
    fn dimension(&self) -> usize;

    /// How many vectors there are.
    fn rows(&self) -> usize;

    /// Vectors that lie side by side, the first of which is that of row `first`: at least one, as
    /// many as there are at best.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if they are damaged.
    ///
    /// # Panics
    /// If there is no row `first`.
    fn run(&self, first: usize) -> Result<Run<'_>>;

    /// The vector of a row, and where its `1 / ‖row‖₂` (0 for a zero vector) stands: neither is read yet, so
    /// that memory can be asked for both.
    ///
    /// # Errors
    /// As [`VectorSource::run`].
    ///
    /// # Panics
    /// If there is no such row.
    fn row(&self, row: u32) -> Result<(&[f32], &f32)>;

    /// Hears that a vector and a number which it gave some time ago are read now: where memory is short, either
    /// may have been handed back meanwhile, and counts again.
    fn is_read(&self, _vector: &[f32], _inverse_norm: &f32) {}
}

/// Rows by number: vectors, and metadata beside them.
pub trait RowSource: VectorSource {
    /// The metadata of a row: JSON text of an object, if it has any.
    ///
    /// # Errors
    /// As [`VectorSource::run`].
    ///
    /// # Panics
    /// If there is no such row.
    fn metadata(&self, row: u32) -> Result<Option<&str>>;
}

/// Vectors side by side.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The vectors, row after row.
    pub vectors: &'a [f32],
    /// `1 / ‖row‖₂` for each row; 0 for a zero vector.
    pub inverse_norms: &'a [f32],
}

/// Rows in memory.
#[derive(Debug, Clone)]
pub struct Table {
    dimension: usize,
    vectors: Vec<f32>,
    inverse_norms: Vec<f32>,
    /// Of each row; of none if it is empty.
    metadata: Vec<Option<String>>,
}

impl Table {
    /// Of vectors row after row, without metadata.
    ///
    /// # Panics
    /// If the dimension is 0 or does not divide the number of values.
    pub fn new(dimension: usize, vectors: Vec<f32>) -> Self {
        assert!(dimension > 0 && vectors.len().is_multiple_of(dimension), "whole rows of a dimension");
        let inverse_norms = vectors.chunks_exact(dimension).map(inverse_norm).collect();
        Self { dimension, vectors, inverse_norms, metadata: Vec::new() }
    }

    /// Of metadata, with a vector of one zero for each.
    pub fn of_metadata(metadata: Vec<Option<String>>) -> Self {
        let table = Self::new(1, vec![0.0; metadata.len()]);
        Self { metadata, ..table }
    }
}

impl RowSource for Table {
    fn metadata(&self, row: u32) -> Result<Option<&str>> {
        Ok(self.metadata.get(row as usize).and_then(Option::as_deref))
    }
}

impl VectorSource for Table {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn rows(&self) -> usize {
        self.inverse_norms.len()
    }

    fn run(&self, first: usize) -> Result<Run<'_>> {
        assert!(first < self.rows(), "no such row");
        Ok(Run {
            vectors: &self.vectors[first * self.dimension..],
            inverse_norms: &self.inverse_norms[first..],
        })
    }

    fn row(&self, row: u32) -> Result<(&[f32], &f32)> {
        let row = row as usize;
        Ok((&self.vectors[row * self.dimension..(row + 1) * self.dimension], &self.inverse_norms[row]))
    }
}
