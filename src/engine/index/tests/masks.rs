//! Masks are respected, and as many rows are found as they admit.

use super::super::*;
use super::{EFFORTS, fixture::*};

const ROWS: usize = 4000;

fn bits(admits: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut words = vec![0; ROWS.div_ceil(64)];
    for row in (0..ROWS).filter(|row| admits(*row)) {
        words[row / 64] |= 1 << (row % 64);
    }
    words
}

#[test]
fn only_admitted_rows_and_as_many_as_there_are() {
    let mut next = numbers(3);
    let random: Vec<f32> = (0..ROWS).map(|_| next()).collect();
    let mut stray = bits(|row| row % 2 == 0);
    // Bits beyond the rows mean nothing.
    stray.extend([u64::MAX; 3]);
    *stray.get_mut(ROWS / 64).unwrap() |= u64::MAX << (ROWS % 64);
    let masks = [
        ("none", bits(|_| false)),
        ("no words", vec![]),
        ("all", bits(|_| true)),
        ("the first", bits(|row| row == 0)),
        ("the last", bits(|row| row == ROWS - 1)),
        ("seven", bits(|row| row % 600 == 5)),
        ("two words", vec![u64::MAX; 2]),
        ("1 %", bits(|row| random[row] < 0.01)),
        ("10 %", bits(|row| random[row] < 0.1)),
        ("50 %", bits(|row| random[row] < 0.5)),
        ("99 %", bits(|row| random[row] < 0.99)),
        ("a run", bits(|row| (1000..2500).contains(&row))),
        ("stray bits", stray),
    ];
    for kind in TYPES {
        for distance in DISTANCES {
            let built = Built::new(kind, table(12, ROWS, 11), distance);
            let queries = table(12, 3, 12);
            for (name, words) in &masks {
                let only = |row: u32| Mask::Bits(words).admits(row);
                let admitted = (0..ROWS as u32).filter(|row| only(*row)).count();
                for (row, effort) in (0..3).flat_map(|row| EFFORTS.map(|effort| (row, effort))) {
                    let query = Query::new(distance, queries.row(row).unwrap().0);
                    for mask in [Mask::Bits(words), Mask::Only(&only)] {
                        for limit in [1, 10, 200] {
                            let (found, _) = search(&built, &query, mask, Effort::new(effort), limit);
                            let context =
                                format!("{} {distance:?} {name} {mask:?} {effort} {limit}", name_of(kind));
                            assert_eq!(found.len(), limit.min(admitted), "{context}");
                            built.check(&found, &query, &mask, limit.min(admitted));
                            if effort == 1.0 {
                                assert_eq!(found, exact(&built.rows, &query, &mask, limit), "{context}");
                            }
                        }
                    }
                }
            }
        }
    }
}
