//! What an entry does to the rows, in columns.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    types::{Rows, VectorId},
};

/// One kind of change to the rows of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Insert the row, or replace the one of that id.
    Upsert,
    /// The same for a row that has no vector.
    UpsertWithoutVector,
    /// Remove the row of that id, if there is one.
    Delete,
    /// Remove every row. Its id is empty.
    Clear,
}

impl Change {
    /// Its value in the `op` column.
    pub(super) fn op(self) -> u8 {
        match self {
            Self::Upsert | Self::UpsertWithoutVector => 0,
            Self::Delete => 1,
            Self::Clear => 2,
        }
    }

    /// The change of that value in the `op` column, with or without a vector.
    pub(super) fn from_op(op: u8, has_vector: bool) -> Option<Self> {
        match (op, has_vector) {
            (0, true) => Some(Self::Upsert),
            (0, false) => Some(Self::UpsertWithoutVector),
            (1, _) => Some(Self::Delete),
            (2, _) => Some(Self::Clear),
            _ => None,
        }
    }

    /// The upsert of a row with this vector, which is empty if it has none.
    fn upsert(vector: &[f32]) -> Self {
        if vector.is_empty() { Self::UpsertWithoutVector } else { Self::Upsert }
    }
}

/// Changes in the order in which they take effect, in columns of equal length; `vectors` holds
/// `dimension` values for every [`Change::Upsert`] and nothing for the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Values per vector; 0 while no vector was upserted.
    pub dimension: usize,
    /// What each change is.
    pub kinds: Vec<Change>,
    /// Which row it concerns.
    pub ids: Vec<VectorId>,
    /// The vectors of the upserts, one after the other.
    pub vectors: Vec<f32>,
    /// Metadata of the upserts as JSON text.
    pub metadata: Vec<Option<Arc<str>>>,
    /// When the upserted rows expire.
    pub expires_at: Vec<Option<Timestamp>>,
}

impl Changes {
    /// Number of changes.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Adds upserts whose time to live starts at `now`.
    pub fn upsert(&mut self, rows: &Rows, now: Timestamp) {
        if rows.is_empty() {
            return;
        }
        self.use_dimension(rows.dimension);
        let first = self.kinds.len();
        self.kinds.resize(first + rows.len(), Change::Upsert);
        rows.without_vector.iter().for_each(|row| self.kinds[first + row] = Change::UpsertWithoutVector);
        self.ids.extend_from_slice(&rows.ids);
        self.vectors.extend_from_slice(&rows.vectors);
        self.metadata.extend_from_slice(&rows.metadata);
        self.expires_at.extend(rows.ttl.iter().map(|ttl| ttl.map(|ttl| now.saturating_add(ttl))));
    }

    /// Adds the upsert of a row that expires at a time; its vector is empty if it has none.
    pub fn put(
        &mut self,
        id: VectorId,
        vector: &[f32],
        metadata: Option<Arc<str>>,
        expires_at: Option<Timestamp>,
    ) {
        self.use_dimension(vector.len());
        self.kinds.push(Change::upsert(vector));
        self.ids.push(id);
        self.vectors.extend_from_slice(vector);
        self.metadata.push(metadata);
        self.expires_at.push(expires_at);
    }

    /// Roughly the bytes that they take.
    pub fn bytes(&self) -> u64 {
        let metadata: usize = self.metadata.iter().flatten().map(|text| text.len()).sum();
        let ids: usize = self.ids.iter().map(|id| id.as_str().len() + 16).sum();
        (size_of_val(&*self.vectors) + metadata + ids) as u64
    }

    /// Adds all changes of another, whose vectors have the same dimension.
    pub fn append(&mut self, mut other: Self) {
        self.use_dimension(other.dimension);
        self.kinds.append(&mut other.kinds);
        self.ids.append(&mut other.ids);
        self.vectors.append(&mut other.vectors);
        self.metadata.append(&mut other.metadata);
        self.expires_at.append(&mut other.expires_at);
    }

    /// Adds deletes.
    pub fn delete(&mut self, ids: &[VectorId]) {
        for id in ids {
            self.without_vector(Change::Delete, id.clone());
        }
    }

    /// Adds the removal of every row.
    pub fn clear(&mut self) {
        self.without_vector(Change::Clear, VectorId::trusted(""));
    }

    /// That of vectors which are added, if any are.
    fn use_dimension(&mut self, dimension: usize) {
        if dimension != 0 {
            self.dimension = dimension;
        }
    }

    fn without_vector(&mut self, kind: Change, id: VectorId) {
        self.kinds.push(kind);
        self.ids.push(id);
        self.metadata.push(None);
        self.expires_at.push(None);
    }
}
