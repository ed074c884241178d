//! Searching lists: those of the nearest centroids are looked at, rows with codes are estimated, and
//! the best of them are scored exactly.

use super::{
    calibration::gap,
    file::{List, Lists},
};
use crate::{
    engine::index::{
        Best, Cost, Effort, Mask, Request,
        codes::{Codes, Estimate},
        search::AHEAD,
        shortlist::Shortlist,
    },
    error::{Error, Result},
};

/// The best of a share `s` of rows that lie anywhere are in about `s⁻ˢᵖʳᵉᵃᵈ` times as many lists as the
/// best of all.
const SPREAD: f32 = 0.4;
/// Further lists from one look at what was found to the next.
const LISTS_PER_BAR: usize = 8;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breadth {
    /// Lists, of those with the nearest centroids.
    pub lists: usize,
    /// Rows that are scored exactly at most, if there are codes.
    pub scored: usize,
    /// Rows that are to be found: as long as there are fewer, further lists are looked at.
    pub wanted: usize,
    /// The place among those found of the last row that is asked for; some are found twice.
    pub last: usize,
    /// If only some rows are admitted: further lists are looked at until they rank by more than this below
    /// the last row that is wanted.
    pub gap: Option<f32>,
    /// If it is known how many rows are admitted: to read so many entries takes as long as to score all of
    /// these. Where a filter leaves rows whose scores are nearly the same, such as those at some distance,
    /// estimates tell little; then more rows are scored, as long as that is cheaper than to score them all.
    pub most: Option<u64>,
}

/// A row that lies anywhere takes so many times as long as one of many in order.
const SCATTERED: u64 = 2;

/// Entries of lists that are read in about the time of so many rows.
fn entries_like(lists: &Lists, rows: u64) -> u64 {
    let header = lists.header();
    rows.saturating_mul((header.dimension * size_of::<f32>()) as u64) / (header.entry_bytes as u64 + 4)
}

/// How many lists effort `e` looks at: `listsᵉ`.
pub fn count(lists: &Lists, effort: Effort) -> usize {
    let count = (lists.len() as f32).powf(effort.value());
    (count.ceil() as usize).clamp(1, lists.len().max(1))
}

impl Breadth {
    /// The more effort, the more rows are scored exactly.
    pub fn new(lists: &Lists, request: &Request<'_>, limit: usize) -> Self {
        let effort = request.effort.value();
        let header = lists.header();
        let scored = limit.saturating_mul((2.0_f32).powf(1.0 + 3.5 * effort) as usize).saturating_add(16);
        let masked = !matches!(request.mask, Mask::All);
        Self {
            lists: count(lists, request.effort),
            scored,
            // A row that is in two lists is found twice.
            wanted: limit.saturating_mul(lists.copies()),
            last: limit.saturating_mul(header.entries).div_ceil(header.rows.max(1)),
            gap: masked.then(|| gap(header, request.effort)),
            most: match request.mask {
                Mask::Bits(_) => request.mask.count(header.rows).map(|rows| entries_like(lists, rows as u64)),
                Mask::All | Mask::Only(_) => None,
            },
        }
    }

    /// Whether a search took as long already as to score all admitted rows takes. It does so then, and takes
    /// about twice as long as that at most, whatever it would have met.
    pub fn is_too_much(&self, lists: &Lists, spent: &Cost) -> bool {
        let spent = spent.estimated.saturating_add(entries_like(lists, SCATTERED * spent.scored));
        self.most.is_some_and(|most| spent > most)
    }

    /// Whether it will be when all of `scored` have been scored, after as many entries as a search read.
    pub fn will_be_too_much(&self, lists: &Lists, estimated: u64) -> bool {
        self.is_too_much(lists, &Cost { estimated, scored: self.scored as u64, ..Cost::default() })
    }

    /// Whether the admitted rows, if it is known how many there are, are less to read than the lists.
    fn is_dearer_than_rows(&self, lists: &Lists, request: &Request<'_>) -> bool {
        let header = lists.header();
        let Some(rows) = request.mask.count(header.rows) else { return false };
        let share = (rows + 1) as f32 / (header.rows + 1) as f32;
        let expected = (self.lists as f32 * share.powf(-SPREAD)).min(lists.len() as f32);
        let rows_of_list = header.entries as f32 / lists.len().max(1) as f32;
        let row_bytes = header.dimension * size_of::<f32>();
        (rows * row_bytes) as f32 <= expected * rows_of_list * (header.entry_bytes + 4) as f32
    }

