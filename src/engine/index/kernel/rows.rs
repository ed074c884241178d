//! Rows of a table, all or some of them.

/// Which rows of a table.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// These row numbers, in this order.
    These(&'a [u32]),
}

/// Rows of a table to compare with; values are `V`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, V = f32> {
    vectors: &'a [V],
    dimension: usize,
    selection: Selection<'a>,
    count: usize,
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
        Self { vectors, dimension, selection, count }
    }

    /// How many rows are selected.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Values per row.
    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The start of a selected row; all `dimension` values of it may be read.
    ///
    /// # Safety
    /// `position` is less than `count`.
    #[inline(always)]
    pub(super) unsafe fn pointer(&self, position: usize) -> *const V {
        debug_assert!(position < self.count);
        let row = match self.selection {
            Selection::All => position,
            // SAFETY: `count` is the length of this list.
            Selection::These(selected) => unsafe { *selected.get_unchecked(position) as usize },
        };
        // SAFETY: `new` has seen that the table has this row.
        unsafe { self.vectors.as_ptr().add(row * self.dimension) }
    }
}
