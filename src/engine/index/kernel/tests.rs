//! Every kernel that this machine can run, against a naive sum in double precision.

use proptest::prelude::*;

use super::*;

/// A table of rows with some queries, each starting `offset` values into its memory.
struct Table {
    dimension: usize,
    offset: usize,
    vectors: Vec<f32>,
    queries: Vec<Vec<f32>>,
}

impl Table {
    fn rows(&self) -> &[f32] {
        &self.vectors[self.offset..]
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.rows()[row * self.dimension..(row + 1) * self.dimension]
    }

    fn queries(&self) -> Vec<&[f32]> {
        self.queries.iter().map(|query| &query[self.offset..]).collect()
    }
}

/// A generator whose numbers fill the mantissa; proptest chooses the seed.
fn values(seed: u64, scale: f32) -> impl FnMut(usize) -> Vec<f32> {
    let mut state = seed;
    move |count| {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
        };
        (0..count).map(|_| next()).collect()
    }
}

fn table(dimension: usize, rows: usize, queries: usize, offset: usize, seed: u64, scale: f32) -> Table {
    let mut values = values(seed, scale);
    // Exactly as long as needed, so that a read beyond the end leaves the allocation.
    let vectors = values(offset + rows * dimension);
    let queries = (0..queries).map(|_| values(offset + dimension)).collect();
    Table { dimension, offset, vectors, queries }
}

/// A product and the sum of the absolute values of its terms.
fn naive<const L2: bool>(query: &[f32], row: &[f32]) -> (f64, f64) {
    let term = |(left, right): (&f32, &f32)| {
        let (left, right) = (f64::from(*left), f64::from(*right));
        if L2 { (left - right).powi(2) } else { left * right }
    };
    let terms = || query.iter().zip(row).map(term);
    (terms().sum(), terms().map(f64::abs).sum())
}

/// The bound for a sum of `dimension` rounded terms in any order, and what underflow may add.
fn bound(dimension: usize, magnitude: f64) -> f64 {
    let steps = (dimension + 3) as f64;
    steps * f64::from(f32::EPSILON) / 2.0 * magnitude + steps * 2e-45
}

fn check<const L2: bool>(
    kernel: Kernel,
    table: &Table,
    selection: Selection<'_>,
) -> Result<(), TestCaseError> {
    let rows = Rows::new(table.rows(), table.dimension, selection);
    let queries = table.queries();
    let mut output = vec![f32::NAN; queries.len() * rows.count()];
    kernel.run::<L2>(&queries, &rows, &mut output);
    for (q, query) in queries.iter().enumerate() {
        for position in 0..rows.count() {
            let row = match selection {
                Selection::All => position,
                Selection::These(selected) => selected[position] as usize,
            };
            let (exact, magnitude) = naive::<L2>(query, table.row(row));
            let found = f64::from(output[q * rows.count() + position]);
            prop_assert!(
                (found - exact).abs() <= bound(table.dimension, magnitude),
                "{} L2={L2} dimension {}: {found} instead of {exact}",
                kernel.name(),
                table.dimension
            );
        }
    }
    Ok(())
}

