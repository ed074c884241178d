//! All rows in id order: a merge of the orders of the segments and of the tail.

use super::snapshot::of_chunk;
use crate::{
    clock::Timestamp,
    engine::{
        log::Chunk,
        segment::{RowRef, SegmentView},
    },
    error::Result,
};

/// Visible rows in id order.
pub struct Following<'a> {
    segments: Vec<InOrder<'a>>,
    tail: Box<dyn Iterator<Item = (&'a Chunk, usize)> + 'a>,
    next_of_tail: Option<RowRef<'a>>,
    dimension: usize,
}

/// The rest of a segment.
struct InOrder<'a> {
    view: &'a SegmentView,
    position: usize,
    now: Timestamp,
    next: Option<RowRef<'a>>,
}

impl<'a> Following<'a> {
    pub(super) fn new(
        segments: &'a [SegmentView],
        tail: impl Iterator<Item = (&'a Chunk, usize)> + 'a,
        dimension: usize,
        after: Option<&str>,
        now: Timestamp,
    ) -> Result<Self> {
        let segments = segments.iter().map(|view| InOrder::new(view, after, now)).collect::<Result<_>>()?;
        let mut following = Self { segments, tail: Box::new(tail), next_of_tail: None, dimension };
        following.advance_tail();
        Ok(following)
    }

    fn advance_tail(&mut self) {
        self.next_of_tail = self.tail.next().map(|(chunk, row)| of_chunk(chunk, row, self.dimension));
    }

    /// The next row.
    fn step(&mut self) -> Result<Option<RowRef<'a>>> {
        let heads = self.segments.iter().enumerate();
        let heads = heads.filter_map(|(index, segment)| Some((segment.next?.id, index)));
        let least = heads.min();
        match (least, self.next_of_tail) {
            (None, None) => Ok(None),
            (Some((id, index)), tail) if tail.is_none_or(|row| id < row.id) => {
                let segment = &mut self.segments[index];
                let row = segment.next;
                segment.advance()?;
                Ok(row)
            }
            (_, row) => {
                self.advance_tail();
                Ok(row)
            }
        }
    }
}

impl<'a> Iterator for Following<'a> {
    type Item = Result<RowRef<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

impl<'a> InOrder<'a> {
    fn new(view: &'a SegmentView, after: Option<&str>, now: Timestamp) -> Result<Self> {
        let position = view.segment().position_after(after)?;
        let mut rest = Self { view, position, now, next: None };
        rest.advance()?;
        Ok(rest)
    }

    fn advance(&mut self) -> Result<()> {
        let segment = self.view.segment();
        self.next = None;
        while self.next.is_none()
            && let Some(row) = segment.by_id().get(self.position)
        {
            self.position += 1;
            if self.view.is_live(*row) {
                let (batch, place) = segment.place(*row);
                let row = segment.batch(batch)?.get(place);
                self.next = Some(row).filter(|row| row.expires_at.is_none_or(|at| at > self.now));
            }
        }
        Ok(())
    }
}
