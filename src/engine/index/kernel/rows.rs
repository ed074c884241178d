//! Rows of a table, all or some of them, or rows that lie anywhere.

use std::ops::Range;

use super::prefetch::prefetch_at;

/// About so many bytes of rows are asked of memory at once, while as many that were asked for before are read.
///
/// Lines that are asked for together come faster than if each row that is read lets one more be asked for. Where a
/// loop that only reads 1,178 rows of 384 bytes here and there (of pages of 2 MiB, on an AMD EPYC) took 4.2 ns a
/// line that way, or 2.9 if the third-level cache had them, it took 2.6, 2.2, 2.4 and 3.2 by runs of 16, 24, 32 and
/// 64 rows, or 2.2, 2.1, 2.0 and 1.8.
const RUN: usize = 9 << 10;

/// Which rows of a table.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// These row numbers, in this order.
    These(&'a [u32]),
}

/// Rows to compare with; values are `V`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, V = f32> {
    place: Place<'a, V>,
    dimension: usize,
    count: usize,
}

/// Where rows lie.
#[derive(Debug, Clone, Copy)]
enum Place<'a, V> {
    /// In a table.
    Table(&'a [V], Selection<'a>),
    /// Each where it is.
    Scattered(&'a [&'a [V]]),
}

impl<'a, V> Rows<'a, V> {
    /// Rows of a table with `dimension` values per row.
    ///
    /// # Panics
    /// If the dimension is 0, the table has a broken row, or a selected row lies outside of it.
    pub fn new(vectors: &'a [V], dimension: usize, selection: Selection<'a>) -> Self {
        assert!(dimension > 0 && vectors.len().is_multiple_of(dimension), "whole rows of a dimension");
        let rows = vectors.len() / dimension;
        let count = match selection {
            Selection::All => rows,
            Selection::These(selected) => {
                // Without an early exit, so that it vectorises.
                let largest = selected.iter().fold(0, |largest, row| largest.max(*row));
                assert!(selected.is_empty() || (largest as usize) < rows, "a row outside of the table");
                selected.len()
            }
        };
        Self { place: Place::Table(vectors, selection), dimension, count }
    }

    /// Rows that lie anywhere, but near the processor already: they are read several at a time.
    ///
    /// # Panics
    /// If the dimension is 0, or one of them has another.
    pub fn scattered(vectors: &'a [&'a [V]], dimension: usize) -> Self {
        let fits = dimension > 0 && vectors.iter().all(|vector| vector.len() == dimension);
        assert!(fits, "whole rows of a dimension");
        Self { place: Place::Scattered(vectors), dimension, count: vectors.len() }
    }

    /// Whether reading one row after the other, as memory likes it, has no use.
    pub(super) fn are_near(&self) -> bool {
        matches!(self.place, Place::Scattered(_))
    }

    /// How many rows are selected.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Values per row.
    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The positions of all rows, in order, by runs: with each, memory is asked for the next one.
    #[inline(always)]
    pub(super) fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let length = (RUN / (self.dimension * size_of::<V>())).max(1);
        self.ask(0..length);
        (0..self.count).step_by(length).map(move |start| {
            self.ask(start + length..start + 2 * length);
            start..self.count.min(start + length)
        })
    }

    /// Asks memory for the rows at some positions, as far as there are so many.
    #[inline(always)]
    fn ask(&self, positions: Range<usize>) {
        for position in positions.start..positions.end.min(self.count) {
            // SAFETY: the position is less than `count`.
            prefetch_at(unsafe { self.pointer(position) }.cast(), self.dimension * size_of::<V>());
        }
    }

    /// The start of a selected row; all `dimension` values of it may be read.
    ///
    /// # Safety
    /// `position` is less than `count`.
    #[inline(always)]
    pub(super) unsafe fn pointer(&self, position: usize) -> *const V {
        debug_assert!(position < self.count);
        let (vectors, row) = match self.place {
            Place::Table(vectors, Selection::All) => (vectors, position),
            // SAFETY: `count` is the length of this list.
            Place::Table(vectors, Selection::These(selected)) => {
                (vectors, unsafe { *selected.get_unchecked(position) as usize })
            }
            // SAFETY: `count` is the length of this list.
            Place::Scattered(rows) => (unsafe { *rows.get_unchecked(position) }, 0),
        };
        // SAFETY: `new` or `scattered` has seen that there is such a row.
        unsafe { vectors.as_ptr().add(row * self.dimension) }
    }
}
