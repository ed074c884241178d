//! Building the index of a segment.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    Pq,
    basis::Basis,
    codebooks::{Codebooks, Shape},
    scan::pack,
};
use crate::{
    engine::index::{
        VectorSource,
        codes::{Codes, FACTOR_BYTES, Factors},
        lists::{Division, Header, Partition, Placed, Quantized, Space, Written},
        random::Numbers,
    },
    error::{Error, Result},
    types::{Distance, PqParams},
};

/// Residuals that codebooks are trained on: a few hundred for each of the sixteen centroids.
const SAMPLED: usize = 8 << 10;
/// Values of a subspace, if nobody says how many subspaces there are.
const WIDTH: usize = 4;

/// Builds an index over all rows.
///
/// # Errors
/// [`crate::error::Error::Corrupt`] if a row is damaged.
pub fn build(source: &dyn VectorSource, distance: Distance, params: &PqParams, seed: u64) -> Result<Vec<u8>> {
    let space = Space::new(distance, source.dimension());
    let division = Division { list_rows: (params.list_rows as usize).max(1), closure: 0.0, seed };
    let partition = Partition::build(source, &space, &division)?;
    let centroids = Quantized::new(&partition.clusters);
    let subspaces = params.subquantizers.map_or(space.dimension() / WIDTH, |wanted| wanted as usize);
    let shape = Shape::nearest(space.dimension(), subspaces);
    let coder = Coder::train(source, &space, shape, &centroids, &partition, seed)?;
    let shared = [coder.codebooks.encode(), coder.basis.encode()].concat();
    let entry_bytes = shape.code_bytes() + FACTOR_BYTES;
    let mut header = Header::new("pq", source, distance, &division, &partition, entry_bytes);
    header.subquantizers = Some(shape.subspaces);
    header.shared_bytes = shared.len();
    let written = Written { partition: &partition, centroids: &centroids, shared: &shared };
    let rows = |lists: Range<usize>| partition.lists[lists].concat();
    let read = |lists| space.placed(source, rows(lists));
    let bytes = written.encode(&header, read, |placed, list, place| coder.list(placed, list, place))?;
    Pq::measured(bytes, source, seed, header, None)
}

/// Codes the rows of lists.
struct Coder<'a> {
    space: &'a Space,
    centroids: &'a Quantized,
    partition: &'a Partition,
    basis: Basis,
    codebooks: Codebooks,
}

impl<'a> Coder<'a> {
    /// Trains basis and codebooks on the residuals of some rows.
    fn train(
        source: &'a dyn VectorSource,
        space: &'a Space,
        shape: Shape,
        centroids: &'a Quantized,
        partition: &'a Partition,
        seed: u64,
    ) -> Result<Self> {
        let rows: Vec<(usize, u32)> = partition
            .lists
            .iter()
            .enumerate()
            .flat_map(|(list, rows)| rows.iter().map(move |row| (list, *row)))
            .collect();
        let sample = Numbers::new(seed ^ 0x636f_6465).sample(SAMPLED, rows.len());
        let values = space.dimension();
        let mut residuals = vec![0.0; sample.len() * values];
        residuals.par_chunks_mut(values).zip(&sample).try_for_each(|(residual, sampled)| {
            let (list, row) = rows[*sampled];
            let (vector, &inverse_norm) = source.row(row)?;
            space.place(vector, inverse_norm, residual);
            subtract(residual, centroids.clusters.centroid(list));
            normalise(residual);
            Ok::<_, Error>(())
        })?;
        let basis = Basis::train(shape, &residuals);
        let codebooks = Codebooks::train(shape, &basis.turn(&residuals));
        Ok(Self { space, centroids, partition, basis, codebooks })
    }

    /// Writes scales, summands and codes of the rows of a list.
    fn list(&self, placed: &Placed, list: usize, place: &mut [u8]) {
        let (values, rows) = (self.space.dimension(), &self.partition.lists[list]);
        let centroid = self.centroids.clusters.centroid(list);
        let mut residuals = vec![0.0; rows.len() * values];
        let mut offsets = Vec::with_capacity(rows.len());
        for (residual, row) in residuals.chunks_exact_mut(values).zip(rows) {
            residual.copy_from_slice(placed.row(*row));
            offsets.push(self.space.offset(residual));
            subtract(residual, centroid);
        }
        let (residuals, centroid) = (self.basis.turn(&residuals), self.basis.turn(centroid));
        let (mut factors, mut codes) = (Vec::new(), Vec::new());
        for (residual, offset) in residuals.chunks_exact(values).zip(offsets) {
            let mut direction = residual.to_vec();
            normalise(&mut direction);
            let code = self.codebooks.code(&direction);
            factors.push(Factors::new(residual, &centroid, self.codebooks.values(&code), offset));
            codes.push(code);
        }
        Codes::write_list(place, factors.into_iter(), &pack(&codes));
    }
}

fn subtract(row: &mut [f32], centroid: &[f32]) {
    row.iter_mut().zip(centroid).for_each(|(value, centroid)| *value -= centroid);
}

/// Brings a vector to length 1; one without a length becomes zero.
fn normalise(vector: &mut [f32]) {
    let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let factor = if norm > 0.0 && norm.is_finite() { 1.0 / norm } else { 0.0 };
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
}
