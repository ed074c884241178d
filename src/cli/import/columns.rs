//! Parquet and Arrow files: rows from columns.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
};

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, LargeListArray, LargeStringArray,
    RecordBatch, UInt64Array, cast::AsArray,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, Field};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{
    json_value::JsonColumn,
    source::{CountedFile, FileOptions, ReadError, RowSource},
};
use crate::{
    error::Error,
    service::{RowsBuilder, compact_metadata, ttl},
};

/// Rows that Parquet decodes at once. Arrow files have the batches that they were written with.
const PARQUET_BATCH_ROWS: usize = 1024;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// A file of record batches.
pub(super) struct Columns {
    batches: Batches,
    options: ColumnNames,
    batch: Option<Batch>,
    done: u64,
    extent: Extent,
}

/// How the progress is measured.
enum Extent {
    Rows(u64),
    Bytes { length: u64, position: Arc<AtomicU64> },
}

/// Opens a Parquet or an Arrow file.
pub(super) fn open(path: &Path, options: &FileOptions) -> Result<Columns, String> {
    let (mut file, length) = CountedFile::open(path)?;
    let mut magic = [0; 6];
    let read = file
        .read(&mut magic)
        .and_then(|read| file.rewind().map(|()| read))
        .map_err(|error| error.to_string())?;
    let bytes = Extent::Bytes { length, position: file.position() };
    let (batches, extent): (Batches, _) = match &magic[..read] {
        [b'P', b'A', b'R', b'1', ..] => open_parquet(path)?,
        b"ARROW1" => {
            let reader =
                FileReader::try_new(BufReader::new(file), None).map_err(|error| error.to_string())?;
            (Box::new(reader), bytes)
        }
        _ => {
            let reader = StreamReader::try_new(BufReader::new(file), None)
                .map_err(|error| format!("is neither Parquet nor Arrow: {error}"))?;
            (Box::new(reader), bytes)
        }
    };
    let options = ColumnNames {
        id: options.id_column.clone(),
        values: options.values_column.clone(),
        metadata: options.metadata_columns.clone(),
    };
    Ok(Columns { batches, options, batch: None, done: 0, extent })
}

fn open_parquet(path: &Path) -> Result<(Batches, Extent), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let reader = builder.with_batch_size(PARQUET_BATCH_ROWS).build().map_err(|error| error.to_string())?;
    Ok((Box::new(reader), Extent::Rows(rows)))
}

impl RowSource for Columns {
    fn next_row(&mut self, rows: &mut RowsBuilder<'_>) -> Result<Option<u64>, ReadError> {
        let batch = loop {
            match &mut self.batch {
                Some(batch) if batch.next < batch.ids.len() => break batch,
                _ => match self.batches.next() {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(ReadError::File(error.to_string())),
                    Some(Ok(batch)) => {
                        self.batch = Some(Batch::new(&batch, &self.options).map_err(ReadError::File)?)
                    }
                },
            }
        };
        let bytes = batch.append_row(rows)?;
        batch.next += 1;
        self.done += 1;
        Ok(Some(bytes))
    }

    fn place(&self) -> String {
        format!("row {}", self.done)
    }

    fn position(&self) -> u64 {
        match &self.extent {
            Extent::Rows(_) => self.done,
            Extent::Bytes { position, .. } => position.load(Ordering::Relaxed),
        }
    }

    fn total(&self) -> u64 {
        match &self.extent {
            Extent::Rows(rows) => *rows,
            Extent::Bytes { length, .. } => *length,
        }
    }
}

/// Columns as the command line names them.
struct ColumnNames {
    id: Option<String>,
    values: Option<String>,
    metadata: Option<Vec<String>>,
}

/// A record batch whose columns are understood.
struct Batch {
    next: usize,
    ids: LargeStringArray,
    values: Values,
    metadata: Metadata,
    ttl: Option<UInt64Array>,
}

/// A list of floats a row, as one flat column.
struct Values {
    flat: Float32Array,
    present: BooleanArray,
    offsets: Vec<usize>,
}

