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

/// Of so many rows, a graph that is searched with half of them admitted is walked, and not scanned.
const MANY: usize = 20_000;

/// Of rows without any structure, the half that is furthest from a query has thousands of nearly the same score,
/// which `pq` tells apart least: on embeddings it finds .97 and more.
const LEAST: f32 = 0.8;

/// Whichever half of the rows is admitted, nearly as good a share of the best is found as in all of them.
#[test]
fn half_of_many_rows_is_searched_as_well_wherever_it_lies() {
    let distance = Distance::Cosine;
    let rows = table(32, MANY, 21);
    let queries = table(32, 12, 22);
    for kind in TYPES {
        let built = Built::new(kind, rows.clone(), distance);
        let effort = built.index.effort_for(0.9, 10);
        for lie in ["near", "far", "anywhere"] {
            let (mut hits, mut wanted, mut scored) = (0, 0, 0);
            for number in 0..queries.rows() as u32 {
                let query = Query::new(distance, queries.row(number).unwrap().0);
                let admitted = half(&built.rows, &query, lie);
                let mask = Mask::Bits(&admitted);
                let (found, cost) = search(&built, &query, mask, effort, 10);
                let best = exact(&built.rows, &query, &mask, 10);
                scored += cost.scored;
                hits += found.iter().filter(|row| best.contains(row)).count();
                wanted += best.len();
            }
            let recall = hits as f32 / wanted as f32;
            let scored = scored / u64::from(queries.rows() as u32);
            println!("{} {lie}: {recall}, {scored} scored", name_of(kind));
            assert!(recall >= LEAST, "{} {lie}: {recall}", name_of(kind));
            // The bytes of a graph leave few rows that may be among the best, wherever these are.
            let most = if name_of(kind) == "hnsw" { MANY as u64 / 200 } else { MANY as u64 };
            assert!(scored <= most, "{} {lie}: {scored} scored", name_of(kind));
        }
    }
}

/// Half of the rows: those nearest to a query, those furthest from it, or every other.
fn half(rows: &Table, query: &Query, lie: &str) -> Vec<u64> {
    let mut order: Vec<u32> = (0..rows.rows() as u32).collect();
    if lie != "anywhere" {
        let score = |row: u32| {
            let (vector, &inverse_norm) = rows.row(row).unwrap();
            flat::score(query, vector, inverse_norm)
        };
        order.sort_by_cached_key(|row| (score(*row) * 1e6) as i64);
    }
    let place = |place: usize| match lie {
        "near" => place >= order.len() / 2,
        "far" => place < order.len() / 2,
        _ => place.is_multiple_of(2),
    };
    let mut words = vec![0; order.len().div_ceil(64)];
    for row in (0..order.len()).filter(|at| place(*at)).map(|at| order[at] as usize) {
        words[row / 64] |= 1 << (row % 64);
    }
    words
}
