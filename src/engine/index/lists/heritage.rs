//! What rows bring along from the lists of an older index: where they were.
//!
//! Any bytes will do: what lists say of rows that are not there, or of a row twice too often, is
//! ignored, and a row of which they say nothing is as good as a new one.

use super::{clusters::Clusters, file::Lists, partition::PIECE_BYTES, space::Space};
use crate::{
    engine::index::{Moved, VectorSource},
    error::Result,
};

/// A row that has no list yet, or no second one.
pub const NONE: u32 = u32::MAX;

/// What rows bring along.
#[derive(Debug)]
pub struct Heritage {
    /// The centroids of the lists.
    pub clusters: Clusters,
    /// The list of each row, the nearer one of two; or [`NONE`].
    pub own: Vec<u32>,
    /// The second list of each row, or [`NONE`].
    pub beyond: Vec<u32>,
}

impl Heritage {
    /// Of rows some of which are in lists of an older index.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a row is damaged.
    pub fn of(lists: &Lists, moved: &Moved, source: &dyn VectorSource, space: &Space) -> Result<Self> {
        let (own, beyond) = (vec![NONE; source.rows()], vec![NONE; source.rows()]);
        let mut heritage = Self { clusters: lists.clusters(), own, beyond };
        for list in 0..lists.len() {
            let rows = lists.list(list).rows.iter();
            for row in rows.filter_map(|row| moved.get(u32::from_le_bytes(*row))) {
                heritage.put(row as usize, list as u32);
            }
        }
        heritage.order(source, space)?;
        Ok(heritage)
    }

    /// How many rows are in a list.
    pub fn known(&self) -> usize {
        self.own.iter().filter(|list| **list != NONE).count()
    }

    /// Puts a row into a list, unless there is no such row, or it is in two.
    fn put(&mut self, row: usize, list: u32) {
        match self.own.get_mut(row) {
            Some(own) if *own == NONE => *own = list,
            Some(own) if *own != list && self.beyond[row] == NONE => self.beyond[row] = list,
            _ => {}
        }
    }

    /// Of the two lists of a row, the nearer one is its own.
    fn order(&mut self, source: &dyn VectorSource, space: &Space) -> Result<()> {
        let two = (0..self.own.len() as u32).filter(|row| self.beyond[*row as usize] != NONE);
        let two: Vec<u32> = two.collect();
        for rows in two.chunks((PIECE_BYTES / (space.dimension() * size_of::<f32>())).max(1)) {
            let placed = space.rows(source, rows)?;
            for (row, placed) in rows.iter().zip(placed.chunks_exact(space.dimension())) {
                let (own, beyond) = (&mut self.own[*row as usize], &mut self.beyond[*row as usize]);
                if self.clusters.score(*own, placed) < self.clusters.score(*beyond, placed) {
                    std::mem::swap(own, beyond);
                }
            }
        }
        Ok(())
    }
}