enum Metadata {
    None,
    /// JSON text.
    Text(LargeStringArray),
    /// A struct, which is an object.
    Object(JsonColumn),
    /// One field a column.
    Fields(Vec<(String, JsonColumn)>),
}

impl Batch {
    fn new(batch: &RecordBatch, names: &ColumnNames) -> Result<Self, String> {
        let id = find(batch, names.id.as_deref(), &["id"], "--id-column")?;
        let values =
            find(batch, names.values.as_deref(), &["values", "vector", "embedding"], "--values-column")?;
        let ttl = batch.column_by_name("ttl_seconds").filter(|column| column.data_type().is_integer());
        let taken = [id.0.as_str(), values.0.as_str(), if ttl.is_some() { "ttl_seconds" } else { "" }];
        Ok(Self {
            next: 0,
            ids: convert(&id.0, &id.1, &DataType::LargeUtf8)?.as_string::<i64>().clone(),
            values: Values::new(&values.0, &values.1)?,
            metadata: Metadata::new(batch, names, &taken)?,
            ttl: ttl
                .map(|ttl| {
                    convert("ttl_seconds", ttl, &DataType::UInt64).map(|ttl| ttl.as_primitive().clone())
                })
                .transpose()?,
        })
    }

    fn append_row(&self, rows: &mut RowsBuilder<'_>) -> Result<u64, ReadError> {
        let row = self.next;
        rows.begin_row()?;
        let values = self.values.get(row);
        match values {
            None => rows.without_vector(),
            Some(None) => return Err(null(rows.path("values"))),
            Some(Some(values)) => rows.push_values(values)?,
        }
        if self.ids.is_null(row) {
            return Err(null(rows.path("id")));
        }
        let metadata =
            self.metadata.get(row).map_err(|message| Error::invalid(rows.path("metadata"), message))?;
        let metadata = metadata
            .map(|text| compact_metadata(rows.limits(), || rows.path("metadata"), &text))
            .transpose()?;
        let seconds = self.ttl.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row));
        let ttl = seconds.map(|seconds| ttl(|| rows.path("ttl_seconds"), seconds)).transpose()?;
        let bytes = values.flatten().map_or(0, <[f32]>::len) * 4 + metadata.as_deref().map_or(0, str::len);
        rows.end_row(self.ids.value(row), metadata, ttl)?;
        Ok(bytes as u64)
    }
}

fn null(field: String) -> ReadError {
    ReadError::Row(Error::invalid(field, "must not be null"))
}

/// The column that was asked for, or the first of the usual names.
fn find(
    batch: &RecordBatch,
    asked: Option<&str>,
    usual: &[&str],
    flag: &str,
) -> Result<(String, ArrayRef), String> {
    let names: Vec<&str> = asked.map_or_else(|| usual.to_vec(), |asked| vec![asked]);
    let found =
        names.iter().find_map(|name| Some(((*name).to_owned(), Arc::clone(batch.column_by_name(name)?))));
    found.ok_or_else(|| {
        let schema = batch.schema();
        let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        format!(
            "has no column {}; name it with {flag}. Its columns are {}",
            names.join(", "),
            columns.join(", ")
        )
    })
}

/// Converts a column; what does not fit is an error, never a null.
pub(super) fn convert(name: &str, column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, to, &strict)
        .map_err(|error| format!("column {name} ({}): {error}", column.data_type()))
}

