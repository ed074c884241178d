//! Building the index of a segment.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;

use super::{Spfresh, choice};
use crate::{
    engine::index::{
        Moved, VectorSource,
        codes::{CodeType, Coded, Codes, FACTOR_BYTES, pack, unpack},
        lists::{Division, Header, Partition, Placed, Quantized, Space, Written, calibration::Known},
    },
    error::Result,
    types::{Distance, SpfreshParams},
};

/// Builds an index over all rows.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn build(
    source: &dyn VectorSource,
    distance: Distance,
    params: &SpfreshParams,
    seed: u64,
) -> Result<Vec<u8>> {
    let space = Space::new(distance, source.dimension());
    let division = division(params, seed);
    let partition = Partition::build(source, &space, &division)?;
    finish(&Coder::new(source, &space, &partition, None), &division, params.code_bits, None)
}

pub(super) fn division(params: &SpfreshParams, seed: u64) -> Division {
    let closure = f32::from(params.closure_percent.min(100)) / 100.0;
    Division { list_rows: (params.list_rows as usize).max(1), closure, seed }
}

/// Codes the rows of a partition, and measures what comes of it.
pub(super) fn finish(
    coder: &Coder<'_>,
    division: &Division,
    code_bits: Option<u8>,
    known: Option<Known<'_>>,
) -> Result<Vec<u8>> {
    let Coder { source, space, partition, centroids, .. } = coder;
    let code_type = match code_bits.and_then(CodeType::of_bits) {
        Some(code_type) => code_type,
        None => choice::choose(coder, division.seed)?,
    };
    let entry_bytes = code_type.bytes(space.dimension()) + FACTOR_BYTES;
    let mut header = Header::new("spfresh", *source, space.distance(), division, partition, entry_bytes);
    header.code_bits = Some(code_type.bits() as u8);
    let written = Written { partition, centroids, shared: &[] };
    let read = |lists| coder.read(code_type, lists);
    let bytes = written.encode(&header, read, |piece, list, place| coder.list(piece, list, place))?;
    Spfresh::measured(bytes, *source, division.seed, header, known)
}

/// Codes the rows of lists.
pub(super) struct Coder<'a> {
    pub source: &'a dyn VectorSource,
    pub space: &'a Space,
    pub partition: &'a Partition,
    pub centroids: Quantized,
    /// The index whose lists some of these are, with the same centroids.
    kept: Option<(&'a Spfresh, &'a Moved)>,
}

/// What codes of a run of lists are made of.
pub(super) struct Piece {
    code_type: CodeType,
    /// The first of the lists.
    first: usize,
    /// For each list the codes that are known.
    known: Vec<BTreeMap<u32, Coded>>,
    /// All other rows.
    placed: Placed,
}

impl<'a> Coder<'a> {
    /// For the lists of a partition; `kept` is the index that its origins are of.
    pub(super) fn new(
        source: &'a dyn VectorSource,
        space: &'a Space,
        partition: &'a Partition,
        kept: Option<(&'a Spfresh, &'a Moved)>,
    ) -> Self {
        let origin = |list: usize| Some((&kept?.0.lists, partition.origins[list]? as usize));
        let centroids = Quantized::keeping(&partition.clusters, origin);
        Self { source, space, partition, centroids, kept }
    }

    /// Reads what codes of these lists are made of.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] if a row is damaged.
    pub(super) fn read(&self, code_type: CodeType, lists: Range<usize>) -> Result<Piece> {
        let known: Vec<_> = lists.clone().into_par_iter().map(|list| self.known(code_type, list)).collect();
        let unknown = lists.clone().zip(&known).flat_map(|(list, known)| {
            self.partition.lists[list].iter().copied().filter(|row| !known.contains_key(row))
        });
        let placed = self.space.placed(self.source, unknown.collect())?;
        Ok(Piece { code_type, first: lists.start, known, placed })
    }

    /// Writes scales, summands and codes of the rows of a list.
    fn list(&self, piece: &Piece, list: usize, place: &mut [u8]) {
        let rows = self.rows(piece, list);
        Codes::write_list(place, rows.iter().map(|row| row.factors), &pack(piece.code_type, &rows));
    }

    /// The codes of the rows of a list.
    pub(super) fn rows(&self, piece: &Piece, list: usize) -> Vec<Coded> {
        let known = &piece.known[list - piece.first];
        let centroid = self.centroids.clusters.centroid(list);
        let coded = self.partition.lists[list].iter().map(|row| match known.get(row) {
            Some(coded) => coded.clone(),
            None => {
                let placed = piece.placed.row(*row);
                Coded::new(piece.code_type, placed, centroid, self.space.offset(placed))
            }
        });
        coded.collect()
    }

    /// The codes that rows of a list have had in it already: they are relative to the same centroid.
    fn known(&self, code_type: CodeType, list: usize) -> BTreeMap<u32, Coded> {
        let Some((index, moved)) = self.kept.filter(|(index, _)| index.kind.code_type == code_type) else {
            return BTreeMap::new();
        };
        let Some(origin) = self.partition.origins[list] else { return BTreeMap::new() };
        let old = index.lists.list(origin as usize);
        let codes = Codes::of_list(old.rest, old.rows.len());
        let coded = unpack(code_type, &codes, self.space.dimension());
        let rows = old.rows.iter().map(|row| moved.get(u32::from_le_bytes(*row)));
        rows.zip(coded).filter_map(|(row, coded)| Some((row?, coded))).collect()
    }
}
