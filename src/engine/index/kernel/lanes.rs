//! The loops that all instruction sets share, over a register type that each brings.
//!
//! Everything is `inline(always)`, so that it is compiled inside each instruction set's
//! `#[target_feature]` function, for its instructions. Invariant: the operations on one pair of
//! query and row, and their order, are the same in every tile.

use std::array::from_fn;

use super::Rows;

/// Values in one [`Lanes`].
pub(super) const WIDTH: usize = 16;

/// Sixteen f32 in the registers of one instruction set.
///
/// # Safety
/// The methods may only be called where the instruction set was detected, and inlined into a
/// function that enables it.
pub(super) trait Lanes: Copy {
    /// Zeros.
    unsafe fn zero() -> Self;
    /// Sixteen values from `values` on, which need not be aligned.
    unsafe fn load(values: *const f32) -> Self;
    /// `count` < 16 values from `values` on, then zeros; reads nothing past them.
    unsafe fn load_head(values: *const f32, count: usize) -> Self;
    /// `self - other`.
    unsafe fn sub(self, other: Self) -> Self;
    /// `self + a * b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// The sum of the lanes, folded 16 → 8 → 4 → 2 → 1, the upper half onto the lower.
    unsafe fn sum(self) -> f32;
}

#[inline(always)]
unsafe fn accumulate<L: Lanes, const L2: bool>(sum: L, query: L, row: L) -> L {
    // SAFETY: the caller runs where the instructions of L exist.
    unsafe {
        if L2 {
            let difference = query.sub(row);
            sum.add_product(difference, difference)
        } else {
            sum.add_product(query, row)
        }
    }
}

/// Rows `first..first + R` against queries `query..query + Q`.
///
/// # Safety
/// As [`sweep`]; the rows and queries are there.
#[inline(always)]
unsafe fn tile<L: Lanes, const L2: bool, const R: usize, const Q: usize>(
    queries: &[&[f32]],
    query: usize,
    rows: &Rows<'_>,
    first: usize,
    output: &mut [f32],
) {
    let dimension = rows.dimension();
    let query_starts: [*const f32; Q] = from_fn(|q| queries[query + q].as_ptr());
    // SAFETY: the caller's promise.
    let row_starts: [*const f32; R] = from_fn(|r| unsafe { rows.pointer(first + r) });
    // Loops and no closures from here on: a closure that is not inlined would be compiled without the
    // instructions of L, and be a hundred times slower.
    // SAFETY: `start + WIDTH` is at most the dimension, and so is `whole + rest`; every row and query
    // has as many values. The caller has the instructions of L.
    unsafe {
        let mut sums = [[L::zero(); R]; Q];
        let mut row = [L::zero(); R];
        let whole = dimension / WIDTH * WIDTH;
        let mut start = 0;
        while start < whole {
            for r in 0..R {
                row[r] = L::load(row_starts[r].add(start));
            }
            for q in 0..Q {
                let query = L::load(query_starts[q].add(start));
                for r in 0..R {
                    sums[q][r] = accumulate::<L, L2>(sums[q][r], query, row[r]);
                }
            }
            start += WIDTH;
        }
        let rest = dimension - whole;
        if rest > 0 {
            for r in 0..R {
                row[r] = L::load_head(row_starts[r].add(whole), rest);
            }
            for q in 0..Q {
                let query = L::load_head(query_starts[q].add(whole), rest);
                for r in 0..R {
                    sums[q][r] = accumulate::<L, L2>(sums[q][r], query, row[r]);
                }
            }
        }
        for q in 0..Q {
            let output = &mut output[(query + q) * rows.count() + first..][..R];
            for r in 0..R {
                output[r] = sums[q][r].sum();
            }
        }
    }
}

/// All rows against queries `query..query + Q`, R rows at a time.
///
/// # Safety
/// As [`sweep`]; the queries are there.
#[inline(always)]
unsafe fn rows_by<L: Lanes, const L2: bool, const R: usize, const Q: usize>(
    queries: &[&[f32]],
    query: usize,
    rows: &Rows<'_>,
    output: &mut [f32],
) {
    let tiled = rows.count() / R * R;
    for row in (0..tiled).step_by(R) {
        // SAFETY: `row + R` is at most the number of rows; the rest is the caller's promise.
        unsafe { tile::<L, L2, R, Q>(queries, query, rows, row, output) };
    }
    for row in tiled..rows.count() {
        // SAFETY: as above.
        unsafe { tile::<L, L2, 1, Q>(queries, query, rows, row, output) };
    }
}

/// Fills `output[q * rows + r]`: the whole of every instruction set's kernel. `S` reads rows for a
/// query alone, `L` is for tiles of R rows and Q queries. Rows that are near are read in tiles by every query:
/// a sum waits for the one before it, and several have no need to wait for each other.
///
/// # Safety
/// The processor has the instructions of `S` and `L`, the queries have the dimension of the rows.
#[inline(always)]
pub(super) unsafe fn sweep<S: Lanes, L: Lanes, const L2: bool, const R: usize, const Q: usize>(
    queries: &[&[f32]],
    rows: &Rows<'_>,
    output: &mut [f32],
) {
    let tiled = queries.len() / Q * Q;
    for query in (0..tiled).step_by(Q) {
        // SAFETY: `query + Q` is at most the number of queries; the rest is the caller's promise.
        unsafe {
            if query == 0 && !rows.are_near() {
                rows_by::<L, L2, 1, Q>(queries, query, rows, output);
            } else {
                rows_by::<L, L2, R, Q>(queries, query, rows, output);
            }
        }
    }
    for query in tiled..queries.len() {
        // SAFETY: as above.
        unsafe {
            if query == 0 && !rows.are_near() {
                rows_by::<S, L2, 1, 1>(queries, query, rows, output);
            } else {
                rows_by::<L, L2, R, 1>(queries, query, rows, output);
            }
        }
    }
}