impl Values {
    fn new(name: &str, column: &ArrayRef) -> Result<Self, String> {
        let is_float = |field: &Field| field.data_type().is_floating();
        let to_f32 = |flat: &ArrayRef| convert(name, flat, &DataType::Float32);
        let (flat, offsets): (ArrayRef, Vec<usize>) = match column.data_type() {
            DataType::FixedSizeList(field, _) if is_float(field) => {
                let list: &FixedSizeListArray = column.as_fixed_size_list();
                (
                    to_f32(list.values())?,
                    (0..=list.len()).map(|row| row * list.value_length() as usize).collect(),
                )
            }
            DataType::List(field) | DataType::LargeList(field) if is_float(field) => {
                let item = Arc::new(Field::clone(field));
                let list = convert(name, column, &DataType::LargeList(item))?;
                let list: &LargeListArray = list.as_list();
                (to_f32(list.values())?, list.offsets().iter().map(|&offset| offset as usize).collect())
            }
            DataType::Null => (Arc::new(Float32Array::new_null(0)), vec![0; column.len() + 1]),
            other => {
                return Err(format!(
                    "column {name} is {other}, but vectors are lists of floats; name another with --values-column"
                ));
            }
        };
        let present =
            BooleanArray::from((0..column.len()).map(|row| !is_null(column, row)).collect::<Vec<_>>());
        Ok(Self { flat: flat.as_primitive().clone(), present, offsets })
    }

    /// The row's values, of which there may be none; nothing of them if one is null.
    fn get(&self, row: usize) -> Option<Option<&[f32]>> {
        let range = self.offsets[row]..self.offsets[row + 1];
        let complete = self.flat.null_count() == 0 || range.clone().all(|at| self.flat.is_valid(at));
        self.present.value(row).then(|| complete.then(|| &self.flat.values()[range]))
    }
}

/// A column of nothing but nulls has no bits that say so.
fn is_null(column: &ArrayRef, row: usize) -> bool {
    column.data_type() == &DataType::Null || column.is_null(row)
}

impl Metadata {
    fn new(batch: &RecordBatch, names: &ColumnNames, taken: &[&str]) -> Result<Self, String> {
        let schema = batch.schema();
        let fields: Vec<(String, ArrayRef)> = match &names.metadata {
            Some(asked) => asked
                .iter()
                .map(|name| find(batch, Some(name), &[], "--metadata-columns"))
                .collect::<Result<_, _>>()?,
            None => {
                if let Some(text) =
                    batch.column_by_name("metadata").filter(|column| is_text(column.data_type()))
                {
                    return Ok(Self::Text(
                        convert("metadata", text, &DataType::LargeUtf8)?.as_string().clone(),
                    ));
                }
                let object = |column: &&ArrayRef| matches!(column.data_type(), DataType::Struct(_));
                if let Some(object) = batch.column_by_name("metadata").filter(object) {
                    return Ok(Self::Object(JsonColumn::new("metadata", Arc::clone(object))?));
                }
                let columns = schema.fields().iter().zip(batch.columns());
                let others = columns.filter(|(field, _)| !taken.contains(&field.name().as_str()));
                others.map(|(field, column)| (field.name().clone(), Arc::clone(column))).collect()
            }
        };
        if fields.is_empty() {
            return Ok(Self::None);
        }
        let field = |(name, column): (String, ArrayRef)| {
            let column = JsonColumn::new(&name, column)?;
            Ok((name, column))
        };
        Ok(Self::Fields(fields.into_iter().map(field).collect::<Result<_, String>>()?))
    }

    fn get(&self, row: usize) -> Result<Option<String>, String> {
        match self {
            Self::None => Ok(None),
            Self::Text(text) if text.is_null(row) => Ok(None),
            Self::Text(text) => {
                let json = serde_json::from_str::<&serde_json::value::RawValue>(text.value(row));
                let json =
                    json.map_err(|error| format!("malformed JSON: {}", super::jsonl::in_line(&error)))?;
                Ok((json.get() != "null").then(|| json.get().to_owned()))
            }
            Self::Object(column) => {
                let object = column.get(row)?;
                Ok((!object.is_null()).then(|| object.to_string()))
            }
            Self::Fields(columns) => {
                // A null is a field that the row lacks.
                let mut object = serde_json::Map::new();
                for (name, column) in columns {
                    match column.get(row)? {
                        serde_json::Value::Null => {}
                        value => drop(object.insert(name.clone(), value)),
                    }
                }
                Ok(Some(serde_json::Value::Object(object).to_string()))
            }
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
