//! What every index of lists does, whatever a list holds of a row.

use bytes::Bytes;

use crate::{
    engine::index::{
        Cost, Effort, Mask, Query, Request, Table, VectorIndex, VectorSource, best_of, build, open,
        random::Numbers, top::Scored,
    },
    types::{Distance, IndexSpec, IvfParams, PqParams, SpfreshParams},
};

const DISTANCES: [Distance; 3] = [Distance::Cosine, Distance::DotProduct, Distance::Euclidean];

fn specs() -> [IndexSpec; 3] {
    [
        IndexSpec::Ivf(IvfParams::default()),
        IndexSpec::Pq(PqParams { list_rows: 20, subquantizers: None }),
        IndexSpec::Spfresh(SpfreshParams { list_rows: 20, closure_percent: 20, code_bits: None }),
    ]
}

/// Vectors around a few centres; the last ones are zero, and equal in pairs.
fn table(dimension: usize, rows: usize) -> Table {
    let mut numbers = Numbers::new(dimension as u64);
    let mut number = || numbers.below(2001) as f32 / 1000.0 - 1.0;
    let centres: Vec<f32> = (0..6 * dimension).map(|_| 2.0 * number()).collect();
    let mut vectors: Vec<f32> = (0..rows)
        .flat_map(|row| row % 6 * dimension..(row % 6 + 1) * dimension)
        .map(|at| centres[at] + number())
        .collect();
    vectors[rows * 9 / 10 * dimension..].fill(0.0);
    let twins = rows / 10 * dimension;
    vectors.copy_within(..twins, twins);
    Table::new(dimension, vectors)
}

struct Built {
    rows: Table,
    bytes: Vec<u8>,
    index: Box<dyn VectorIndex>,
    spec: IndexSpec,
}

impl Built {
    fn new(spec: IndexSpec, rows: Table, distance: Distance) -> Self {
        let bytes = build(&spec, &rows, distance, 1).unwrap();
        let index = open(spec.index_type(), bytes.clone().into()).unwrap();
        Self { rows, bytes, index, spec }
    }

    fn search(&self, mask: Mask<'_>, effort: f32, limit: usize) -> crate::error::Result<(Vec<Scored>, Cost)> {
        let query = Query::new(self.index.distance(), &vec![0.7; self.rows.dimension()]);
        let effort = Effort::new(effort);
        best_of(
            &*self.index,
            &Request { query: &query, rows: &self.rows, mask, effort, stop: &|| false },
            limit,
        )
    }
}

/// At any effort as many rows as there are, each once and admitted, and the best ones at full effort.
#[test]
fn finds_what_there_is() {
    for spec in specs() {
        for (dimension, rows) in [(1, 40), (3, 0), (7, 1), (33, 500), (4096, 30)] {
            for distance in DISTANCES {
                let built = Built::new(spec, table(dimension, rows), distance);
                let odd: &(dyn Fn(u32) -> bool + Sync) = &|row| row % 2 == 1;
                for (mask, admitted) in [(Mask::All, rows), (Mask::Only(odd), rows / 2)] {
                    let exact = built.search(mask, 1.0, rows).unwrap().0;
                    for (effort, limit) in [(0.0, 10), (0.5, 0), (0.5, 10), (0.9, rows + 1), (1.0, 10)] {
                        let (found, _) = built.search(mask, effort, limit).unwrap();
                        let context = format!("{spec:?} {distance:?} {rows} × {dimension} {effort} {mask:?}");
                        assert_eq!(found.len(), limit.min(admitted), "{context}");
                        assert!(found.iter().all(|row| exact.contains(row)), "{context}");
                        if effort == 1.0 {
                            assert_eq!(found, exact[..found.len()], "{context}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_same_bytes_on_any_number_of_threads() {
    for spec in specs() {
        let rows = table(40, 1500);
        let build = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| build(&spec, &rows, Distance::Cosine, 7).unwrap())
        };
        assert!(build(1) == build(3), "{spec:?}");
    }
}

#[test]
fn a_copy_at_an_odd_address_answers_the_same() {
    for spec in specs() {
        let mut built = Built::new(spec, table(24, 700), Distance::Euclidean);
        let before = built.search(Mask::All, 0.4, 20).unwrap();
        let shifted = [&[9; 3][..], &built.bytes].concat();
        built.index = open(spec.index_type(), Bytes::from(shifted).slice(3..)).unwrap();
        assert_eq!(built.search(Mask::All, 0.4, 20).unwrap(), before, "{spec:?}");
    }
}

/// Bytes that are cut off or changed are refused, or find rows that there are, each once.
#[test]
fn no_bytes_do_harm() {
    for spec in specs() {
        let mut built = Built::new(spec, table(10, 600), Distance::Cosine);
        let good = built.bytes.clone();
        let mut numbers = Numbers::new(3);
        let cut = (0..300).map(|length| good[..length].to_vec());
        let flipped = (0..900).map(|round| {
            let mut bytes = good.clone();
            let place = if round % 3 == 0 { numbers.below(500) } else { numbers.below(good.len()) };
            bytes[place] ^= 1 << numbers.below(8);
            bytes
        });
        for bytes in cut.chain(flipped) {
            let Ok(index) = open(built.spec.index_type(), bytes.into()) else { continue };
            built.index = index;
            for effort in [0.0, 0.5] {
                if let Ok((found, _)) = built.search(Mask::All, effort, 20) {
                    let mut rows: Vec<u64> = found.iter().map(|scored| scored.row).collect();
                    rows.sort_unstable();
                    rows.dedup();
                    assert_eq!(rows.len(), found.len(), "{spec:?}");
                    assert!(rows.iter().all(|row| *row < 600), "{spec:?}");
                }
            }
        }
    }
}

#[test]
fn rows_of_another_table_are_refused() {
    for spec in specs() {
        let mut built = Built::new(spec, table(8, 100), Distance::Cosine);
        built.rows = table(8, 99);
        assert!(built.search(Mask::All, 0.5, 5).is_err(), "{spec:?}");
    }
}
