//! Rows, alone and in columns.
//!
//! A batch is columnar from the moment its body is parsed: one flat `Vec<f32>` instead of an
//! allocation a row, which is also the layout of the log entry it becomes.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::VectorId;
use crate::clock::Timestamp;

/// One row as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The row's id.
    pub id: VectorId,
    /// The vector; `None` where there is none or the reader did not ask for it.
    pub vector: Option<Vec<f32>>,
    /// The metadata as JSON text of an object; `None` where there is none or it was not asked for.
    pub metadata: Option<Arc<str>>,
    /// When the row stops being visible.
    pub expires_at: Option<Timestamp>,
}

/// A batch of rows to upsert, in columns of equal length; `vectors` has `dimension` values for every row that has
/// a vector.
///
/// Not yet checked against a namespace: every vector has the same dimension here, and the
/// namespace's own is compared at commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Values per vector; 0 if no row has one.
    pub dimension: usize,
    /// Ids; a later row of the same id wins.
    pub ids: Vec<VectorId>,
    /// The rows that have no vector, ascending.
    pub without_vector: Vec<usize>,
    /// All values, row after row. Finite.
    pub vectors: Vec<f32>,
    /// JSON text of an object, or nothing.
    pub metadata: Vec<Option<Arc<str>>>,
    /// Time to live from the commit on, or for ever.
    pub ttl: Vec<Option<Duration>>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The vector of row `row`; empty if it has none.
    pub fn vector(&self, row: usize) -> &[f32] {
        match self.without_vector.binary_search(&row) {
            Ok(_) => &[],
            Err(before) => {
                &self.vectors[(row - before) * self.dimension..(row + 1 - before) * self.dimension]
            }
        }
    }

    /// The same rows with only the last one of each id, in order. Copies only if an id repeats.
    pub fn last_of_each_id(self) -> Self {
        let mut seen = HashSet::with_capacity(self.len());
        let mut keep: Vec<usize> = (0..self.len()).rev().filter(|row| seen.insert(&self.ids[*row])).collect();
        if keep.len() == self.len() {
            return self;
        }
        keep.reverse();
        self.only(&keep)
    }

    /// These of the rows, in this order.
    pub fn only(&self, rows: &[usize]) -> Self {
        let is_without = |row: &usize| self.without_vector.binary_search(row).is_ok();
        let without_vector: Vec<usize> = (0..rows.len()).filter(|place| is_without(&rows[*place])).collect();
        Self {
            // That of vectors that are left out does not matter.
            dimension: if without_vector.len() == rows.len() { 0 } else { self.dimension },
            without_vector,
            ids: rows.iter().map(|row| self.ids[*row].clone()).collect(),
            vectors: rows.iter().flat_map(|row| self.vector(*row)).copied().collect(),
            metadata: rows.iter().map(|row| self.metadata[*row].clone()).collect(),
            ttl: rows.iter().map(|row| self.ttl[*row]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_of_an_id_stays() {
        let rows = Rows {
            dimension: 2,
            ids: ["a", "b", "a", "c"].map(VectorId::trusted).to_vec(),
            without_vector: vec![1],
            vectors: vec![1., 1., 3., 3., 4., 4.],
            metadata: vec![None, None, Some("{}".into()), None],
            ttl: vec![Some(Duration::from_secs(1)), None, None, None],
        };
        let kept = rows.last_of_each_id();
        assert_eq!(kept.ids, ["b", "a", "c"].map(VectorId::trusted));
        assert_eq!((&kept.without_vector[..], &kept.vectors[..]), (&[0][..], &[3., 3., 4., 4.][..]));
        assert_eq!([kept.vector(0), kept.vector(1), kept.vector(2)], [&[][..], &[3., 3.], &[4., 4.]]);
        assert_eq!(kept.only(&[0]).dimension, 0);
        assert_eq!(kept.metadata, [None, Some("{}".into()), None]);
        assert_eq!(kept.ttl, [None; 3]);
        assert_eq!(kept.clone().last_of_each_id(), kept);
    }
}
