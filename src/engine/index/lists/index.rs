//! What indexes of lists have in common as indexes: each type only says which rows of its lists are
//! worth an exact score.

use bytes::Bytes;

use super::{
    calibration,
    file::Lists,
    probe::{Breadth, rerank, search},
    space::Space,
};
use crate::{
    engine::index::{Best, Cost, Effort, InParts, Part, Request, Shortlisted, VectorIndex},
    error::Result,
    types::Distance,
};

/// Lists that are asked for at once, if only some rows are admitted: so many times those that a search of
/// all rows looks at.
const FURTHER: usize = 2;

/// An index of lists.
pub trait OfLists: std::fmt::Debug + Send + Sync {
    /// Its lists.
    fn lists(&self) -> &Lists;

    /// The space of their centroids.
    fn space(&self) -> &Space;

    /// The inner products of a query with all centroids.
    fn products(&self, request: &Request<'_>) -> Vec<f32> {
        self.lists().products(&self.space().query(request.query.vector()))
    }

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

    fn check(&self) -> std::result::Result<(), String> {
        self.lists().check_all()
    }
}

impl<T: OfLists> InParts for T {
    fn wanted(&self, request: &Request<'_>, limit: usize) -> Option<Vec<Part>> {
        if request.effort.is_full() || self.lists().len() == 0 {
            return None;
        }
        let breadth = Breadth::new(self.lists(), request, limit);
        // How far a mask makes it go is seen in the lists only.
        let times = if breadth.gap.is_some() { FURTHER } else { 1 };
        let lists = self.lists().nearest(&self.products(request), breadth.lists.saturating_mul(times));
        let part = |list: u32| Part { number: list, range: self.lists().range(list as usize) };
        Some(lists.into_iter().map(part).collect())
    }

    fn supply(&mut self, number: u32, bytes: Bytes) -> std::result::Result<(), String> {
        self.lists_mut().supply(number as usize, bytes)
    }

    fn shortlist(&self, request: &Request<'_>, limit: usize, spare: usize) -> Result<Option<Shortlisted>> {
        if request.effort.is_full() {
            return Ok(None);
        }
        let breadth = Breadth::new(self.lists(), request, limit);
        let (scored, wanted) = (breadth.scored, breadth.wanted);
        let mut cost = Cost::default();
        // A row that is in two lists takes two places.
        let spare = spare.saturating_mul(self.lists().copies());
        let wider = Breadth { scored: scored.saturating_add(spare), ..breadth };
        let candidates = self.candidates(request, wider, &mut cost)?;
        // Lists are looked at as they rank, and one that is not here looks empty.
        let ranked = self.lists().further(&self.products(request), 0, f32::NEG_INFINITY);
        let visited = usize::try_from(cost.visited).unwrap_or(usize::MAX);
        if !ranked.iter().take(visited).all(|list| self.lists().is_here(*list as usize)) {
            return Ok(None);
        }
        Ok(Some(Shortlisted { candidates, scored, wanted, cost }))
    }

    fn rerank(
        &self,
        request: &Request<'_>,
        candidates: &[(f32, u32)],
        best: &mut Best<'_>,
        cost: &mut Cost,
    ) -> Result<()> {
        rerank(request, candidates, self.lists().header().margin, best, cost)
    }
}
