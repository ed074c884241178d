//! Inverted lists of rows in full: nothing is quantised but the centroids.
//!
//! A list holds row numbers only, and a search scores all rows of the nearest lists exactly ("IVF-Flat":
//! Sivic and Zisserman, "Video Google", ICCV 2003; Jégou et al., "Product Quantization for Nearest
//! Neighbor Search", TPAMI 2011, IV). So a row that is looked at has its true score, the index takes a
//! few bytes a row, and a search reads many times what it returns.

#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::{
    Best, Cost, Effort, Request, VectorIndex, VectorSource, calibration,
    lists::{AHEAD, Breadth, Division, Header, Lists, Partition, Quantized, Space, encode, probe},
};
use crate::{
    error::{Error, Result},
    types::Distance,
};

/// Rows per list at least, if nobody says how many.
const MIN_LIST_ROWS: usize = 16;

/// What can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params {
    /// Rows per list, on average; none: as many as make a search look at as many centroids as rows.
    pub list_rows: Option<usize>,
}

impl Params {
    fn list_rows(&self, rows: usize) -> usize {
        self.list_rows.unwrap_or_else(|| (rows.isqrt() / 4).max(MIN_LIST_ROWS)).max(1)
    }
}

/// Builds an index over all rows.
///
/// # Errors
/// [`Error::Corrupt`] if a row is damaged.
pub fn build(source: &dyn VectorSource, distance: Distance, params: &Params, seed: u64) -> Result<Vec<u8>> {
    let space = Space::new(distance, source.dimension());
    let division = Division { list_rows: params.list_rows(source.rows()), closure: 0.0, seed };
    let partition = Partition::build(source, &space, &division)?;
    let centroids = Quantized::new(&partition.clusters);
    let rest = vec![Vec::new(); partition.lists.len()];
    let mut header = Header::new("ivf", source, distance, &division, &partition, 0);
    let draft = encode(&header, &partition, &centroids, &[], &rest);
    let index = Ivf::open(draft.into()).map_err(Error::internal)?;
    header.calibration =
        calibration::recalls(&index, source, &calibration::sample(source, distance, seed)?)?;
    Ok(encode(&header, &partition, &centroids, &[], &rest))
}

/// An opened index.
#[derive(Debug)]
pub struct Ivf {
    lists: Lists,
    space: Space,
}

impl Ivf {
    /// Opens an index, or says what is wrong with its bytes.
    pub fn open(bytes: Bytes) -> Result<Self, String> {
        let lists = Lists::open(bytes)?;
        if lists.header().index != "ivf" || lists.header().entry_bytes != 0 {
            return Err("its lists are of another index".into());
        }
        Ok(Self { space: lists.space(), lists })
    }
}

impl VectorIndex for Ivf {
    fn search(&self, request: &Request<'_>, best: &mut Best<'_>) -> Result<Cost> {
        let mut cost = Cost::default();
        if best.limit() == 0 || self.lists.len() == 0 {
            return Ok(cost);
        }
        if request.effort.is_full() {
            return best.score_all(request);
        }
        let placed = self.space.query(request.query.vector());
        let breadth = Breadth::new(&self.lists, request.effort, best.limit());
        probe(&self.lists, request, &placed, breadth.lists, &mut cost, |list, _, cost| {
            for (place, row) in list.rows.iter().map(|row| u32::from_le_bytes(*row)).enumerate() {
                if let Some(ahead) = list.rows.get(place + AHEAD) {
                    request.prefetch(u32::from_le_bytes(*ahead));
                }
                if request.mask.admits(row) {
                    best.score(request, row)?;
                    cost.scored += 1;
                }
            }
            Ok(())
        })?;
        Ok(cost)
    }

    fn effort_for(&self, recall: f32) -> Effort {
        calibration::effort_for(&self.lists.header().calibration, recall)
    }

    fn resident_bytes(&self) -> u64 {
        self.lists.resident_bytes()
    }
}
