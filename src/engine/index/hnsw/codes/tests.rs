//! What similarities by bytes say of exact scores.

use super::*;
use crate::engine::index::{
    Query, Table, flat,
    tests::fixture::{DISTANCES, embeddings, numbers, table},
};

/// Rows in bytes, as an index has them.
struct Coded {
    frame: Frame,
    codes: Vec<u8>,
    terms: Vec<u8>,
}

impl Coded {
    fn new(rows: &dyn VectorSource, distance: Distance) -> Self {
        let frame = Frame::learn(rows, distance).unwrap();
        let (mut codes, mut terms) = (vec![0; rows.rows() * rows.dimension()], vec![0; rows.rows() * 8]);
        frame.encode_all(rows, &mut codes, &mut terms).unwrap();
        Self { frame, codes, terms }
    }

    /// For each row, how much more similar it may be at best than it is: by the first bytes of the query, and by
    /// all.
    fn above(&self, rows: &dyn VectorSource, query: &Query) -> Vec<(f32, f32)> {
        let mut code = vec![0; rows.dimension()];
        let terms = self.frame.encode(query.vector(), &mut code);
        let codes = Codes::new(rows.dimension(), &self.codes, &self.terms);
        let mut probe = Probe::new(&code, terms);
        let numbers: Vec<u32> = (0..rows.rows() as u32).collect();
        codes.allow_for_errors(&mut probe, &numbers);
        let mut rest = vec![0; rows.dimension()];
        self.frame.encode_rest(query.vector(), &terms, &code, &mut rest);
        let less: Vec<f32> = codes.less_at_best(&probe, &rest, &numbers, &mut Vec::new()).collect();
        let mut products = Vec::new();
        let scored = codes.similarities(&probe, &numbers, &mut products);
        let above = scored.map(|(row, similarity)| {
            let (vector, inverse_norm) = rows.row(row).unwrap();
            let above =
                similarity - self.frame.similarity_of(&terms, flat::score(query, vector, *inverse_norm));
            (above, above - less[row as usize])
        });
        above.collect()
    }
}

/// The shares of rows that are better than they may be at best, over some queries.
fn shares_left_out(rows: &dyn VectorSource, queries: &[Vec<f32>], distance: Distance) -> [f32; 2] {
    let coded = Coded::new(rows, distance);
    let (first, all): (Vec<f32>, Vec<f32>) =
        queries.iter().flat_map(|query| coded.above(rows, &Query::new(distance, query))).unzip();
    [first, all].map(|above| above.iter().filter(|above| **above < 0.0).count() as f32 / above.len() as f32)
}

/// Two standard deviations of an error that is the sum of many leave out one in 44.
#[test]
fn one_row_in_44_is_better_than_it_may_be_at_best() {
    let (rows, queries) = embeddings();
    for distance in DISTANCES {
        for share in shares_left_out(&rows, &queries[..20], distance) {
            println!("{distance:?}: {share}");
            assert!((0.01..0.035).contains(&share), "{distance:?}: {share}");
        }
    }
}

/// Whatever their size, and wherever they lie.
#[test]
fn few_rows_are_better_than_they_may_be_at_best() {
    for (factor, offset) in [(1.0, 0.0), (1e-15, 0.0), (1e12, 0.0), (1.0, 30.0), (0.0, 1.0), (0.0, 0.0)] {
        let moved = |seed| {
            let rows = table(64, 500, seed);
            let values = (0..500).flat_map(|row| rows.row(row).unwrap().0.to_vec());
            values.map(|value| value * factor + offset).collect::<Vec<f32>>()
        };
        let rows = Table::new(64, moved(31));
        let queries: Vec<Vec<f32>> = moved(32).chunks(64).take(10).map(<[f32]>::to_vec).collect();
        for distance in DISTANCES {
            for share in shares_left_out(&rows, &queries, distance) {
                println!("{distance:?}, {factor}, {offset}: {share}");
                assert!(share < 0.04, "{distance:?}, {factor}, {offset}: {share}");
            }
        }
    }
}

/// With second bytes, a query is off by a part in 254 of what it is off by with the first ones alone.
#[test]
fn second_bytes_say_what_first_ones_leave_out() {
    let (rows, queries) = embeddings();
    for distance in DISTANCES {
        let frame = Frame::learn(&rows, distance).unwrap();
        for query in &queries[..20] {
            let query = Query::new(distance, query);
            let (mut code, mut rest) = (vec![0; rows.dimension()], vec![0; rows.dimension()]);
            let terms = frame.encode(query.vector(), &mut code);
            frame.encode_rest(query.vector(), &terms, &code, &mut rest);
            let factor = frame.factor(query.vector());
            for (((byte, rest), value), mean) in code.iter().zip(&rest).zip(query.vector()).zip(&frame.mean) {
                let [byte, rest] = [byte, rest].map(|byte| f64::from(byte.cast_signed()));
                let off = f64::from(*value) * factor - f64::from(*mean) - (byte + rest / FINE) * terms.scale;
                assert!(off.abs() <= 0.51 / FINE * terms.scale, "{off} of {}", terms.scale);
            }
        }
    }
}

/// Where bytes tell nothing, or scores are no numbers, no row is left out.
#[test]
fn what_is_too_large_to_tell_leaves_no_row_out() {
    let rows = table(8, 10, 33);
    let mut next = numbers(34);
    let query: Vec<f32> = (0..8).map(|_| next()).collect();
    for distance in DISTANCES {
        let frame = Frame::learn(&rows, distance).unwrap();
        let terms = frame.encode(&query, &mut [0; 8]);
        for score in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert_eq!(frame.similarity_of(&terms, score), f32::NEG_INFINITY, "{distance:?} {score}");
        }
        assert!(frame.similarity_of(&terms, 0.5).is_finite());
    }
    let tiny = rows.run(0).unwrap().vectors.iter().map(|value| value * 1e-30).collect();
    let frame = Frame::learn(&Table::new(8, tiny), Distance::DotProduct).unwrap();
    for value in [f32::MAX, f32::MIN] {
        let (mut code, mut rest) = ([0; 8], [0; 8]);
        let terms = frame.encode(&[value; 8], &mut code);
        frame.encode_rest(&[value; 8], &terms, &code, &mut rest);
        assert_eq!(frame.similarity_of(&terms, 1e30), f32::NEG_INFINITY);
    }
}
