//! Continuing an older index that most rows are in: its lists stay what they are, with their centroids
//! and codes to the byte, but for those that have to change ([`lists::extend`]).

use super::{
    Spfresh,
    build::{Coder, division, finish},
};
use crate::{
    engine::index::{
        Base, VectorSource,
        lists::{self, Division, Heritage, Space, calibration::Known},
    },
    error::Result,
    types::{Distance, SpfreshParams},
};

/// An index with a smaller share of the rows is not continued: the rows that it does not know cost as
/// much as in a fresh build then, and what comes of it is not as good.
const KNOWN: f32 = 0.7;

/// Whether an index that knows so many of some rows is worth continuing.
pub fn is_worth_extending(known: usize, rows: usize) -> bool {
    known > 0 && known as f32 >= KNOWN * rows as f32
}

/// Builds an index over all rows from one that knows most of them; none if that one is of no use.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn extend(
    source: &dyn VectorSource,
    distance: Distance,
    params: &SpfreshParams,
    seed: u64,
    base: &Base,
) -> Result<Option<Vec<u8>>> {
    let (division, moved) = (division(params, seed), &base.moved);
    let Some(index) = open(source, distance, &division, base) else { return Ok(None) };
    let space = Space::new(distance, source.dimension());
    let heritage = Heritage::of(&index.lists, moved, source, &space)?;
    if !is_worth_extending(heritage.known(), source.rows()) {
        return Ok(None);
    }
    let partition = lists::extend(source, &space, &division, heritage)?;
    let share = moved.len() as f32 / source.rows() as f32;
    let known = Known { header: index.lists.header(), share };
    let coder = Coder::new(source, &space, &partition, Some((&index, moved)));
    finish(&coder, &division, params.code_bits, Some(known)).map(Some)
}

/// The older index, if it is one that can be continued.
fn open(source: &dyn VectorSource, distance: Distance, division: &Division, base: &Base) -> Option<Spfresh> {
    let index = Spfresh::open(base.content.clone()).ok()?;
    let header = index.lists.header();
    let fits = (header.distance, header.dimension) == (distance, source.dimension())
        && (header.list_rows, header.closure) == (division.list_rows, division.closure)
        && header.rows == base.moved.rows()
        && base.moved.end() <= source.rows()
        && header.lists > 0
        && index.lists.clusters().values().iter().all(|value| value.is_finite());
    fits.then_some(index)
}
