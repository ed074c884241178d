//! The types under test, tables of vectors, and exact answers.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{
    top::{Scored, TopK},
    *,
};
use crate::types::{Distance, HnswParams, IndexSpec, IvfParams, PqParams};

/// What is under test, a line each.
pub const TYPES: &[Kind] = &[
    Kind::built(IndexSpec::Hnsw(HnswParams { m: 16, ef_construction: 128 })),
    Kind::built(IndexSpec::Ivf(IvfParams { list_rows: None })),
    Kind::built(IndexSpec::Pq(PqParams { list_rows: 128, subquantizers: None })),
    Kind::built(IndexSpec::AUTO),
    Kind { spec: IndexSpec::AUTO, extended: true },
];

/// A type of index, and how it is made.
#[derive(Debug, Clone)]
pub struct Kind {
    pub spec: IndexSpec,
    /// From an older index, that is, and not from the rows alone.
    extended: bool,
}

impl Kind {
    pub const fn built(spec: IndexSpec) -> Self {
        Self { spec, extended: false }
    }
}

pub fn name_of(kind: &Kind) -> &'static str {
    if kind.extended { "extended" } else { kind.spec.index_type().as_str() }
}

pub fn build_bytes(kind: &Kind, rows: &Table, distance: Distance, seed: u64) -> Vec<u8> {
    if !kind.extended {
        return build(&kind.spec, rows, distance, seed).unwrap();
    }
    let (older, moved) = older(rows);
    let bytes = build(&kind.spec, &older, distance, seed ^ 1).unwrap();
    let (bytes, work) =
        extend(&kind.spec, rows, distance, seed, &Base { content: bytes.into(), moved }).unwrap();
    assert_eq!(work == Work::Extended, rows.rows() > 0);
    bytes
}

/// A table that had most of these rows, and others between them.
fn older(rows: &Table) -> (Table, Moved) {
    let (mut vectors, mut moved) = (Vec::new(), Moved::to(0));
    for row in 0..(rows.rows() * 4).div_ceil(5) as u32 {
        let (vector, _) = rows.row(row).unwrap();
        if row % 9 == 4 {
            vectors.extend(vector.iter().map(|value| value * -0.5));
            moved.push(false);
        }
        vectors.extend(vector);
        moved.push(true);
    }
    (Table::new(rows.dimension(), vectors), moved)
}

pub fn open_bytes(kind: &Kind, bytes: Bytes) -> Result<Arc<dyn VectorIndex>, String> {
    Ok(open(kind.spec.index_type(), bytes)?.into())
}

pub const DISTANCES: [Distance; 3] = [Distance::Cosine, Distance::DotProduct, Distance::Euclidean];

/// An index with the rows that it was built from.
#[derive(Clone)]
pub struct Built {
    pub rows: Table,
    pub bytes: Bytes,
    pub index: Arc<dyn VectorIndex>,
}

impl Built {
    pub fn new(kind: &Kind, rows: Table, distance: Distance) -> Self {
        let bytes = Bytes::from(build_bytes(kind, &rows, distance, 1));
        Self { rows, index: open_bytes(kind, bytes.clone()).unwrap(), bytes }
    }

    /// So many rows are found; each is admitted, there once, and has its exact score; the best first.
    pub fn check(&self, found: &[Scored], query: &Query, mask: &Mask<'_>, count: usize) {
        assert_eq!(found.len(), count);
        for scored in found {
            let row = u32::try_from(scored.row).unwrap();
            assert!((row as usize) < self.rows.rows() && mask.admits(row));
            let (vector, &inverse_norm) = self.rows.row(row).unwrap();
            assert_eq!(scored.score, flat::score(query, vector, inverse_norm) + 0.0);
        }
        for pair in found.windows(2) {
            let ordered = pair[0].score > pair[1].score
                || (pair[0].score == pair[1].score && pair[0].row < pair[1].row);
            assert!(ordered, "{pair:?}");
        }
    }
}

/// A search that nothing stops.
pub fn search(
    built: &Built,
    query: &Query,
    mask: Mask<'_>,
    effort: Effort,
    limit: usize,
) -> (Vec<Scored>, Cost) {
    let request = Request { query, rows: &built.rows, mask, effort, stop: &|| false };
    best_of(&*built.index, &request, limit).unwrap()
}

/// The best admitted rows, by scoring all of them.
pub fn exact(rows: &Table, query: &Query, mask: &Mask<'_>, limit: usize) -> Vec<Scored> {
    let tie = |left: u64, right: u64| left.cmp(&right);
    let mut top = TopK::new(limit);
    for row in (0..rows.rows() as u32).filter(|row| mask.admits(*row)) {
        let (vector, &inverse_norm) = rows.row(row).unwrap();
        top.push(flat::score(query, vector, inverse_norm), row.into(), &tie);
    }
    top.into_sorted(&tie)
}

/// Numbers from 0 to 1.
pub fn numbers(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    }
}

/// Random vectors around a few centres, which are not around zero.
pub fn table(dimension: usize, rows: usize, seed: u64) -> Table {
    let mut next = numbers(seed);
    let centres: Vec<f32> = (0..5 * dimension).map(|_| 4.0 * next() - 1.0).collect();
    let mut vectors = Vec::with_capacity(rows * dimension);
    for _ in 0..rows {
        let centre = (next() * 5.0) as usize * dimension;
        vectors.extend((0..dimension).map(|index| centres[centre + index] + next() - 0.5));
    }
    Table::new(dimension, vectors)
}

/// Embeddings of texts (the checked-in slice of the WordNet set), and queries.
pub fn embeddings() -> (Table, Vec<Vec<f32>>) {
    let (dimension, base) = npy("base.f16.npy");
    let base =
        base.chunks_exact(2).map(|value| half::f16::from_le_bytes([value[0], value[1]]).to_f32()).collect();
    let (_, queries) = npy("queries.npy");
    let queries: Vec<f32> =
        queries.chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect();
    (Table::new(dimension, base), queries.chunks_exact(dimension).map(<[f32]>::to_vec).collect())
}

/// The second dimension and the values of a NumPy file.
fn npy(name: &str) -> (usize, Vec<u8>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wordnet").join(name);
    let mut bytes = std::fs::read(path).unwrap();
    let values = bytes.split_off(10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]])));
    let header = String::from_utf8_lossy(&bytes);
    let shape = header.split("'shape': (").nth(1).unwrap().split(')').next().unwrap();
    (shape.split(", ").nth(1).unwrap().parse().unwrap(), values)
}
