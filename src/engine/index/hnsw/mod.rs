//! HNSW: a graph in which each row knows its neighbours, walked from the top of a hierarchy.
//!
//! Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
//! Navigable Small World graphs" (IEEE TPAMI 2018; arXiv 1603.09320). The graph is ours in three
//! ways: it lies flat in the bytes of a file and is searched there ([`layout`]); walks compare signed
//! bytes instead of floats, a quarter of the memory traffic, and the best candidates are scored exactly
//! from the rows in the end ([`codes`]); it is built in parallel and yet the same for a seed
//! ([`build`]).
//!
//! Invariant: a search returns as many rows as the mask admits, up to its limit: if a walk has found
//! fewer, the rows are scanned.

mod build;
mod calibrate;
mod codes;
mod layout;
mod pool;
mod search;
mod walk;

use bytes::Bytes;

use self::layout::{Graph, Layout};
use super::{Content, VectorSource};
use crate::{
    error::Result,
    types::{Distance, HnswParams},
};

/// An index, searched in its bytes.
#[derive(Debug)]
pub struct Hnsw {
    layout: Layout,
    content: Content,
    frame: codes::Frame,
}

/// The bytes of an index over the rows, built on the rayon pool that it is called in.
///
/// # Errors
/// As [`VectorSource::row`], and if there are 2³¹ rows or more.
pub fn build(rows: &dyn VectorSource, distance: Distance, params: &HnswParams, seed: u64) -> Result<Vec<u8>> {
    let (layout, mut bytes) = build::build(rows, distance, params, seed)?;
    layout.write_header(&mut bytes);
    let index = Hnsw::of(layout, Bytes::from(bytes).into());
    let ladder = calibrate::measure(&index, rows, seed)?;
    let Hnsw { mut layout, content, .. } = index;
    let mut bytes = Vec::from(content.into_bytes());
    layout.ladder = ladder;
    layout.write_header(&mut bytes);
    Ok(bytes)
}

impl Hnsw {
    /// Opens an index in its bytes, which it keeps and does not copy.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn open(content: impl Into<Content>) -> Result<Self, String> {
        let content = content.into();
        Ok(Self::of(Layout::parse(content.all())?, content))
    }

    fn of(layout: Layout, content: Content) -> Self {
        let mean = Graph::new(&layout, content.all()).mean();
        let frame = codes::Frame::new(layout.distance, layout.unit, mean);
        Self { layout, content, frame }
    }

    /// To be walked: a walk may lead anywhere.
    fn graph(&self) -> Graph<'_> {
        Graph::new(&self.layout, self.content.read(0..self.content.size()))
    }
}
