//! Building the index of a segment.

use rayon::prelude::*;

use super::{FACTOR_BYTES, calibrate};
use crate::{
    engine::index::{
        VectorSource,
        codes::{CodeType, Coded, pack},
        lists::{Division, Header, Partition, Quantized, Space, encode},
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
    let list_rows = (params.list_rows as usize).max(1);
    let closure = f32::from(params.closure_percent.min(100)) / 100.0;
    let division = Division { list_rows, closure, seed };
    let partition = Partition::build(source, &space, &division)?;
    finish(source, &space, &division, params.code_bits, &partition)
}

/// Codes the rows of a partition, and measures what comes of it.
pub(super) fn finish(
    source: &dyn VectorSource,
    space: &Space,
    division: &Division,
    code_bits: Option<u8>,
    partition: &Partition,
) -> Result<Vec<u8>> {
    let centroids = Quantized::new(&partition.clusters);
    let coder = Coder { source, space, centroids: &centroids, partition };
    let code_type = match code_bits.and_then(CodeType::of_bits) {
        Some(code_type) => code_type,
        None => calibrate::choose(&coder, division.seed)?,
    };
    let lists = 0..partition.lists.len();
    let rest = lists.into_par_iter().map(|list| coder.list(code_type, list)).collect::<Result<Vec<_>>>()?;
    let mut header = Header {
        index: "spfresh".into(),
        dimension: source.dimension(),
        distance: space.distance(),
        rows: source.rows(),
        lists: partition.lists.len(),
        entries: partition.lists.iter().map(Vec::len).sum(),
        entry_bytes: code_type.bytes(space.dimension()) + FACTOR_BYTES,
        code_bits: Some(code_type.bits() as u8),
        margin: f32::MAX,
        calibration: Vec::new(),
        calibration_100: Vec::new(),
        list_rows: division.list_rows,
        closure: division.closure,
    };
    let draft = encode(&header, partition, &centroids, &rest);
    calibrate::measure(source, draft, division.seed, &mut header)?;
    Ok(encode(&header, partition, &centroids, &rest))
}

/// Codes the rows of lists.
pub(super) struct Coder<'a> {
    pub source: &'a dyn VectorSource,
    pub space: &'a Space,
    pub centroids: &'a Quantized,
    pub partition: &'a Partition,
}

impl Coder<'_> {
    /// Scales, summands and codes of the rows of a list.
    fn list(&self, code_type: CodeType, list: usize) -> Result<Vec<u8>> {
        let rows = self.rows(code_type, list)?;
        let mut bytes =
            Vec::with_capacity(rows.len() * (FACTOR_BYTES + code_type.bytes(self.space.dimension())));
        rows.iter().for_each(|row| bytes.extend_from_slice(&row.factors.scale.to_le_bytes()));
        rows.iter().for_each(|row| bytes.extend_from_slice(&row.factors.add.to_le_bytes()));
        bytes.extend(pack(code_type, &rows));
        Ok(bytes)
    }

    /// The codes of the rows of a list.
    pub(super) fn rows(&self, code_type: CodeType, list: usize) -> Result<Vec<Coded>> {
        let centroid = self.centroids.clusters.centroid(list);
        let mut placed = vec![0.0; self.space.dimension()];
        let coded = self.partition.lists[list].iter().map(|row| {
            let (vector, inverse_norm) = self.source.row(*row)?;
            self.space.place(vector, inverse_norm, &mut placed);
            Ok(Coded::new(code_type, &placed, centroid, self.space.offset(&placed)))
        });
        coded.collect()
    }
}
