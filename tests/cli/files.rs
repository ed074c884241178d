//! Files of rows, made the way that other programs make them.

use std::{io::Write, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int64Array,
    ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use half::f16;
use parquet::arrow::ArrowWriter;

/// Row `row` of the matrix that all files hold: halves and quarters, exact in every float type.
pub fn vector(row: usize) -> [f32; 4] {
    let row = row as f32;
    [row + 0.5, -row, 0.25, 1.0]
}

/// How a .npy file holds its numbers.
#[derive(Clone, Copy)]
pub enum Float {
    F2,
    F4,
    F8,
}

pub fn npy(rows: usize, float: Float) -> Vec<u8> {
    let name = match float {
        Float::F2 => "<f2",
        Float::F4 => "<f4",
        Float::F8 => "<f8",
    };
    let mut file =
        npy_header(&format!("{{'descr': '{name}', 'fortran_order': False, 'shape': ({rows}, 4), }}"));
    for value in (0..rows).flat_map(vector) {
        match float {
            Float::F2 => file.extend(f16::from_f32(value).to_le_bytes()),
            Float::F4 => file.extend(value.to_le_bytes()),
            Float::F8 => file.extend(f64::from(value).to_le_bytes()),
        }
    }
    file
}

pub fn npy_header(dict: &str) -> Vec<u8> {
    // NumPy pads so that the data is aligned to 64 bytes.
    let padded = format!("{dict:<width$}\n", width = (10 + dict.len() + 1).next_multiple_of(64) - 11);
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(padded.len()).unwrap().to_le_bytes());
    file.extend(padded.bytes());
    file
}

pub fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(content.as_ref()).unwrap();
    out.finish().unwrap()
}

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, true))
}

/// Vectors as a fixed-size list of f32.
pub fn fixed_f32(rows: usize) -> ArrayRef {
    let flat = Float32Array::from_iter_values((0..rows).flat_map(vector));
    Arc::new(FixedSizeListArray::new(item(DataType::Float32), 4, Arc::new(flat), None))
}

/// Vectors as a fixed-size list of f16.
pub fn fixed_f16(rows: usize) -> ArrayRef {
    let flat = Float16Array::from_iter_values((0..rows).flat_map(vector).map(f16::from_f32));
    Arc::new(FixedSizeListArray::new(item(DataType::Float16), 4, Arc::new(flat), None))
}

/// Vectors as a list of f64.
pub fn list_f64(rows: usize) -> ArrayRef {
    let flat = Float64Array::from_iter_values((0..rows).flat_map(vector).map(f64::from));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(4, rows));
    Arc::new(ListArray::new(item(DataType::Float64), offsets, Arc::new(flat), None))
}

/// Ids `row-0`, `row-1`, ….
pub fn ids(rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("row-{row}"))))
}

/// A record batch of named columns.
pub fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let fields: Vec<_> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = columns.iter().map(|(_, column)| Arc::clone(column)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Columns of many types, to become metadata.
pub fn attributes(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let number: ArrayRef =
        Arc::new(Int64Array::from_iter((0..rows as i64).map(|row| (row % 2 == 0).then_some(row))));
    let inner: ArrayRef = Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 2 == 0))));
    let fields = vec![Field::new("even", DataType::Boolean, true)];
    let texts = StringArray::from_iter_values((0..rows * 2).map(|at| format!("t{at}")));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(2, rows));
    vec![
        ("number", number),
        ("ratio", Arc::new(Float32Array::from_iter_values((0..rows).map(|_| 0.1)))),
        ("nested", Arc::new(StructArray::new(fields.into(), vec![inner], None))),
        ("tags", Arc::new(ListArray::new(item(DataType::Utf8), offsets, Arc::new(texts), None))),
    ]
}

pub fn write_parquet(path: &Path, batch: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

pub fn write_arrow_file(path: &Path, batches: &[RecordBatch]) {
    let compressed =
        IpcWriteOptions::default().try_with_compression(Some(arrow_ipc::CompressionType::ZSTD)).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = FileWriter::try_new_with_options(file, &batches[0].schema(), compressed).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
}

pub fn write_arrow_stream(path: &Path, batches: &[RecordBatch]) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = StreamWriter::try_new(file, &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
}
