//! One suite for all types of indexes: what each must do, whatever it does inside.

mod damage;
mod extended;
pub(super) mod fixture;
mod masks;
mod parts;
mod recall;

use rayon::ThreadPoolBuilder;

use self::fixture::*;
use super::*;
use crate::types::Distance;

const EFFORTS: [f32; 5] = [0.0, 0.1, 0.5, 0.9, 1.0];

#[test]
fn full_effort_is_exact() {
    for kind in TYPES {
        for (dimension, sizes) in [
            (1, &[0, 1, 2, 9, 300][..]),
            (2, &[0, 1, 300]),
            (3, &[5, 200]),
            (7, &[130]),
            (63, &[64]),
            (64, &[65]),
            (65, &[129]),
            (384, &[1, 100]),
            (4096, &[0, 1, 20]),
        ] {
            for (distance, rows) in
                DISTANCES.into_iter().flat_map(|d| sizes.iter().map(move |rows| (d, *rows)))
            {
                let built = Built::new(kind, table(dimension, rows, 7), distance);
                let query = Query::new(distance, table(dimension, 1, 8).row(0).unwrap().0);
                for limit in [0, 1, 10, rows, rows + 5] {
                    let (found, cost) = search(&built, &query, Mask::All, Effort::FULL, limit);
                    let context =
                        format!("{} {distance:?} {rows} × {dimension}, limit {limit}", name_of(kind));
                    assert_eq!(found, exact(&built.rows, &query, &Mask::All, limit), "{context}");
                    assert!(!cost.stopped, "{context}");
                }
            }
        }
    }
}

/// Whatever the effort: as many rows as there are, each once, with its exact score, the best first.
#[test]
fn each_row_at_most_once_with_its_exact_score() {
    for kind in TYPES {
        for (dimension, rows) in [(1, 50), (2, 1500), (33, 3000), (4096, 40)] {
            for distance in DISTANCES {
                let built = Built::new(kind, table(dimension, rows, 1), distance);
                let queries = table(dimension, 5, 2);
                for (row, effort) in (0..5).zip(EFFORTS) {
                    let query = Query::new(distance, queries.row(row).unwrap().0);
                    for limit in [1, 10, 100] {
                        let (found, _) = search(&built, &query, Mask::All, Effort::new(effort), limit);
                        built.check(&found, &query, &Mask::All, limit.min(rows));
                    }
                }
            }
        }
    }
}

#[test]
fn the_same_bytes_for_a_seed_on_any_number_of_threads() {
    for kind in TYPES {
        let rows = table(24, 2000, 3);
        for distance in DISTANCES {
            let build = |threads: usize| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| build_bytes(kind, &rows, distance, 5))
            };
            let (one, three) = (build(1), build(3));
            assert!(one == three, "{} {distance:?}", name_of(kind));
        }
    }
}

/// Bytes lie where they lie in a file: at any address.
#[test]
fn a_copy_at_an_odd_address_answers_the_same() {
    for kind in TYPES {
        for distance in DISTANCES {
            let built = Built::new(kind, table(19, 2500, 4), distance);
            let queries = table(19, 3, 5);
            for shift in [1, 2, 3, 7] {
                let shifted: Vec<u8> =
                    std::iter::repeat_n(9, shift).chain(built.bytes.iter().copied()).collect();
                let copy = Built {
                    index: open_bytes(kind, bytes::Bytes::from(shifted).slice(shift..)).unwrap(),
                    ..built.clone()
                };
                for (row, effort) in (0..3).flat_map(|row| EFFORTS.map(|effort| (row, Effort::new(effort)))) {
                    let query = Query::new(distance, queries.row(row).unwrap().0);
                    let answer = search(&built, &query, Mask::All, effort, 10);
                    assert_eq!(search(&copy, &query, Mask::All, effort, 10), answer, "{}", name_of(kind));
                }
                assert_eq!(copy.index.effort_for(0.9, 10), built.index.effort_for(0.9, 10));
            }
        }
    }
}

