//! The rows of a segment, as indexes want them, and the indexes over them.

use std::sync::Arc;

use super::{IndexRef, Segment};
use crate::{
    engine::index::{Content, Opened, RowSource, Run, VectorIndex, VectorSource},
    error::{Error, Result},
};

/// An index over the rows of a segment, opened.
#[derive(Debug, Clone)]
pub struct SegmentIndex {
    /// As the manifest names it.
    pub reference: IndexRef,
    /// The index.
    pub index: Arc<Opened>,
}

impl SegmentIndex {
    /// Opens an index over a segment from the content of its object; `object` is what to call it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are damaged or of another segment.
    pub fn open(reference: IndexRef, segment: &Segment, object: &str, content: Content) -> Result<Self> {
        let corrupt = |reason| Error::Corrupt { object: object.to_owned(), reason };
        reference.blob.check_in_parts(&content).map_err(corrupt)?;
        let index = Opened::of(&reference.spec, content).map_err(corrupt)?;
        if !index.fits(segment.rows(), segment.dimension()) {
            return Err(corrupt("it is not of this segment".into()));
        }
        Ok(Self { reference, index: index.into() })
    }

    /// The index over vectors that it is.
    pub fn vectors(&self) -> Option<&dyn VectorIndex> {
        self.index.vectors()
    }
}

impl RowSource for Segment {
    fn metadata(&self, row: u32) -> Result<Option<&str>> {
        let (batch, place) = self.place(row);
        Ok(self.batch(batch)?.metadata(place))
    }
}

impl VectorSource for Segment {
    fn dimension(&self) -> usize {
        self.dimension()
    }

    fn rows(&self) -> usize {
        self.rows()
    }

    fn run(&self, first: usize) -> Result<Run<'_>> {
        let (batch, place) = self.place(first as u32);
        let batch = self.batch(batch)?;
        Ok(Run {
            vectors: &batch.vectors()[place * self.dimension()..],
            inverse_norms: &batch.inverse_norms()[place..],
        })
    }

    fn row(&self, row: u32) -> Result<(&[f32], &f32)> {
        let (batch, place) = self.place(row);
        self.vector(batch, place)
    }

    fn is_read(&self, vector: &[f32], inverse_norm: &f32) {
        self.touched(vector, inverse_norm);
    }
}
