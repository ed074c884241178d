//! The dead rows of a segment.

use quiver::engine::{
    format::{Kind, open, seal},
    segment::{decode_deletes, encode_deletes},
};
use roaring::RoaringBitmap;

use super::run::{Input, Target};

pub struct Deletes;

/// Rows of the segment.
const ROWS: u64 = 200_000;

impl Target for Deletes {
    type Value = RoaringBitmap;
    const NAME: &'static str = "deletes";
    const REASONS: usize = 8;

    fn corpus(&self) -> Vec<Input> {
        let mut runs: RoaringBitmap = (10..90_000).collect();
        runs.optimize();
        let bitmaps = [
            RoaringBitmap::new(),
            [7, 70_000, 199_999].into(),
            (0..2000).map(|row| row * 90).collect(),
            (0..70_000).step_by(2).collect(),
            runs,
        ];
        let content = |rows| open(Kind::Deletes, &encode_deletes(rows).unwrap()).unwrap().to_vec();
        bitmaps.iter().map(|rows| vec![content(rows)]).collect()
    }

    fn seal(&self, content: &Input) -> Input {
        vec![seal(Kind::Deletes, content[0].clone()).to_vec()]
    }

    fn read(&self, objects: &Input) -> Result<RoaringBitmap, String> {
        let rows = decode_deletes(&objects[0].clone().into(), ROWS)?;
        assert!(rows.iter().all(|row| u64::from(row) < ROWS) && rows.iter().count() as u64 == rows.len());
        assert!(rows.iter().is_sorted());
        Ok(rows)
    }

    fn write(&self, rows: &RoaringBitmap) -> Option<Input> {
        Some(vec![encode_deletes(rows).unwrap().to_vec()])
    }
}
