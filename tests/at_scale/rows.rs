//! As many rows as wanted, out of real ones.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use half::f16;

use crate::data::DataSet;

/// Writes a .npy file of half floats.
pub fn write(path: &Path, data: &DataSet, rows: usize, dimension: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let header = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}");
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(padded as u16).to_le_bytes()).unwrap();
    file.write_all(format!("{header:<width$}\n", width = padded - 1).as_bytes()).unwrap();
    let mut noise = Noise(1);
    for row in 0..rows {
        for value in of(data, row * 7919, dimension) {
            let moved = value + 0.02 * noise.next();
            file.write_all(&f16::from_f32(moved).to_le_bytes()).unwrap();
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
struct Noise(u64);

impl Noise {
    /// From -1 to 1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
