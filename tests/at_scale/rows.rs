//! As many rows as wanted, out of real ones: these first, then real ones moved in directions in which real
//! ones differ, so that all have neighbours as real ones have, and none is there twice.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use half::f16;

use crate::data::DataSet;

/// How far a row is moved, in differences of two others: it is as near to where it was (cosine .74) as real
/// rows are to their nearest.
const MOVED: f32 = 0.7;

/// Writes a .npy file of half floats.
pub fn write(path: &Path, data: &DataSet, rows: usize, dimension: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let header = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}");
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(padded as u16).to_le_bytes()).unwrap();
    file.write_all(format!("{header:<width$}\n", width = padded - 1).as_bytes()).unwrap();
    let mut chance = Chance(1);
    for row in 0..rows {
        let values = of(data, row * 7919, dimension);
        let (weight, one, other) = match row < data.rows() {
            true => (0.0, 0, 0),
            false => (MOVED, chance.next(), chance.next()),
        };
        let move_by = of(data, one, dimension).zip(of(data, other, dimension));
        for (value, (one, other)) in values.zip(move_by) {
            file.write_all(&f16::from_f32(value + weight * (one - other)).to_le_bytes()).unwrap();
        }
    }
    file.flush().unwrap();
}

/// Real queries.
pub fn queries(data: &DataSet, count: usize, dimension: usize) -> Vec<Vec<f32>> {
    let values =
        |query: usize| data.query(query % data.query_count()).iter().cycle().take(dimension).copied();
    (0..count).map(|query| values(query).collect()).collect()
}

fn of(data: &DataSet, row: usize, dimension: usize) -> impl Iterator<Item = f32> + '_ {
    let start = row % data.rows() * data.dimension;
    data.base.iter().cycle().skip(start).take(dimension).copied()
}

/// A xorshift generator: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize
    }
}
