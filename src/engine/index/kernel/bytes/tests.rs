//! Every kernel that this machine can run, against a sum in 64 bits.

use proptest::prelude::*;

use super::{super::Selection, *};

fn naive(query: &[u8], row: &[u8]) -> i64 {
    query
        .iter()
        .zip(row)
        .map(|(left, right)| i64::from(left.cast_signed()) * i64::from(right.cast_signed()))
        .sum()
}

fn check(query: &[u8], codes: &[u8], selection: Selection<'_>) {
    let rows = ByteRows::new(codes, query.len(), selection);
    for kernel in ByteKernel::available() {
        let mut output = vec![i32::MIN; rows.count()];
        kernel.dot(&ByteQuery::new(query), &rows, &mut output);
        for (position, product) in output.iter().enumerate() {
            let row = match selection {
                Selection::All => position,
                Selection::These(selected) => selected[position] as usize,
            };
            let row = &codes[row * query.len()..(row + 1) * query.len()];
            assert_eq!(i64::from(*product), naive(query, row), "{} {}", kernel.name(), query.len());
        }
    }
}

proptest! {
    #[test]
    fn products_are_those_of_a_naive_sum(
        (query, codes) in (1_usize..700, 0_usize..12).prop_flat_map(|(dimension, rows)| {
            (prop::collection::vec(any::<u8>(), dimension), prop::collection::vec(any::<u8>(), dimension * rows))
        }),
        selected in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        offset in 0_usize..20,
    ) {
        // Any alignment.
        let shifted: Vec<u8> = std::iter::repeat_n(7, offset).chain(codes.iter().copied()).collect();
        check(&query, &shifted[offset..], Selection::All);
        let rows = codes.len() / query.len();
        if rows > 0 {
            let selected: Vec<u32> = selected.iter().map(|index| index.index(rows) as u32).collect();
            check(&query, &shifted[offset..], Selection::These(&selected));
        }
    }
}

/// Each value counts once: a one alone at each place.
#[test]
fn no_value_is_skipped_or_counted_twice() {
    for dimension in (1..=140).chain([255, 256, 257]) {
        let mut units = vec![0; dimension * dimension];
        units.iter_mut().step_by(dimension + 1).for_each(|value| *value = 1);
        let query: Vec<u8> = (0..dimension).map(|index| (index % 251) as u8).collect();
        check(&query, &units, Selection::All);
    }
}

#[test]
fn the_largest_sums_do_not_overflow() {
    for (left, right) in [(i8::MIN, i8::MIN), (i8::MIN, i8::MAX), (i8::MAX, i8::MIN), (i8::MAX, i8::MAX)] {
        for dimension in [4096, MAX_DIMENSION - 1, MAX_DIMENSION] {
            let [left, right] = [left, right].map(|value| vec![value.cast_unsigned(); dimension]);
            check(&left, &right, Selection::All);
        }
    }
}

#[test]
#[should_panic(expected = "another dimension")]
fn a_query_of_another_dimension_is_refused() {
    let rows = ByteRows::new(&[0; 8], 4, Selection::All);
    ByteKernel::detected().dot(&ByteQuery::new(&[0; 5]), &rows, &mut [0; 2]);
}

#[test]
#[should_panic(expected = "outside of the table")]
fn a_row_outside_of_the_table_is_refused() {
    ByteRows::new(&[0; 8], 4, Selection::These(&[0, 2]));
}
