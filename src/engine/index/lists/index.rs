//! What indexes of lists have in common as indexes: each type only says which rows of its lists are
//! worth an exact score.

use bytes::Bytes;

use super::{
    calibration::{self, Known},
    file::{Header, Lists, write_header},
    probe::{Breadth, rerank, search},
};
use crate::{
    engine::index::{
        Best, Content, Cost, Effort, InParts, Mask, Part, Request, Shortlisted, VectorIndex, VectorSource,
    },
    error::{Error, Result},
    types::Distance,
};

/// Lists that are asked for at once, if only some rows are admitted: so many times those that a search of
/// all rows looks at.
const FURTHER: usize = 2;

/// An index of lists, opened.
#[derive(Debug)]
pub struct ListIndex<K> {
    /// Its lists.
    pub lists: Lists,
    /// What is particular to its type.
    pub kind: K,
}

/// If the candidates may not have been enough, there are so many times as many.
const WIDER: usize = 16;

/// What is particular to a type of index of lists.
pub trait Kind: Sized + std::fmt::Debug + Send + Sync {
    /// Whether it estimates scores; if not, all rows of a list are scored.
    const ESTIMATES: bool = true;

    /// Reads it from lists, or says why they are those of another type.
    fn of(lists: &Lists) -> std::result::Result<Self, String>;

    /// The rows whose estimates are best, the best first; none if nothing is estimated.
    ///
    /// # Errors
    /// As [`VectorIndex::search`].
    fn candidates(
        &self,
        lists: &Lists,
        request: &Request<'_>,
        breadth: Breadth,
        cost: &mut Cost,
    ) -> Result<Vec<(f32, u32)>>;

    /// Offers the rows that a search so broad finds.
    ///
    /// # Errors
    /// As [`VectorIndex::search`].
    fn look(
        &self,
        lists: &Lists,
        request: &Request<'_>,
        breadth: Breadth,
        best: &mut Best<'_>,
        cost: &mut Cost,
    ) -> Result<()> {
        let margin = lists.header().margin;
        let (mut breadth, mut done, mut scored) = (breadth, 0, Vec::new());
        loop {
            let before = *cost;
            let candidates = self.candidates(lists, request, breadth, cost)?;
            // With more candidates, the best of them are those that there were with fewer.
            let fresh = candidates.get(done..).unwrap_or_default();
            rerank(request, fresh, margin, best, cost)?;
            scored.extend(fresh.iter().take((cost.scored - before.scored) as usize).map(|(_, row)| *row));
            if !cost.stopped && breadth.is_too_much(lists, cost) {
                return score_others(request, &scored, best, cost);
            }
            let last = candidates.last().map(|(estimate, _)| request.query.score_of(estimate + margin));
            let may_miss = last.is_some_and(|last| last >= best.settle());
            let is_cut = candidates.len().saturating_mul(lists.copies()) >= breadth.scored;
            let may_widen = breadth.most.is_some() && is_cut && candidates.len() > done;
            if cost.stopped || !(may_widen && may_miss) {
                return Ok(());
            }
            done = candidates.len();
            breadth.scored = breadth.scored.saturating_mul(WIDER);
            if breadth.will_be_too_much(lists, cost.estimated - before.estimated) {
                return score_others(request, &scored, best, cost);
            }
        }
    }
}

/// Scores all admitted rows but those that were scored already.
fn score_others(request: &Request<'_>, scored: &[u32], best: &mut Best<'_>, cost: &mut Cost) -> Result<()> {
    let others = match request.mask {
        Mask::Bits(words) => without(words, scored),
        // Of these it is not known how many there are.
        Mask::All | Mask::Only(_) => return Ok(()),
    };
    *cost += best.score_all(&Request { mask: Mask::Bits(&others), ..*request })?;
    Ok(())
}

/// The rows of a mask that are not among others.
fn without(words: &[u64], rows: &[u32]) -> Vec<u64> {
    let mut words = words.to_vec();
    for row in rows {
        if let Some(word) = words.get_mut(*row as usize / 64) {
            *word &= !(1 << (row % 64));
        }
    }
    words
}

