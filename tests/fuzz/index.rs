//! Indexes over the rows of a segment: whatever their bytes say, opening them fails, or searches end
//! with rows that there are, each once and with its exact score.

use bytes::Bytes;
use quiver::{
    engine::index::{
        Effort, Mask, Query, Request, Table, VectorSource, best_of, build, flat, head_bytes, open, open_head,
    },
    types::{Distance, HnswParams, IndexSpec, IndexType, IvfParams, PqParams, SpfreshParams},
};

use super::run::{Input, Target};

/// Indexes of the type of this number.
pub struct Indexes<const TYPE: usize>;

const NAMES: [&str; 4] = ["spfresh_indexes", "hnsw_indexes", "pq_indexes", "ivf_indexes"];

fn spec(kind: usize) -> IndexSpec {
    match kind {
        0 => IndexSpec::Spfresh(SpfreshParams { list_rows: 8, closure_percent: 20, code_bits: None }),
        1 => IndexSpec::Hnsw(HnswParams { m: 4, ef_construction: 16 }),
        2 => IndexSpec::Pq(PqParams { list_rows: 16, subquantizers: None }),
        _ => IndexSpec::Ivf(IvfParams { list_rows: Some(8) }),
    }
}

/// Rows of several shapes; an input names one by its number.
fn table(number: u8) -> Table {
    let (dimension, rows) = [(3, 40), (65, 90), (8, 1), (16, 300)][usize::from(number) % 4];
    let value = |place: usize| (place as f32 * 0.618 + f32::from(number)).fract() - 0.4;
    Table::new(dimension, (0..dimension * rows).map(value).collect())
}

fn distance(number: u8) -> Distance {
    [Distance::Cosine, Distance::DotProduct, Distance::Euclidean][usize::from(number) % 3]
}

/// The same index by its head and the lists that it wants: parts that do not fit are refused, and with
/// those that do, the rows are those of the whole.
fn in_parts(index_type: IndexType, object: &[u8], rows: &Table, distance: Distance) {
    let bytes = Bytes::copy_from_slice(object);
    let Some(head) = head_bytes(index_type, &bytes) else { return };
    let mut index = open_head(index_type, &bytes.slice(..head), bytes.len() as u64).unwrap();
    let query = Query::new(distance, rows.row(0).unwrap().0);
    let request = Request { query: &query, rows, mask: Mask::All, effort: Effort::new(0.5), stop: &|| false };
    let wanted = index.wanted(&request, 5).unwrap_or_default();
    assert!(wanted.is_empty() || index.shortlist(&request, 5, 0).unwrap().is_none(), "nothing is here yet");
    for part in wanted {
        let place = part.range.start as usize..part.range.end as usize;
        assert!(place.end <= bytes.len());
        if index.supply(part.number, bytes.slice(place)).is_err() {
            return;
        }
    }
    let _ = index.shortlist(&request, 5, 3).map(|found| found.is_some());
}

impl<const TYPE: usize> Target for Indexes<TYPE> {
    type Value = Vec<(u64, u32)>;
    const NAME: &'static str = NAMES[TYPE];
    // The manifest has their checksum.
    const IS_SEALED: bool = false;
    const REASONS: usize = 4;
    const SHARE: u64 = 10;

    fn corpus(&self) -> Vec<Input> {
        let input = |number: u8| {
            let bytes = build(&spec(TYPE), &table(number), distance(number), u64::from(number)).unwrap();
            vec![bytes, vec![number]]
        };
        (0..4).map(input).collect()
    }

    fn read(&self, objects: &Input) -> Result<Self::Value, String> {
        let number = objects[1][0];
        let (rows, distance) = (table(number), distance(number));
        let index = open(spec(TYPE).index_type(), objects[0].clone())?;
        if index.shape() != (rows.rows(), rows.dimension()) || index.distance() != distance {
            return Err("it is not of these rows".into());
        }
        in_parts(spec(TYPE).index_type(), &objects[0], &rows, distance);
        let vector = rows.row(0).unwrap().0.iter().map(|value| value + 0.25).collect::<Vec<f32>>();
        let query = Query::new(distance, &vector);
        let odd = |row: u32| row % 2 == 1;
        let mut found = Vec::new();
        for (effort, mask) in
            [(0.2, Mask::All), (0.7, Mask::Only(&odd)), (index.effort_for(0.9, 5).value(), Mask::All)]
        {
            let request =
                Request { query: &query, rows: &rows, mask, effort: Effort::new(effort), stop: &|| false };
            let answer = best_of(&*index, &request, 5).map_err(|error| error.to_string())?.0;
            let mut seen = std::collections::BTreeSet::new();
            for scored in answer {
                let row = u32::try_from(scored.row).unwrap();
                assert!(mask.admits(row) && seen.insert(row), "row {row} is not admitted, or there twice");
                let (vector, &inverse_norm) = rows.row(row).unwrap();
                assert_eq!(scored.score, flat::score(&query, vector, inverse_norm) + 0.0);
                found.push((scored.row, scored.score.to_bits()));
            }
        }
        Ok(found)
    }
}
