//! Rows of a table, all or some of them, or rows that lie anywhere.

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
