//! What indexes of lists have in common as indexes: each type only says which rows of its lists are
//! worth an exact score.

use super::{
    calibration,
    file::Lists,
    probe::{Breadth, rerank, search},
};
use crate::{
    engine::index::{Best, Cost, Effort, Request, VectorIndex},
    error::Result,
    types::Distance,
};

/// An index of lists.
pub trait OfLists: std::fmt::Debug + Send + Sync {
    /// Its lists.
    fn lists(&self) -> &Lists;

    /// Its lists, to be told what was measured.
    fn lists_mut(&mut self) -> &mut Lists;

    /// The rows whose estimates are best, the best first; none if nothing is estimated.
    ///
    /// # Errors
    /// As [`VectorIndex::search`].
    fn candidates(&self, request: &Request<'_>, breadth: Breadth, cost: &mut Cost)
    -> Result<Vec<(f32, u32)>>;

    /// Offers the rows that a search so broad finds.
    ///
    /// # Errors
    /// As [`VectorIndex::search`].
    fn look(
        &self,
        request: &Request<'_>,
        breadth: Breadth,
        best: &mut Best<'_>,
        cost: &mut Cost,
    ) -> Result<()> {
        let candidates = self.candidates(request, breadth, cost)?;
        rerank(request, &candidates, self.lists().header().margin, best, cost)
    }
}

impl<T: OfLists> VectorIndex for T {
    fn search(&self, request: &Request<'_>, best: &mut Best<'_>) -> Result<Cost> {
        search(self.lists(), request, best, |breadth, best, cost| self.look(request, breadth, best, cost))
    }

    fn effort_for(&self, recall: f32, top_k: usize) -> Effort {
        calibration::effort_for(self.lists().header(), recall, top_k)
    }

    fn distance(&self) -> Distance {
        self.lists().header().distance
    }

    fn shape(&self) -> (usize, usize) {
        (self.lists().header().rows, self.lists().header().dimension)
    }

    fn resident_bytes(&self) -> u64 {
        self.lists().resident_bytes()
    }
}
