//! Balanced lists of quantised rows: the default index.
//!
//! Rows are divided into many short lists ([`super::lists`]); a list holds short codes of its rows
//! ([`super::codes`]). A search estimates the scores of all rows in the nearest lists from the codes,
//! and computes those of the best few exactly, from the rows.
//!
//! SPFresh (Xu et al., SOSP 2023) for the lists and how they are kept, RaBitQ (Gao and Long, SIGMOD
//! 2024) for the codes.

mod build;
mod choice;

use bytes::Bytes;

pub use self::build::build;
use super::{
    Best, Cost, Effort, Request, VectorIndex,
    codes::{CodeQuery, CodeType, FACTOR_BYTES},
    lists::{
        Breadth, Lists, Space,
        calibration::{self, Draft},
        candidates, rerank, search,
    },
    rotation::rotated_dimension,
};
use crate::{error::Result, types::Distance};

/// An opened index.
#[derive(Debug)]
pub struct Spfresh {
    lists: Lists,
    space: Space,
    code_type: CodeType,
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
        Ok(Self { space: lists.space(), code_type, lists })
    }

    /// The rows whose estimates are best, the best first.
    fn candidates(
        &self,
        request: &Request<'_>,
        breadth: Breadth,
        cost: &mut Cost,
    ) -> Result<Vec<(f32, u32)>> {
        let placed = self.space.query(request.query.vector());
        let query = CodeQuery::new(self.code_type, &placed);
        candidates(&self.lists, request, &placed, &query, breadth, cost)
    }
}

impl VectorIndex for Spfresh {
    fn search(&self, request: &Request<'_>, best: &mut Best<'_>) -> Result<Cost> {
        search(&self.lists, request, best, |breadth, best, cost| {
            let candidates = self.candidates(request, breadth, cost)?;
            rerank(request, &candidates, self.lists.header().margin, best, cost)
        })
    }

    fn effort_for(&self, recall: f32, top_k: usize) -> Effort {
        calibration::effort_for(self.lists.header(), recall, top_k)
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

impl Draft for Spfresh {
    fn estimates(&self, request: &Request<'_>) -> Result<Vec<(f32, u32)>> {
        self.candidates(request, Breadth::to_measure(&self.lists), &mut Cost::default())
    }

    fn set_margin(&mut self, margin: f32) {
        self.lists.set_margin(margin);
    }
}
