//! Searching lists: those of the nearest centroids are looked at, rows with codes are estimated, and
//! the best of them are scored exactly.

use super::file::{List, Lists};
use crate::{
    engine::index::{
        Best, Cost, Request,
        codes::{Codes, Estimate},
        shortlist::Shortlist,
    },
    error::{Error, Result},
};

/// Rows that memory is asked for ahead of the one that is scored.
pub const AHEAD: usize = 3;
/// Of half the rows, the best are in so many times (as a power of two) more lists: twice as many would
/// hold as many rows, but what is nearest lies closer together than what comes next.
const SPREAD: f32 = 2.0;
/// Rows whose estimates are compared with their scores when an index is measured.
const MEASURED: usize = 4096;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breadth {
    /// Lists, of those with the nearest centroids.
    pub lists: usize,
    /// Rows that are scored exactly at most, if there are codes.
    pub scored: usize,
    /// Rows that are to be found: as long as there are fewer, further lists are looked at.
    pub wanted: usize,
}

impl Breadth {
    /// Effort `e` looks at `listsᵉ` lists, and exactly at more rows the more there are; if only some
    /// rows are admitted, at more lists, since the best of few rows lie further away.
    pub fn new(lists: &Lists, request: &Request<'_>, limit: usize) -> Self {
        let effort = request.effort.value();
        let count = (lists.len() as f32).powf(effort) / request.mask.share(lists.header().rows).powf(SPREAD);
        let scored = limit.saturating_mul((2.0_f32).powf(1.0 + 3.5 * effort) as usize).saturating_add(16);
        Self {
            lists: (count.ceil() as usize).clamp(1, lists.len().max(1)),
            scored,
            // A row that is in two lists is found twice.
            wanted: limit.saturating_mul(lists.copies()),
        }
    }

    /// All lists, and as many rows as it takes to see how good estimates are.
    pub fn to_measure(lists: &Lists) -> Self {
        Self { lists: lists.len(), scored: MEASURED, wanted: 0 }
    }
}

/// A search, but for what the type of index does: at full effort it is exact, and otherwise `look`
/// looks at lists.
///
/// # Errors
/// [`Error::Corrupt`] if the rows are not those of the index, and what `look` says.
pub fn search<'b>(
    lists: &Lists,
    request: &Request<'_>,
    best: &mut Best<'b>,
    look: impl FnOnce(Breadth, &mut Best<'b>, &mut Cost) -> Result<()>,
) -> Result<Cost> {
    let header = lists.header();
    if (request.rows.rows(), request.rows.dimension()) != (header.rows, header.dimension) {
        let reason = format!("it is over {} rows, not {}", header.rows, request.rows.rows());
        return Err(Error::Corrupt { object: "an index".into(), reason });
    }
    let mut cost = Cost::default();
    if best.limit() == 0 {
        return Ok(cost);
    }
    if request.effort.is_full() || lists.len() == 0 {
        return best.score_all(request);
    }
    look(Breadth::new(lists, request, best.limit()), best, &mut cost)?;
    Ok(cost)
}

/// Looks at the lists with the nearest centroids, the nearest first: `look` gets each with the inner
/// product of its centroid and the query, which is `placed`, and says how many rows there are by then.
///
/// # Errors
/// Those of `look`.
pub fn probe(
    lists: &Lists,
    request: &Request<'_>,
    placed: &[f32],
    breadth: Breadth,
    cost: &mut Cost,
    mut look: impl FnMut(List<'_>, f32, &mut Cost) -> Result<usize>,
) -> Result<()> {
    let products = lists.products(placed);
    let nearest = lists.nearest(&products, breadth.lists);
    // Where few rows are admitted, or many wanted, the nearest lists may hold too few.
    let further = std::iter::once_with(|| lists.nearest(&products, lists.len()));
    let further = further.flatten().skip(nearest.len());
    let mut found = 0;
    for (place, list) in nearest.iter().copied().chain(further).enumerate() {
        if place >= nearest.len() && found >= breadth.wanted {
            break;
        }
        if (request.stop)() {
            cost.stopped = true;
            break;
        }
        if let Some(next) = nearest.get(place + 1) {
            lists.prefetch(*next as usize);
        }
        cost.visited += 1;
        found = look(lists.list(list as usize), products[list as usize], cost)?;
    }
    Ok(())
}

/// The rows whose estimates are best, at most `breadth.scored`, the best first.
pub fn candidates(
    lists: &Lists,
    request: &Request<'_>,
    placed: &[f32],
    query: &impl Estimate,
    breadth: Breadth,
    cost: &mut Cost,
) -> Result<Vec<(f32, u32)>> {
    let mut shortlist = Shortlist::new(breadth.scored);
    let mut estimates = vec![0.0; lists.longest()];
    probe(lists, request, placed, breadth, cost, |list, base, cost| {
        let estimates = &mut estimates[..list.rows.len()];
        cost.estimated += estimates.len() as u64;
        let codes = Codes::of_list(list.rest, list.rows.len());
        if query.estimate(&codes, base, estimates) >= shortlist.threshold() {
            shortlist.offer(&request.mask, estimates, list.rows);
        }
        Ok(shortlist.len())
    })?;
    Ok(shortlist.finish())
}

/// Scores candidates exactly, the best estimate first, until they are by more than `margin` below
/// the scores that are kept.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn rerank(
    request: &Request<'_>,
    candidates: &[(f32, u32)],
    margin: f32,
    best: &mut Best<'_>,
    cost: &mut Cost,
) -> Result<()> {
    for (place, (estimate, row)) in candidates.iter().copied().enumerate() {
        if let Some((_, ahead)) = candidates.get(place + AHEAD) {
            request.prefetch(*ahead);
        }
        if request.query.score_of(estimate + margin) < best.threshold() {
            break;
        }
        best.score(request, row)?;
        cost.scored += 1;
    }
    Ok(())
}
