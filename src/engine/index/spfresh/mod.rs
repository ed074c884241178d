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
mod extend;

pub use self::{
    build::build,
    extend::{extend, is_worth_extending},
};
use super::{
    Cost, Request,
    codes::{CodeQuery, CodeType, FACTOR_BYTES},
    lists::{Breadth, Kind, ListIndex, Lists, candidates},
    rotation::rotated_dimension,
};
use crate::error::Result;

/// An opened index.
pub type Spfresh = ListIndex<ShortCodes>;

/// Lists with short codes of their rows.
#[derive(Debug)]
pub struct ShortCodes {
    /// Which codes.
    code_type: CodeType,
}

impl Kind for ShortCodes {
    fn of(lists: &Lists) -> Result<Self, String> {
        let header = lists.header();
        let code_type =
            header.code_bits.and_then(CodeType::of_bits).ok_or("it has no codes that are known")?;
        let entry_bytes = code_type.bytes(rotated_dimension(header.dimension)) + FACTOR_BYTES;
        if header.index != "spfresh" || header.entry_bytes != entry_bytes {
            return Err("its lists are of another index".into());
        }
        Ok(Self { code_type })
    }

    fn candidates(
        &self,
        lists: &Lists,
        request: &Request<'_>,
        breadth: Breadth,
        cost: &mut Cost,
    ) -> Result<Vec<(f32, u32)>> {
        let placed = lists.space().query(request.query.vector());
        let query = CodeQuery::new(self.code_type, &placed);
        candidates(lists, request, &placed, &query, breadth, cost)
    }
}
