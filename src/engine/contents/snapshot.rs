//! The rows at one moment, for readers: a later write never changes it.

use std::sync::Arc;

use super::TextIndexes;
use crate::{
    clock::Timestamp,
    engine::{
        log::Chunk,
        segment::{RowRef, SegmentView},
    },
    error::Result,
    types::Bits,
};

/// The rows at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Values per vector; 0 before the first.
    pub dimension: usize,
    /// The folded rows.
    pub segments: Vec<SegmentView>,
    /// The rows after the fold.
    pub chunks: Vec<Chunk>,
    /// Indexes over the texts of rows that have none in the store.
    pub texts: Arc<TextIndexes>,
}

/// A run of rows whose vectors lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    /// A record batch of a segment, by their numbers.
    Batch(usize, usize),
    /// A chunk of the tail, by its number.
    Chunk(usize),
}

/// What a scan needs of a block.
#[derive(Debug)]
pub struct Vectors<'a> {
    /// The vectors, row after row.
    pub values: &'a [f32],
    /// `1 / ‖row‖₂` for each row; 0 for a zero vector.
    pub inverse_norms: &'a [f32],
    /// The rows that count, one bit each, lowest first.
    pub visible: Vec<u64>,
}

impl Snapshot {
    /// Whether there are no rows, dead ones included.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.chunks.is_empty()
    }

    /// All blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let batches = self.segments.iter().enumerate();
        let batches = batches.flat_map(|(index, segment)| {
            (0..segment.segment().batch_count()).map(move |batch| Block::Batch(index, batch))
        });
        batches.chain((0..self.chunks.len()).map(Block::Chunk)).collect()
    }

    /// The rows of each block that are visible at `now`, one bit each, lowest first. Nothing is read for it.
    pub fn visible(&self, now: Timestamp) -> Vec<(Block, Vec<u64>)> {
        let segments: Vec<Bits> = self.segments.iter().map(|view| view.visible_rows(now)).collect();
        let of_block = |block| match block {
            Block::Batch(segment, batch) => {
                let rows = self.segments[segment].segment();
                segments[segment].part(rows.row(batch, 0) as usize, rows.batch_rows(batch))
            }
            Block::Chunk(chunk) => self.chunks[chunk].visible(now).to_vec(),
        };
        self.blocks().into_iter().map(|block| (block, of_block(block))).collect()
    }

    /// Rows of a block, dead ones included.
    pub fn block_rows(&self, block: Block) -> usize {
        match block {
            Block::Batch(segment, batch) => self.segments[segment].segment().batch_rows(batch),
            Block::Chunk(chunk) => self.chunks[chunk].len(),
        }
    }

    /// Whether the rows of a block have vectors: either all or none of them do.
    pub fn has_vectors(&self, block: Block) -> bool {
        match block {
            Block::Batch(segment, _) => self.segments[segment].segment().has_vectors(),
            Block::Chunk(chunk) => self.chunks[chunk].dimension() > 0,
        }
    }

    /// The vectors of a block that has some.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`]
    pub fn vectors(&self, block: Block, now: Timestamp) -> Result<Vectors<'_>> {
        Ok(match block {
            Block::Batch(segment, batch) => {
                let view = &self.segments[segment];
                let rows = view.segment().batch(batch)?;
                Vectors {
                    values: rows.vectors(),
                    inverse_norms: rows.inverse_norms(),
                    visible: view.visible(batch, now)?.to_vec(),
                }
            }
            Block::Chunk(chunk) => {
                let chunk = &self.chunks[chunk];
                Vectors {
                    values: chunk.vectors(),
                    inverse_norms: chunk.inverse_norms(),
                    visible: chunk.visible(now).to_vec(),
                }
            }
        })
    }

    /// The row at a place.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`]
    pub fn row(&self, block: Block, row: usize) -> Result<RowRef<'_>> {
        match block {
            Block::Batch(segment, batch) => Ok(self.segments[segment].segment().batch(batch)?.get(row)),
            Block::Chunk(chunk) => Ok(of_chunk(&self.chunks[chunk], row)),
        }
    }

    /// The id at a place.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`]
    pub fn id(&self, block: Block, row: usize) -> Result<&str> {
        match block {
            Block::Batch(segment, batch) => Ok(self.segments[segment].segment().batch(batch)?.id(row)),
            Block::Chunk(chunk) => Ok(self.chunks[chunk].id(row).as_str()),
        }
    }

    /// Rows of the tail that have vectors, dead ones included.
    pub fn rows_with_vectors(&self) -> u64 {
        self.chunks.iter().filter(|chunk| chunk.dimension() > 0).map(|chunk| chunk.len() as u64).sum()
    }

    /// The visible rows of the tail at `now`.
    pub fn tail_rows(&self, now: Timestamp) -> impl Iterator<Item = RowRef<'_>> {
        self.chunks.iter().flat_map(move |chunk| {
            let visible = chunk.visible(now);
            let rows = (0..chunk.len()).filter(move |row| visible[row / 64] >> (row % 64) & 1 == 1);
            rows.map(move |row| of_chunk(chunk, row))
        })
    }
}

/// The live row of an id in segments, expired or not.
pub(super) fn in_segments<'a>(segments: &'a [SegmentView], id: &str) -> Result<Option<RowRef<'a>>> {
    for view in segments {
        if let Some(row) = view.find(id)? {
            let (batch, place) = view.segment().place(row);
            return Ok(Some(view.segment().batch(batch)?.get(place)));
        }
    }
    Ok(None)
}

/// A row of the tail.
pub(super) fn of_chunk(chunk: &Chunk, row: usize) -> RowRef<'_> {
    RowRef {
        id: chunk.id(row).as_str(),
        vector: chunk.vector(row),
        inverse_norm: chunk.inverse_norms()[row],
        metadata: chunk.metadata(row).map(Arc::as_ref),
        expires_at: chunk.expires_at(row),
    }
}
