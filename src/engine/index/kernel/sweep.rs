//! Going over rows and queries tile by tile: what all instruction sets have in common.

use std::array::from_fn;

/// Rows of a tile that several queries share.
const TILE_ROWS: usize = 4;
/// Queries of such a tile.
const TILE_QUERIES: usize = 3;

/// The inner loop of an instruction set.
pub(super) trait Tile {
    /// The inner products of `Q` queries with `R` rows, or with `L2` their squared distances.
    ///
    /// The order of additions must not depend on `R` and `Q`.
    ///
    /// # Safety
    /// The processor has the instruction set, and every pointer may be read for `dimension` values.
    unsafe fn tile<const R: usize, const Q: usize, const L2: bool>(
        queries: [*const f32; Q],
        rows: [*const f32; R],
        dimension: usize,
    ) -> [[f32; R]; Q];
}

/// Which rows of a table.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// These row numbers, in this order.
    These(&'a [u32]),
}

/// Rows of a table to compare with.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    vectors: &'a [f32],
    dimension: usize,
    selection: Selection<'a>,
    count: usize,
}

impl<'a> Rows<'a> {
    /// Rows of a table with `dimension` values per row.
    ///
    /// # Panics
    /// If the dimension is 0, the table has a broken row, or a selected row lies outside of it.
    pub fn new(vectors: &'a [f32], dimension: usize, selection: Selection<'a>) -> Self {
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

    /// The start of a selected row; all `dimension` values of it may be read.
    ///
    /// # Safety
    /// `position` is less than `count`.
    unsafe fn pointer(&self, position: usize) -> *const f32 {
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

/// Fills `output[q * rows + r]`.
///
/// # Safety
/// The processor has the instruction set of `T`.
///
/// # Panics
/// If a query has another dimension, or `output` another length.
pub(super) unsafe fn sweep<T: Tile, const L2: bool>(queries: &[&[f32]], rows: &Rows<'_>, output: &mut [f32]) {
    assert!(queries.iter().all(|query| query.len() == rows.dimension), "a query of another dimension");
    assert_eq!(output.len(), queries.len() * rows.count, "one place per product");
    if rows.count == 0 {
        return;
    }
    let (tiles, rest) = queries.as_chunks::<TILE_QUERIES>();
    let (shared, single) = output.split_at_mut(tiles.len() * TILE_QUERIES * rows.count);
    for (tile, output) in tiles.iter().zip(shared.chunks_exact_mut(TILE_QUERIES * rows.count)) {
        // SAFETY: the instruction set is the caller's promise, the dimensions are equal.
        unsafe { share::<T, L2>(tile, rows, output) };
    }
    for (query, output) in rest.iter().zip(single.chunks_exact_mut(rows.count)) {
        // SAFETY: as above.
        unsafe { stream::<T, L2>(query, rows, output) };
    }
}

/// One query, row by row.
///
/// # Safety
/// The processor has the instruction set of `T`, the query has the dimension of the rows.
unsafe fn stream<T: Tile, const L2: bool>(query: &[f32], rows: &Rows<'_>, output: &mut [f32]) {
    for (position, output) in output.iter_mut().enumerate().take(rows.count) {
        // SAFETY: the position is below the count, so the row may be read; the query has its length.
        let [[product]] =
            unsafe { T::tile::<1, 1, L2>([query.as_ptr()], [rows.pointer(position)], rows.dimension) };
        *output = product;
    }
}

/// Several queries, some rows at a time.
///
/// # Safety
/// The processor has the instruction set of `T`, the queries have the dimension of the rows.
unsafe fn share<T: Tile, const L2: bool>(
    queries: &[&[f32]; TILE_QUERIES],
    rows: &Rows<'_>,
    output: &mut [f32],
) {
    let starts = queries.map(<[f32]>::as_ptr);
    let mut position = 0;
    while position + TILE_ROWS <= rows.count {
        // SAFETY: the positions are below the count, so the rows may be read; the queries have
        // their length.
        let products = unsafe {
            let pointers: [_; TILE_ROWS] = from_fn(|row| rows.pointer(position + row));
            T::tile::<TILE_ROWS, TILE_QUERIES, L2>(starts, pointers, rows.dimension)
        };
        for (output, products) in output.chunks_exact_mut(rows.count).zip(products) {
            output[position..position + TILE_ROWS].copy_from_slice(&products);
        }
        position += TILE_ROWS;
    }
    for position in position..rows.count {
        // SAFETY: as above.
        let products =
            unsafe { T::tile::<1, TILE_QUERIES, L2>(starts, [rows.pointer(position)], rows.dimension) };
        for (output, [product]) in output.chunks_exact_mut(rows.count).zip(products) {
            output[position] = product;
        }
    }
}
