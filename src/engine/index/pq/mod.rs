//! Product quantisation: the residual of a row in pieces, each replaced by the nearest of sixteen
//! centroids of its subspace.
//!
//! Rows are divided into lists ([`super::lists`]). A code is half a byte per subspace, and a query
//! looks the inner products of its own pieces with all centroids up in tables that fit a register
//! ([`scan`]); then the best rows are scored exactly. Unlike the rounded values of
//! [`super::codes`], centroids are trained, and the query loses next to nothing.
//!
//! Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", TPAMI 2011; the
//! factors that make estimates unbiased are those of [`super::codes`].

mod basis;
mod build;
mod codebooks;
mod scan;

use bytes::Bytes;

pub use self::build::build;
use self::{basis::Written, codebooks::Shape, scan::Tables};
use super::{
    Cost, Request,
    codes::FACTOR_BYTES,
    lists::{Breadth, Lists, OfLists, Space, candidates, words},
    rotation::rotated_dimension,
};
use crate::error::Result;

/// An opened index.
#[derive(Debug)]
pub struct Pq {
    lists: Lists,
    space: Space,
    shape: Shape,
}

impl Pq {
    /// Opens an index, or says what is wrong with its bytes.
    pub fn open(bytes: Bytes) -> Result<Self, String> {
        Self::of(Lists::open(bytes)?)
    }

    /// Opens an index of which only the head is here.
    pub fn open_head(head: &Bytes, length: u64) -> Result<Self, String> {
        Self::of(Lists::open_head(head, length)?)
    }

    fn of(lists: Lists) -> Result<Self, String> {
        let header = lists.header();
        let shape = header
            .subquantizers
            .and_then(|subspaces| Shape::new(rotated_dimension(header.dimension), subspaces))
            .ok_or("it has no codebooks that are known")?;
        let shared_bytes = shape.codebook_bytes() + Written::bytes(shape.values());
        let expected = (shape.code_bytes() + FACTOR_BYTES, shared_bytes);
        if header.index != "pq" || (header.entry_bytes, header.shared_bytes) != expected {
            return Err("its lists are of another index".into());
        }
        let index = Self { space: lists.space(), shape, lists };
        if !index.basis().is_valid() {
            return Err("its basis has other values than its rows".into());
        }
        Ok(index)
    }

    fn basis(&self) -> Written<'_> {
        Written::new(self.shape.values(), &self.lists.shared()[self.shape.codebook_bytes()..])
    }
}

impl OfLists for Pq {
    fn lists(&self) -> &Lists {
        &self.lists
    }

    fn space(&self) -> &Space {
        &self.space
    }

    fn lists_mut(&mut self) -> &mut Lists {
        &mut self.lists
    }

    fn candidates(
        &self,
        request: &Request<'_>,
        breadth: Breadth,
        cost: &mut Cost,
    ) -> Result<Vec<(f32, u32)>> {
        let placed = self.space.query(request.query.vector());
        let codebooks = words(&self.lists.shared()[..self.shape.codebook_bytes()]);
        let tables = Tables::new(self.shape, codebooks, &self.basis().turn(&placed));
        candidates(&self.lists, request, &placed, &tables, breadth, cost)
    }
}
