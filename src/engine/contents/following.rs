//! All rows in id order: a merge of the orders of the segments and of the tail.

use super::snapshot::of_chunk;
use crate::{
    clock::Timestamp,
    engine::{
        log::Chunk,
        segment::{RowRef, SegmentView},
    },
    error::Result,
    types::Bits,
};

/// Visible rows in id order.
pub struct Following<'a> {
    segments: Vec<InOrder<'a>>,
    tail: Box<dyn Iterator<Item = (&'a Chunk, usize)> + 'a>,
    next_of_tail: Option<RowRef<'a>>,
}

/// Which rows of a segment are gone through.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    /// Those that are visible at a time.
    Visible(Timestamp),
    /// These.
    These(&'a Bits),
}

/// The rest of a segment.
struct InOrder<'a> {
    view: &'a SegmentView,
    position: usize,
    shown: Shown<'a>,
    next: Option<RowRef<'a>>,
}

impl<'a> Following<'a> {
    /// Of segments with what is shown of each, and the rows of the tail, both after an id.
    pub(super) fn new(
        segments: impl Iterator<Item = (&'a SegmentView, Shown<'a>)>,
        tail: impl Iterator<Item = (&'a Chunk, usize)> + 'a,
        after: Option<&str>,
    ) -> Result<Self> {
        let segments =
            segments.map(|(view, shown)| InOrder::new(view, after, shown)).collect::<Result<_>>()?;
        let mut following = Self { segments, tail: Box::new(tail), next_of_tail: None };
        following.advance_tail();
        Ok(following)
    }

    fn advance_tail(&mut self) {
        self.next_of_tail = self.tail.next().map(|(chunk, row)| of_chunk(chunk, row));
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
    fn new(view: &'a SegmentView, after: Option<&str>, shown: Shown<'a>) -> Result<Self> {
        let position = view.segment().position_after(after)?;
        let mut rest = Self { view, position, shown, next: None };
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
            let is_candidate = match self.shown {
                Shown::Visible(_) => self.view.is_live(*row),
                Shown::These(rows) => rows.has(*row),
            };
            if is_candidate {
                let (batch, place) = segment.place(*row);
                let row = segment.batch(batch)?.get(place);
                let is_expired = |now| row.expires_at.is_some_and(|at| at <= now);
                self.next =
                    Some(row).filter(|_| !matches!(self.shown, Shown::Visible(now) if is_expired(now)));
            }
        }
        Ok(())
    }
}