    /// All lists, and all of their rows.
    pub fn of_all(lists: &Lists) -> Self {
        Self { lists: lists.len(), scored: lists.header().entries, wanted: 0, last: 0, gap: None, most: None }
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
    let breadth = Breadth::new(lists, request, best.limit());
    if breadth.is_dearer_than_rows(lists, request) {
        return best.score_all(request);
    }
    look(breadth, best, &mut cost)?;
    Ok(cost)
}

/// What a search makes of the lists that it looks at.
pub trait Look {
    /// Looks at a list, given the inner product of its centroid and the query.
    ///
    /// # Errors
    /// As [`crate::engine::index::VectorIndex::search`].
    fn look(&mut self, list: List<'_>, base: f32, cost: &mut Cost) -> Result<()>;

    /// How many rows were found so far.
    fn found(&self) -> usize;

    /// The product (less half a square for distances) of the last row that is wanted with the query, as far
    /// as it is known.
    fn last_wanted(&mut self) -> f32;
}

/// Looks at the lists with the nearest centroids to the query, which is `placed`, the nearest first.
///
/// # Errors
/// Those of [`Look::look`].
pub fn probe(
    lists: &Lists,
    request: &Request<'_>,
    placed: &[f32],
    breadth: Breadth,
    cost: &mut Cost,
    search: &mut impl Look,
) -> Result<()> {
    let products = lists.products(placed);
    let nearest = lists.nearest(&products, breadth.lists);
    let mut look = |search: &mut _, list: u32, next: Option<&u32>| -> Result<bool> {
        next.inspect(|next| lists.prefetch(**next as usize));
        cost.visited += 1;
        cost.stopped = (request.stop)();
        let (list, base) = (lists.list(list as usize), products[list as usize]);
        if cost.stopped {
            return Ok(false);
        }
        Look::look(search, list, base, cost)?;
        Ok(!breadth.is_too_much(lists, cost))
    };
    for (place, list) in nearest.iter().enumerate() {
        if !look(search, *list, nearest.get(place + 1))? {
            return Ok(());
        }
    }
    // Where few rows are admitted, or many wanted, the nearest lists may hold too few.
    let floor = |search: &mut _| match breadth.gap {
        _ if Look::found(search) < breadth.wanted => f32::NEG_INFINITY,
        Some(gap) => Look::last_wanted(search) - gap,
        None => f32::INFINITY,
    };
    let mut bar = floor(search);
    let further = lists.further(&products, nearest.len(), bar);
    let ranks = if further.is_empty() { Vec::new() } else { lists.ranks(&products) };
    for (place, list) in further.iter().enumerate() {
        if place % LISTS_PER_BAR == LISTS_PER_BAR - 1 {
            bar = floor(search);
        }
        if ranks[*list as usize] < bar || !look(search, *list, further.get(place + 1))? {
            break;
        }
    }
    Ok(())
}

/// Rows of lists, estimated.
struct Estimates<'a, Q> {
    request: &'a Request<'a>,
    query: &'a Q,
    shortlist: Shortlist,
    estimates: Vec<f32>,
    /// Which place the last row that is wanted has among those found.
    last: usize,
}

impl<Q: Estimate> Look for Estimates<'_, Q> {
    fn look(&mut self, list: List<'_>, base: f32, cost: &mut Cost) -> Result<()> {
        let estimates = &mut self.estimates[..list.rows.len()];
        cost.estimated += estimates.len() as u64;
        let codes = Codes::of_list(list.rest, list.rows.len());
        if self.query.estimate(&codes, base, estimates) >= self.shortlist.threshold() {
            self.shortlist.offer(&self.request.mask, estimates, list.rows);
        }
        Ok(())
    }

    fn found(&self) -> usize {
        self.shortlist.len()
    }

    fn last_wanted(&mut self) -> f32 {
        self.shortlist.estimate_at(self.last)
    }
}

/// The rows whose estimates are best, at most `breadth.scored`, the best first.
///
/// # Errors
/// As [`crate::engine::index::VectorIndex::search`].
pub fn candidates(
    lists: &Lists,
    request: &Request<'_>,
    placed: &[f32],
    query: &impl Estimate,
    breadth: Breadth,
    cost: &mut Cost,
) -> Result<Vec<(f32, u32)>> {
    let mut search = Estimates {
        request,
        query,
        shortlist: Shortlist::new(breadth.scored),
        estimates: vec![0.0; lists.longest()],
        last: breadth.last,
    };
    probe(lists, request, placed, breadth, cost, &mut search)?;
    Ok(search.shortlist.finish())
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
    let fetch = |place: usize| candidates.get(place).map(|(_, row)| request.fetch(*row)).transpose();
    let mut waiting = [None; AHEAD];
    for (place, waiting) in waiting.iter_mut().enumerate() {
        *waiting = fetch(place)?;
    }
    for (place, (estimate, _)) in candidates.iter().copied().enumerate() {
        let row = std::mem::replace(&mut waiting[place % AHEAD], fetch(place + AHEAD)?);
        if request.query.score_of(estimate + margin) < best.threshold() {
            break;
        }
        if let Some(row) = row {
            best.score_fetched(request, row);
            cost.scored += 1;
        }
    }
    Ok(())
}