fn check_all(table: &Table, selection: Selection<'_>) -> Result<(), TestCaseError> {
    for kernel in Kernel::available() {
        check::<false>(kernel, table, selection)?;
        check::<true>(kernel, table, selection)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn products_are_those_of_a_naive_sum(
        dimension in 1_usize..=1100, rows in 0_usize..11, queries in 0_usize..11, offset in 0_usize..20,
        seed in any::<u64>(),
        scale in prop::sample::select(vec![1.0_f32, 1e-19, 1e-30, 1e-38, 1e10, 1e17]),
    ) {
        check_all(&table(dimension, rows, queries, offset, seed, scale), Selection::All)?;
    }

    #[test]
    fn selected_rows_are_the_ones_computed(
        dimension in 1_usize..=130, (rows, selected) in (1_u32..20).prop_flat_map(|rows| {
            (Just(rows as usize), prop::collection::vec(0..rows, 0..30))
        }),
        queries in 0_usize..11, offset in 0_usize..20, seed in any::<u64>(),
    ) {
        check_all(&table(dimension, rows, queries, offset, seed, 1.0), Selection::These(&selected))?;
    }

    /// The same bits from one row alone as from a batch, wherever the row lies.
    #[test]
    fn a_product_depends_on_its_two_vectors_only(
        dimension in 1_usize..=300, rows in 1_usize..11, queries in 1_usize..11, offset in 0_usize..20,
        seed in any::<u64>(),
    ) {
        let table = table(dimension, rows, queries, offset, seed, 1.0);
        for kernel in Kernel::available() {
            let mut batch = vec![0.0; rows * queries];
            kernel.dot(&table.queries(), &Rows::new(table.rows(), dimension, Selection::All), &mut batch);
            let mut scattered = vec![0.0; rows * queries];
            let backwards: Vec<&[f32]> = (0..rows).rev().map(|row| table.row(row)).collect();
            kernel.dot(&table.queries(), &Rows::scattered(&backwards, dimension), &mut scattered);
            for (index, product) in batch.iter().enumerate() {
                let (query, row) = (table.queries()[index / rows].to_vec(), table.row(index % rows).to_vec());
                let mut alone = [0.0];
                kernel.dot(&[&query], &Rows::new(&row, dimension, Selection::All), &mut alone);
                prop_assert_eq!(product.to_bits(), alone[0].to_bits());
                let place = index / rows * rows + rows - 1 - index % rows;
                prop_assert_eq!(product.to_bits(), scattered[place].to_bits());
            }
        }
    }

    /// The same bits from every instruction set with a fused multiply-add, and from the lanes as
    /// the documentation defines them.
    #[test]
    fn a_product_is_the_fold_of_sixteen_fused_lanes(
        dimension in 1_usize..=1100, rows in 1_usize..6, queries in 1_usize..6, offset in 0_usize..20,
        seed in any::<u64>(),
    ) {
        let table = table(dimension, rows, queries, offset, seed, 1.0);
        let all = Rows::new(table.rows(), dimension, Selection::All);
        for kernel in Kernel::available().into_iter().filter(|kernel| kernel.0 != Implementation::Scalar) {
            let (mut dots, mut distances) = (vec![0.0; rows * queries], vec![0.0; rows * queries]);
            kernel.dot(&table.queries(), &all, &mut dots);
            kernel.squared_l2(&table.queries(), &all, &mut distances);
            for (index, (dot, distance)) in dots.iter().zip(&distances).enumerate() {
                let (query, row) = (table.queries()[index / rows], table.row(index % rows));
                prop_assert_eq!(dot.to_bits(), fused(query, row, |a, b| (a, b)).to_bits());
                prop_assert_eq!(distance.to_bits(), fused(query, row, |a, b| (a - b, a - b)).to_bits());
            }
        }
    }
}

fn fused(query: &[f32], row: &[f32], factors: impl Fn(f32, f32) -> (f32, f32)) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for (index, (a, b)) in query.iter().zip(row).enumerate() {
        let (a, b) = factors(*a, *b);
        lanes[index % 16] = a.mul_add(b, lanes[index % 16]);
    }
    for width in [8, 4, 2, 1] {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

#[test]
fn every_dimension_up_to_1100_and_some_large_ones() {
    for dimension in (1..=1100).chain([1535, 1536, 3072, 4095, 8191, 16_383, 16_384]) {
        // One row and one query, then tiles of rows and queries, both with a rest.
        for (rows, queries) in [(1, 1), (5, 9)] {
            let table = table(dimension, rows, queries, dimension % 17, dimension as u64, 1.0);
            check_all(&table, Selection::All).unwrap();
        }
    }
}

/// Each value counts once: a one alone at each place.
#[test]
fn no_value_is_skipped_or_counted_twice() {
    for dimension in (1..=70).chain([127, 128, 129]) {
        let query = vec![1.0; dimension];
        let mut units = vec![0.0; dimension * dimension];
        units.iter_mut().step_by(dimension + 1).for_each(|value| *value = 1.0);
        let rows = Rows::new(&units, dimension, Selection::All);
        for kernel in Kernel::available() {
            let mut output = vec![0.0; 4 * dimension];
            kernel.dot(&[&query, &query, &query, &query], &rows, &mut output);
            assert!(output.iter().all(|product| *product == 1.0), "{} {dimension}", kernel.name());
            kernel.squared_l2(&[&query, &query, &query, &query], &rows, &mut output);
            let expected = (dimension - 1) as f32;
            assert!(output.iter().all(|product| *product == expected), "{} {dimension}", kernel.name());
        }
    }
}

#[test]
fn overflow_and_no_numbers_do_not_panic() {
    for kernel in Kernel::available() {
        for value in [f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let vector = vec![value; 67];
            let rows = Rows::new(&vector, 67, Selection::All);
            let mut output = [0.0];
            kernel.dot(&[&vector], &rows, &mut output);
            assert!(!output[0].is_finite());
            kernel.squared_l2(&[&vector], &rows, &mut output);
            assert!(output[0] == 0.0 || output[0].is_nan());
        }
    }
}

#[test]
#[should_panic(expected = "another dimension")]
fn a_query_of_another_dimension_is_refused() {
    let rows = Rows::new(&[0.0; 8], 4, Selection::All);
    Kernel::detected().dot(&[&[0.0; 5]], &rows, &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "outside of the table")]
fn a_row_outside_of_the_table_is_refused() {
    Rows::new(&[0.0; 8], 4, Selection::These(&[0, 2]));
}
