//! The space in which rows are clustered: rotated, and of length 1 for the cosine.

use rayon::prelude::*;

use crate::{
    engine::index::{VectorSource, rotation::Rotation},
    error::Result,
    types::Distance,
};

/// The rotation is the same for all indexes, so centroids of one are of use to another.
const SEED: u64 = 0x0051_7569_7665_7221;

/// Rows of a metric, rotated.
#[derive(Debug, Clone)]
pub struct Space {
    distance: Distance,
    rotation: Rotation,
}

impl Space {
    /// For vectors of a dimension.
    pub fn new(distance: Distance, dimension: usize) -> Self {
        Self { distance, rotation: Rotation::new(dimension, SEED) }
    }

    /// The metric.
    pub fn distance(&self) -> Distance {
        self.distance
    }

    /// Values of a rotated vector.
    pub fn dimension(&self) -> usize {
        self.rotation.rotated_dimension()
    }

    /// Brings a row into this space.
    pub fn place(&self, row: &[f32], inverse_norm: f32, placed: &mut [f32]) {
        let factor = if self.distance == Distance::Cosine { inverse_norm } else { 1.0 };
        self.rotation.rotate(row, factor, placed);
    }

    /// Brings a query into this space that is prepared for the metric.
    pub fn query(&self, query: &[f32]) -> Vec<f32> {
        let mut placed = vec![0.0; self.dimension()];
        self.rotation.rotate(query, 1.0, &mut placed);
        placed
    }

    /// Some rows, one after the other.
    ///
    /// # Errors
    /// As [`VectorSource::row`].
    pub fn rows(&self, source: &dyn VectorSource, rows: &[u32]) -> Result<Vec<f32>> {
        let mut placed = Vec::new();
        self.rows_into(source, rows, &mut placed)?;
        Ok(placed)
    }

    /// The same in the place of what was there.
    ///
    /// # Errors
    /// As [`VectorSource::row`].
    pub fn rows_into(&self, source: &dyn VectorSource, rows: &[u32], placed: &mut Vec<f32>) -> Result<()> {
        placed.resize(rows.len() * self.dimension(), 0.0);
        placed.par_chunks_mut(self.dimension()).zip(rows).try_for_each(|(placed, row)| {
            let (vector, &inverse_norm) = source.row(*row)?;
            self.place(vector, inverse_norm, placed);
            Ok(())
        })
    }

    /// Rows that are wanted by their numbers, in any order and any number of times. They are read in theirs:
    /// where they lie in a file, that is many times less to bring to memory than to go back and forth.
    ///
    /// # Errors
    /// As [`VectorSource::row`].
    pub fn placed(&self, source: &dyn VectorSource, mut rows: Vec<u32>) -> Result<Placed> {
        rows.sort_unstable();
        rows.dedup();
        let values = self.rows(source, &rows)?;
        Ok(Placed { dimension: self.dimension(), rows, values })
    }

    /// What the score of a row has beyond its inner product with the query: the term that makes the
    /// order by inner products that by distance.
    pub fn offset(&self, placed: &[f32]) -> f32 {
        match self.distance {
            Distance::Cosine | Distance::DotProduct => 0.0,
            Distance::Euclidean => -placed.iter().map(|value| value * value).sum::<f32>() / 2.0,
        }
    }
}

/// Rows in their space, by their numbers.
#[derive(Debug)]
pub struct Placed {
    dimension: usize,
    /// Ascending.
    rows: Vec<u32>,
    values: Vec<f32>,
}

impl Placed {
    /// One of the rows.
    ///
    /// # Panics
    /// If it is none of them.
    pub fn row(&self, row: u32) -> &[f32] {
        let place = self.rows.binary_search(&row).expect("a row that was placed");
        &self.values[place * self.dimension..(place + 1) * self.dimension]
    }
}
