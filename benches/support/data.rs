//! Real embeddings: of `QUIVER_DATA`, else of `make bench-data`, else the slice in this repository.
#![allow(dead_code)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Vectors of one data set, with queries and their exact answers.
#[derive(Debug)]
pub struct DataSet {
    pub folder: PathBuf,
    pub dimension: usize,
    pub base: Vec<f32>,
    pub queries: Vec<f32>,
    /// Rows of `base`, the nearest first; `depth` for each query.
    pub truth: Vec<i32>,
    pub depth: usize,
}

impl DataSet {
    /// The set that `QUIVER_DATA` names, else the one that was made, else the slice in the repository.
    pub fn load() -> Self {
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join(".data/wordnet-minilm-384");
        if made.join("gt100.npy").exists() { Self::read(named().unwrap_or(made)) } else { Self::of_tests() }
    }

    /// The slice in the repository, unless `QUIVER_DATA` names another set: what tests expect is of it, and
    /// does not depend on what was made on this machine.
    pub fn of_tests() -> Self {
        let slice = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wordnet");
        Self::read(named().unwrap_or(slice))
    }

    fn read(folder: PathBuf) -> Self {
        let (base, dimension) = floats(&folder.join("base.f16.npy"));
        let (queries, _) = floats(&folder.join("queries.npy"));
        let (truth, depth) = integers(&folder.join("gt100.npy"));
        Self { folder, dimension, base, queries, truth, depth }
    }

    pub fn rows(&self) -> usize {
        self.base.len() / self.dimension
    }

    pub fn query_count(&self) -> usize {
        self.truth.len() / self.depth
    }

    pub fn query(&self, query: usize) -> &[f32] {
        &self.queries[query * self.dimension..(query + 1) * self.dimension]
    }

    /// The rows that are truly the `k` nearest.
    pub fn nearest(&self, query: usize, k: usize) -> &[i32] {
        &self.truth[query * self.depth..][..k]
    }

    /// `count` values from the vectors in a row, from the beginning again after the end: vectors of
    /// any dimension, with the digits of real ones.
    pub fn values(&self, start: usize, count: usize) -> Vec<f32> {
        self.base.iter().cycle().skip(start % self.base.len()).take(count).copied().collect()
    }
}

fn named() -> Option<PathBuf> {
    std::env::var_os("QUIVER_DATA").map(PathBuf::from)
}

/// The content behind the header, and the length of the last axis.
fn npy(path: &Path) -> (Vec<u8>, usize, String) {
    let mut bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..10 + length]).into_owned();
    let shape = header.split(['(', ')']).nth(1).expect("a shape");
    let last = shape.split(',').filter_map(|axis| axis.trim().parse().ok()).next_back().expect("an axis");
    bytes.drain(..10 + length);
    (bytes, last, header)
}

fn floats(path: &Path) -> (Vec<f32>, usize) {
    let (bytes, last, header) = npy(path);
    let values = if header.contains("<f2") {
        bytes.as_chunks().0.iter().map(|value| half::f16::from_le_bytes(*value).to_f32()).collect()
    } else {
        assert!(header.contains("<f4"), "{header}");
        bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
    };
    (values, last)
}

fn integers(path: &Path) -> (Vec<i32>, usize) {
    let (bytes, last, header) = npy(path);
    assert!(header.contains("<i4"), "{header}");
    (bytes.as_chunks().0.iter().map(|value| i32::from_le_bytes(*value)).collect(), last)
}
