//! No particular instruction set: loops that the compiler vectorises for the one it may assume.

use std::{array::from_fn, slice::from_raw_parts};

use super::sweep::Tile;

/// Sums per product, independent of each other so that they may share a vector.
const SUMS: usize = 16;

/// Plain Rust.
pub(super) struct Scalar;

impl Tile for Scalar {
    unsafe fn tile<const R: usize, const Q: usize, const L2: bool>(
        queries: [*const f32; Q],
        rows: [*const f32; R],
        dimension: usize,
    ) -> [[f32; R]; Q] {
        // SAFETY: the caller promises that all of them may be read for `dimension` values.
        let queries = queries.map(|query| unsafe { from_raw_parts(query, dimension) });
        // SAFETY: as above.
        let rows = rows.map(|row| unsafe { from_raw_parts(row, dimension) });
        queries.map(|query| rows.map(|row| product::<L2>(query, row)))
    }
}

fn product<const L2: bool>(query: &[f32], row: &[f32]) -> f32 {
    let (query, query_rest) = query.as_chunks::<SUMS>();
    let (row, row_rest) = row.as_chunks::<SUMS>();
    let mut sums = [0.0; SUMS];
    for (query, row) in query.iter().zip(row) {
        for lane in 0..SUMS {
            sums[lane] += term::<L2>(query[lane], row[lane]);
        }
    }
    for (lane, (query, row)) in query_rest.iter().zip(row_rest).enumerate() {
        sums[lane] += term::<L2>(*query, *row);
    }
    let eight: [f32; 8] = from_fn(|lane| sums[lane] + sums[lane + 8]);
    let four: [f32; 4] = from_fn(|lane| eight[lane] + eight[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

#[inline]
fn term<const L2: bool>(query: f32, row: f32) -> f32 {
    if L2 {
        let difference = query - row;
        difference * difference
    } else {
        query * row
    }
}