impl<K: Kind> ListIndex<K> {
    /// Opens an index, or says what is wrong with its bytes.
    pub fn open(content: impl Into<Content>) -> std::result::Result<Self, String> {
        Self::over(Lists::open(content)?)
    }

    /// Opens an index of `length` bytes of which only the head is here.
    pub fn open_head(head: &Bytes, length: u64) -> std::result::Result<Self, String> {
        Self::over(Lists::open_head(head, length)?)
    }

    fn over(lists: Lists) -> std::result::Result<Self, String> {
        Ok(Self { kind: K::of(&lists)?, lists })
    }

    /// The bytes of an index with what is measured of it, from its bytes without; `known` is what is known
    /// of it already.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a row is damaged.
    pub fn measured(
        bytes: Vec<u8>,
        source: &dyn VectorSource,
        seed: u64,
        mut header: Header,
        known: Option<Known<'_>>,
    ) -> Result<Vec<u8>> {
        let bytes = Bytes::from(bytes);
        let mut index = Self::open(bytes.clone()).map_err(Error::internal)?;
        calibration::measure(&mut index, source, seed, &mut header, known)?;
        drop(index);
        let mut bytes = Vec::from(bytes);
        write_header(&mut bytes, &header)?;
        Ok(bytes)
    }
}

impl<K: Kind> VectorIndex for ListIndex<K> {
    fn search(&self, request: &Request<'_>, best: &mut Best<'_>) -> Result<Cost> {
        let look = |breadth, best: &mut Best<'_>, cost: &mut Cost| {
            self.kind.look(&self.lists, request, breadth, best, cost)
        };
        search(&self.lists, request, best, look)
    }

    fn effort_for(&self, recall: f32, top_k: usize) -> Effort {
        calibration::effort_for(self.lists.header(), recall, top_k)
    }

    fn distance(&self) -> Distance {
        self.lists.header().distance
    }

    fn shape(&self) -> (usize, usize) {
        (self.lists.header().rows, self.lists.header().dimension)
    }

    fn resident_bytes(&self) -> u64 {
        self.lists.resident_bytes()
    }

    fn check(&self) -> std::result::Result<(), String> {
        self.lists.check_all()
    }
}

impl<K: Kind> InParts for ListIndex<K> {
    fn wanted(&self, request: &Request<'_>, limit: usize) -> Option<Vec<Part>> {
        if request.effort.is_full() || self.lists.len() == 0 {
            return None;
        }
        let breadth = Breadth::new(&self.lists, request, limit);
        // How far a mask makes it go is seen in the lists only.
        let times = if breadth.gap.is_some() { FURTHER } else { 1 };
        let lists =
            self.lists.nearest(&self.lists.products_with(request.query), breadth.lists.saturating_mul(times));
        let part = |list: u32| Part { number: list, range: self.lists.range(list as usize) };
        Some(lists.into_iter().map(part).collect())
    }

    fn supply(&mut self, number: u32, bytes: Bytes) -> std::result::Result<(), String> {
        self.lists.supply(number as usize, bytes)
    }

    fn shortlist(&self, request: &Request<'_>, limit: usize, spare: usize) -> Result<Option<Shortlisted>> {
        if request.effort.is_full() {
            return Ok(None);
        }
        let breadth = Breadth::new(&self.lists, request, limit);
        let (scored, wanted) = (breadth.scored, breadth.wanted);
        let mut cost = Cost::default();
        // A row that is in two lists takes two places.
        let spare = spare.saturating_mul(self.lists.copies());
        // To score all rows of the mask would be many more reads of the store.
        let wider = Breadth { scored: scored.saturating_add(spare), most: None, ..breadth };
        let candidates = self.kind.candidates(&self.lists, request, wider, &mut cost)?;
        // Lists are looked at as they rank, and one that is not here looks empty.
        let ranked = self.lists.further(&self.lists.products_with(request.query), 0, f32::NEG_INFINITY);
        let visited = usize::try_from(cost.visited).unwrap_or(usize::MAX);
        if !ranked.iter().take(visited).all(|list| self.lists.is_here(*list as usize)) {
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
        rerank(request, candidates, self.lists.header().margin, best, cost)
    }
}