/// Rows that quantisers and graphs stumble over.
#[test]
fn degenerate_rows() {
    let values = |scale: f32| {
        let unscaled = table(6, 600, 6);
        unscaled.run(0).unwrap().vectors.iter().map(|value| value * scale).collect::<Vec<f32>>()
    };
    let mut mixed = values(1.0);
    mixed.iter_mut().enumerate().for_each(|(index, value)| *value *= 10_f32.powi(index as i32 / 6 % 70 - 35));
    let mut outlier = values(1e-3);
    outlier[3] = 1e30;
    let cases = [
        ("equal", vec![0.5; 3600]),
        ("zero", vec![0.0; 3600]),
        ("halves of two", [vec![1.0; 1800], vec![-1.0; 1800]].concat()),
        ("huge", values(8e37)),
        ("tiny", values(1e-38)),
        ("subnormal", values(3e-45)),
        ("of all magnitudes", mixed),
        ("with an outlier", outlier),
    ];
    for kind in TYPES {
        for (name, vectors) in &cases {
            for distance in DISTANCES {
                let built = Built::new(kind, Table::new(6, vectors.clone()), distance);
                for vector in [[0.0; 6], [1.0, -2.0, 3.0, 0.5, 0.25, -1.0], [3e38; 6], [1e-42; 6]] {
                    let query = Query::new(distance, &vector);
                    for effort in EFFORTS {
                        let (found, _) = search(&built, &query, Mask::All, Effort::new(effort), 10);
                        let context = format!("{} {name} {distance:?} {effort}", name_of(kind));
                        assert_eq!(found.len(), 10, "{context}");
                        built.check(&found, &query, &Mask::All, 10);
                        if effort == 1.0 {
                            assert_eq!(found, exact(&built.rows, &query, &Mask::All, 10), "{context}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn values_that_are_no_numbers_do_no_harm() {
    for kind in TYPES {
        for strange in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut vectors = table(5, 400, 7).run(0).unwrap().vectors.to_vec();
            vectors.iter_mut().step_by(37).for_each(|value| *value = strange);
            for distance in DISTANCES {
                let built = Built::new(kind, Table::new(5, vectors.clone()), distance);
                for vector in [[strange; 5], [0.0; 5], [1.0, 2.0, 3.0, 4.0, strange]] {
                    let query = Query::new(distance, &vector);
                    for effort in EFFORTS {
                        let (found, _) = search(&built, &query, Mask::All, Effort::new(effort), 10);
                        assert_eq!(found.len(), 10, "{} {strange} {distance:?}", name_of(kind));
                    }
                }
            }
        }
    }
}

#[test]
fn a_search_stops_when_it_is_told_to() {
    for kind in TYPES {
        let built = Built::new(kind, table(16, 3000, 8), Distance::Cosine);
        let query = Query::new(Distance::Cosine, &[1.0; 16]);
        for effort in EFFORTS {
            for mask in [Mask::All, Mask::Only(&|row| row % 50 == 0), Mask::Only(&|row| row > 1000)] {
                let effort = Effort::new(effort);
                let stop = || true;
                let request = Request { query: &query, rows: &built.rows, mask, effort, stop: &stop };
                let (found, cost) = best_of(&*built.index, &request, 10).unwrap();
                assert!(cost.stopped, "{} {effort:?} {mask:?}", name_of(kind));
                assert!(
                    cost.estimated + cost.scored < 1000,
                    "{} {effort:?} {mask:?}: {cost:?}",
                    name_of(kind)
                );
                built.check(&found, &query, &mask, found.len());
            }
        }
    }
}

#[test]
fn rows_of_another_table_are_refused() {
    for kind in TYPES {
        let built = Built::new(kind, table(8, 100, 9), Distance::Euclidean);
        let query = Query::new(Distance::Euclidean, &[1.0; 8]);
        for rows in [table(8, 99, 9), table(8, 0, 9), table(9, 100, 9)] {
            let request = Request {
                query: &query,
                rows: &rows,
                mask: Mask::All,
                effort: Effort::new(0.5),
                stop: &|| false,
            };
            assert!(best_of(&*built.index, &request, 10).is_err(), "{}", name_of(kind));
        }
    }
}

#[test]
fn an_index_says_what_it_keeps_in_memory() {
    for kind in TYPES {
        let built = Built::new(kind, table(8, 1000, 10), Distance::Cosine);
        assert!(built.index.resident_bytes() <= built.bytes.len() as u64, "{}", name_of(kind));
    }
}
