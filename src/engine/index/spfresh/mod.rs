//! Balanced lists of quantised rows: the default index.
//!
//! Rows are divided into many short lists ([`super::lists`]); a list holds short codes of its rows
//! ([`super::codes`]). A search estimates the scores of all rows in the nearest lists from the codes,
//! and computes those of the best few exactly, from the rows.
//!
//! SPFresh (Xu et al., SOSP 2023) for the lists and how they are kept, RaBitQ (Gao and Long, SIGMOD
//! 2024) for the codes.

mod build;
mod calibrate;

use bytes::Bytes;

pub use self::build::build;
use super::{
    Best, Cost, Effort, Request, VectorIndex,
    codes::{CodeQuery, CodeType, Codes},
    lists::{Lists, Space, words},
    rotation::rotated_dimension,
    shortlist::Shortlist,
};
use crate::{error::Result, types::Distance};

/// Factors of a code, in bytes.
const FACTOR_BYTES: usize = 8;

/// An opened index.
#[derive(Debug)]
pub struct Spfresh {
    lists: Lists,
    space: Space,
    code_type: CodeType,
    longest: usize,
    margin: f32,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Breadth {
    lists: usize,
    scored: usize,
    wanted: usize,
}

impl Spfresh {
    /// Opens an index, or says what is wrong with its bytes.
    pub fn open(bytes: Bytes) -> Result<Self, String> {
        let lists = Lists::open(bytes)?;
        let header = lists.header();
        let code_type =
            header.code_bits.and_then(CodeType::of_bits).ok_or("it has no codes that are known")?;
        let entry_bytes = code_type.bytes(rotated_dimension(header.dimension)) + FACTOR_BYTES;
        if header.index != "spfresh" || header.entry_bytes != entry_bytes {
            return Err("its lists are of another index".into());
        }
        Ok(Self { space: lists.space(), code_type, longest: lists.longest(), margin: header.margin, lists })
    }

    /// Effort `e` looks at `listsᵉ` lists, and exactly at more rows the more there are.
    fn breadth(&self, effort: Effort, limit: usize) -> Breadth {
        let effort = effort.value();
        let lists = (self.lists.len() as f32).powf(effort).ceil() as usize;
        let scored = limit.saturating_mul((2.0_f32).powf(1.0 + 5.0 * effort) as usize).saturating_add(16);
        Breadth { lists: lists.clamp(1, self.lists.len().max(1)), scored, wanted: limit }
    }

    /// The rows whose estimates are best, at most `breadth.scored`, the best first.
    fn candidates(&self, request: &Request<'_>, breadth: Breadth, cost: &mut Cost) -> Vec<(f32, u32)> {
        let placed = self.space.query(request.query.vector());
        let query = CodeQuery::new(self.code_type, &placed);
        let products = self.lists.products(&placed);
        let mut shortlist = Shortlist::new(breadth.scored);
        let mut estimates = vec![0.0; self.longest];
        let nearest = self.lists.nearest(&products, breadth.lists);
        // Where few rows are admitted, or many wanted, the nearest lists may hold too few.
        let further = std::iter::once_with(|| self.lists.nearest(&products, self.lists.len()));
        let further = further.flatten().skip(nearest.len());
        for (place, list) in nearest.iter().copied().chain(further).enumerate() {
            if place >= nearest.len() && shortlist.len() >= breadth.wanted {
                break;
            }
            if (request.stop)() {
                cost.stopped = true;
                break;
            }
            let view = self.lists.list(list as usize);
            let count = view.rows.len();
            let (factors, codes) = view.rest.split_at(count * FACTOR_BYTES);
            let (scales, adds) = words(factors).split_at(count);
            let estimates = &mut estimates[..count];
            let largest = query.estimate(&Codes { codes, scales, adds }, products[list as usize], estimates);
            cost.visited += 1;
            cost.estimated += count as u64;
            if largest >= shortlist.threshold() {
                shortlist.offer(&request.mask, estimates, view.rows);
            }
        }
        shortlist.finish()
    }
}

impl VectorIndex for Spfresh {
    fn search(&self, request: &Request<'_>, best: &mut Best<'_>) -> Result<Cost> {
        let mut cost = Cost::default();
        if best.limit() == 0 || self.lists.len() == 0 {
            return Ok(cost);
        }
        if request.effort.is_full() {
            return best.score_all(request);
        }
        let breadth = self.breadth(request.effort, best.limit());
        let candidates = self.candidates(request, breadth, &mut cost);
        for (estimate, row) in candidates {
            if request.query.score_of(estimate + self.margin) < best.threshold() {
                break;
            }
            best.score(request, row)?;
            cost.scored += 1;
        }
        Ok(cost)
    }

    fn effort_for(&self, recall: f32, top_k: usize) -> Effort {
        calibrate::effort_for(self.lists.header(), recall, top_k)
    }

    fn distance(&self) -> Distance {
        self.space.distance()
    }

    fn shape(&self) -> (usize, usize) {
        (self.lists.header().rows, self.lists.header().dimension)
    }

    fn resident_bytes(&self) -> u64 {
        self.lists.resident_bytes()
    }
}
