//! A run of rows in memory: vectors side by side, ready to be scanned. Rows without vectors are in chunks of
//! their own, of dimension 0.
//!
//! The columns of a full chunk never change again, so readers share them; only the small bitmap of
//! live rows is copied when a row in an old chunk dies under a reader.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    clock::Timestamp,
    types::{VectorId, inverse_norm},
};

/// The most rows in a chunk.
const MAX_ROWS: usize = 1024;
/// The most bytes of vectors in a chunk (one row is allowed to be larger): what a writer copies at
/// worst when a reader holds the chunk that is being filled.
const MAX_VECTOR_BYTES: usize = 1 << 20;
/// Words of the bitmap.
const WORDS: usize = MAX_ROWS / 64;
/// The time of a row that never expires.
const NEVER: Timestamp = Timestamp(i64::MAX);

/// A bit per row of a chunk.
pub type Bitmap = [u64; WORDS];

/// Columns of rows; `vectors` has `dimension` values per row.
#[derive(Debug, Clone)]
struct Columns {
    dimension: usize,
    vectors: Vec<f32>,
    inverse_norms: Vec<f32>,
    ids: Vec<VectorId>,
    metadata: Vec<Option<Arc<str>>>,
    expires_at: Vec<Timestamp>,
    first_expiry: Timestamp,
}

/// The number of the next chunk.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A run of rows and which of them are live. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chunk {
    number: u64,
    columns: Arc<Columns>,
    live: Bitmap,
}

impl Chunk {
    /// How many rows of a dimension fit into a chunk.
    pub fn capacity(dimension: usize) -> usize {
        (MAX_VECTOR_BYTES / (4 * dimension.max(1))).clamp(1, MAX_ROWS)
    }

    pub(super) fn with_capacity(rows: usize, dimension: usize) -> Self {
        let columns = Columns {
            dimension,
            vectors: Vec::with_capacity(rows * dimension),
            inverse_norms: Vec::with_capacity(rows),
            ids: Vec::with_capacity(rows),
            metadata: Vec::with_capacity(rows),
            expires_at: Vec::with_capacity(rows),
            first_expiry: NEVER,
        };
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), columns: Arc::new(columns), live: [0; WORDS] }
    }

    /// Adds a live row. Copies the columns if a reader holds them.
    pub(super) fn push(
        &mut self,
        id: VectorId,
        vector: &[f32],
        metadata: Option<Arc<str>>,
        expires_at: Option<Timestamp>,
    ) {
        let columns = Arc::make_mut(&mut self.columns);
        let row = columns.ids.len();
        columns.vectors.extend_from_slice(vector);
        columns.inverse_norms.push(inverse_norm(vector));
        columns.ids.push(id);
        columns.metadata.push(metadata);
        let expires_at = expires_at.unwrap_or(NEVER);
        columns.expires_at.push(expires_at);
        columns.first_expiry = columns.first_expiry.min(expires_at);
        self.live[row / 64] |= 1 << (row % 64);
    }

    pub(super) fn kill(&mut self, row: usize) {
        self.live[row / 64] &= !(1 << (row % 64));
    }

    /// Which chunk of this process it is: with the number of a row in it, this says for good which metadata
    /// that row has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Number of rows, dead ones included.
    pub fn len(&self) -> usize {
        self.columns.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All vectors, row after row.
    pub fn vectors(&self) -> &[f32] {
        &self.columns.vectors
    }

    /// The vector of a row; empty if it has none.
    pub fn vector(&self, row: usize) -> &[f32] {
        &self.columns.vectors[row * self.dimension()..(row + 1) * self.dimension()]
    }

    /// Values per vector; 0 if its rows have none.
    pub fn dimension(&self) -> usize {
        self.columns.dimension
    }

    /// Whether no more rows will be added.
    pub fn is_full(&self) -> bool {
        self.len() >= Self::capacity(self.dimension())
    }

    /// `1 / ‖row‖₂` for each row; 0 for a zero vector.
    pub fn inverse_norms(&self) -> &[f32] {
        &self.columns.inverse_norms
    }

    /// The id of a row.
    pub fn id(&self, row: usize) -> &VectorId {
        &self.columns.ids[row]
    }

    /// The metadata of a row.
    pub fn metadata(&self, row: usize) -> Option<&Arc<str>> {
        self.columns.metadata[row].as_ref()
    }

    /// When a row expires.
    pub fn expires_at(&self, row: usize) -> Option<Timestamp> {
        Some(self.columns.expires_at[row]).filter(|at| *at != NEVER)
    }

    /// Whether a row is the newest of its id, deletes considered and expiry not.
    pub(super) fn is_live(&self, row: usize) -> bool {
        self.live[row / 64] >> (row % 64) & 1 == 1
    }

    /// The rows that a reader may see at `now`, one bit each.
    pub fn visible(&self, now: Timestamp) -> Bitmap {
        let mut visible = self.live;
        if self.columns.first_expiry <= now {
            for (row, expires_at) in self.columns.expires_at.iter().enumerate() {
                if *expires_at <= now {
                    visible[row / 64] &= !(1 << (row % 64));
                }
            }
        }
        visible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_bounds_rows_and_bytes() {
        assert_eq!(Chunk::capacity(1), 1024);
        assert_eq!(Chunk::capacity(384), 682);
        assert_eq!(Chunk::capacity(16_384), 16);
    }
}
