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

pub use self::build::build;
use self::{basis::Written as WrittenBasis, codebooks::Shape, scan::Tables};
use super::{
    Cost, Request,
    codes::FACTOR_BYTES,
    lists::{Breadth, Kind, ListIndex, Lists, candidates, words},
    rotation::rotated_dimension,
};
use crate::error::Result;

/// An opened index.
pub type Pq = ListIndex<ProductCodes>;

/// Lists with product-quantised codes of their rows.
#[derive(Debug)]
pub struct ProductCodes {
    shape: Shape,
}

impl ProductCodes {
    fn basis<'a>(&self, lists: &'a Lists) -> WrittenBasis<'a> {
        WrittenBasis::new(self.shape.values(), &lists.shared()[self.shape.codebook_bytes()..])
    }
}

impl Kind for ProductCodes {
    fn of(lists: &Lists) -> Result<Self, String> {
        let header = lists.header();
        let shape = header
            .subquantizers
            .and_then(|subspaces| Shape::new(rotated_dimension(header.dimension), subspaces))
            .ok_or("it has no codebooks that are known")?;
        let shared_bytes = shape.codebook_bytes() + WrittenBasis::bytes(shape.values());
        let expected = (shape.code_bytes() + FACTOR_BYTES, shared_bytes);
        if header.index != "pq" || (header.entry_bytes, header.shared_bytes) != expected {
            return Err("its lists are of another index".into());
        }
        let kind = Self { shape };
        if !kind.basis(lists).is_valid() {
            return Err("its basis has other values than its rows".into());
        }
        Ok(kind)
    }

    fn candidates(
        &self,
        lists: &Lists,
        request: &Request<'_>,
        breadth: Breadth,
        cost: &mut Cost,
    ) -> Result<Vec<(f32, u32)>> {
        let placed = lists.space().query(request.query.vector());
        let codebooks = words(&lists.shared()[..self.shape.codebook_bytes()]);
        let tables = Tables::new(self.shape, codebooks, &self.basis(lists).turn(&placed));
        candidates(lists, request, &placed, &tables, breadth, cost)
    }
}
