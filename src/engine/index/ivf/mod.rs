//! Inverted lists of rows in full: nothing is quantised but the centroids.
//!
//! A list holds row numbers only, and a search scores all rows of the nearest lists exactly ("IVF-Flat":
//! Sivic and Zisserman, "Video Google", ICCV 2003; Jégou et al., "Product Quantization for Nearest
//! Neighbor Search", TPAMI 2011, IV). So a row that is looked at has its true score, the index takes a
//! few bytes a row, and a search reads many times what it returns.

use super::{
    Best, Cost, Request, VectorSource,
    lists::{
        Breadth, Division, Header, Kind, List, ListIndex, Lists, Look, Partition, Quantized, Space, Written,
        probe,
    },
};
use crate::{
    error::Result,
    types::{Distance, IvfParams},
};

/// Rows per list at least, if nobody says how many.
const MIN_LIST_ROWS: usize = 16;

/// Builds an index over all rows.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn build(
    source: &dyn VectorSource,
    distance: Distance,
    params: &IvfParams,
    seed: u64,
) -> Result<Vec<u8>> {
    let space = Space::new(distance, source.dimension());
    let division = Division { list_rows: list_rows(params, source.rows()), closure: 0.0, seed };
    let partition = Partition::build(source, &space, &division)?;
    let centroids = Quantized::new(&partition.clusters);
    let header = Header::new("ivf", source, distance, &division, &partition, 0);
    let written = Written { partition: &partition, centroids: &centroids, shared: &[] };
    Ivf::measured(written.encode(&header, |_| Ok(()), |(), _, _| ())?, source, seed, header, None)
}

/// Rows per list. If none are given, a tenth of the root of the number of rows: a centroid costs a
/// small part of what a row costs, which lies elsewhere in memory.
fn list_rows(params: &IvfParams, rows: usize) -> usize {
    let derived = || (rows.isqrt() / 10).max(MIN_LIST_ROWS);
    params.list_rows.map_or_else(derived, |list_rows| list_rows as usize).max(1)
}

/// An opened index.
pub type Ivf = ListIndex<FullRows>;

/// Lists that have nothing of their rows but the numbers.
#[derive(Debug)]
pub struct FullRows;

impl Kind for FullRows {
    const ESTIMATES: bool = false;

    fn of(lists: &Lists) -> Result<Self, String> {
        if lists.header().index != "ivf" || lists.header().entry_bytes != 0 {
            return Err("its lists are of another index".into());
        }
        if !holds_each_row_once(lists) {
            return Err("its lists do not hold each row once".into());
        }
        Ok(Self)
    }

    fn candidates(&self, _: &Lists, _: &Request<'_>, _: Breadth, _: &mut Cost) -> Result<Vec<(f32, u32)>> {
        Ok(Vec::new())
    }

    fn look(
        &self,
        lists: &Lists,
        request: &Request<'_>,
        breadth: Breadth,
        best: &mut Best<'_>,
        cost: &mut Cost,
    ) -> Result<()> {
        let placed = lists.space().query(request.query.vector());
        // Here an admitted row costs the same wherever it is found.
        let breadth = Breadth { most: None, ..breadth };
        probe(lists, request, &placed, breadth, cost, &mut Exact { request, best, found: 0 })
    }
}

/// Rows of lists, scored.
struct Exact<'a, 'b, 'c> {
    request: &'a Request<'a>,
    best: &'b mut Best<'c>,
    found: usize,
}

impl Look for Exact<'_, '_, '_> {
    fn look(&mut self, list: List<'_>, _: f32, cost: &mut Cost) -> Result<()> {
        let rows = list.rows.iter().map(|row| u32::from_le_bytes(*row));
        let admitted = rows.filter(|row| self.request.mask.admits(*row));
        let scored = self.best.score_each(self.request, admitted)?;
        self.found += scored.scored as usize;
        *cost += scored;
        Ok(())
    }

    fn found(&self) -> usize {
        self.found
    }

    fn last_wanted(&mut self) -> f32 {
        self.request.query.product_of(self.best.threshold())
    }
}

/// Whether each row is in one list: a search scores them as they come.
fn holds_each_row_once(lists: &Lists) -> bool {
    let (rows, entries) = (lists.header().rows, lists.header().entries);
    let mut seen = vec![false; if rows == entries { rows } else { 0 }];
    for row in (0..lists.len()).flat_map(|list| lists.list(list).rows) {
        match seen.get_mut(u32::from_le_bytes(*row) as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => return false,
        }
    }
    rows == entries
}
