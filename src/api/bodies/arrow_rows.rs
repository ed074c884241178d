//! An Arrow IPC stream as rows: columns `id`, `values` (or `vector`), `metadata`?, `ttl_seconds`?.
//!
//! The bytes come from anyone, and an IPC stream is full of lengths that its reader believes. They
//! are checked first, then read with arrow's validating decoder, and a panic in there is caught.
//! Compressed buffers are refused, since what they become has no bound (`Content-Encoding`
//! compresses as well, within limits).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use arrow_array::{
    Array, ArrayAccessor, ArrayRef, FixedSizeListArray, GenericListArray, OffsetSizeTrait, RecordBatch,
    cast::AsArray,
    types::{Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
    types::{UInt8Type, UInt16Type, UInt32Type, UInt64Type},
};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::DataType;
use bytes::Bytes;

use super::shorten;
use crate::{
    config::LimitsConfig,
    engine::format::{Unreadable, check_stream},
    error::{Error, Result},
    service::{RowsBuilder, check_batch, compact_metadata, ttl},
    types::Rows,
};

/// Parses a whole body.
pub(super) fn parse(limits: &LimitsConfig, body: &Bytes) -> Result<Rows> {
    catch_unwind(AssertUnwindSafe(|| parse_unguarded(limits, body)))
        .unwrap_or_else(|_| Err(malformed("the Arrow reader gave up")))
}

fn parse_unguarded(limits: &LimitsConfig, body: &Bytes) -> Result<Rows> {
    check_stream(body).map_err(unreadable)?;
    let mut rows = RowsBuilder::new(limits, "rows");
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from(body.clone());
    while !buffer.is_empty() {
        match decoder.decode(&mut buffer) {
            Ok(Some(batch)) => read_batch(&mut rows, &batch)?,
            Ok(None) => {}
            Err(error) => return Err(malformed(error)),
        }
    }
    decoder.finish().map_err(malformed)?;
    if decoder.schema().is_none() {
        return Err(malformed("it holds no schema"));
    }
    Ok(rows.finish())
}

fn malformed(reason: impl std::fmt::Display) -> Error {
    Error::invalid("body", shorten(format!("not a readable Arrow IPC stream: {reason}")))
}

fn unreadable(why: Unreadable) -> Error {
    match why {
        Unreadable::Compressed => Error::invalid(
            "body",
            "compressed Arrow buffers are not taken; compress the body with Content-Encoding",
        ),
        Unreadable::Malformed(reason) => malformed(reason),
    }
}

fn read_batch(rows: &mut RowsBuilder<'_>, batch: &RecordBatch) -> Result<()> {
    let limits = rows.limits();
    check_batch(limits, "rows", rows.len().saturating_add(batch.num_rows()))?;
    let columns = Columns::of(batch)?;
    for row in 0..batch.num_rows() {
        rows.begin_row()?;
        columns.vector(row, rows)?;
        let id = columns.id.get(row).ok_or_else(|| null(rows.path("id")))?;
        let metadata = columns.metadata.as_ref().and_then(|metadata| metadata.get(row));
        let metadata = metadata.map(|text| metadata_text(rows, text)).transpose()?;
        let ttl = columns.ttl(row, rows)?;
        rows.end_row(id, metadata, ttl)?;
    }
    Ok(())
}

fn metadata_text(rows: &RowsBuilder<'_>, text: &str) -> Result<std::sync::Arc<str>> {
    let field = || rows.path("metadata");
    let value: &serde_json::value::RawValue = serde_json::from_str(text)
        .map_err(|error| Error::invalid(field(), shorten(format!("malformed JSON: {error}"))))?;
    compact_metadata(rows.limits(), field, value.get())
}

fn null(field: String) -> Error {
    Error::invalid(field, "must not be null")
}

/// The columns of a batch that are understood.
struct Columns<'a> {
    id: Text<'a>,
    vectors: Vectors<'a>,
    metadata: Option<Text<'a>>,
    ttl: Option<ArrayRef>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        let schema = batch.schema_ref();
        let (mut id, mut vectors, mut metadata, mut ttl) = (None, None, None, None);
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let name = field.name().as_str();
            let repeated = match name {
                "id" => id.replace(Text::of(name, column)?).is_some(),
                "values" | "vector" => vectors.replace(Vectors::of(name, column)?).is_some(),
                "metadata" => metadata.replace(Text::of(name, column)?).is_some(),
                "ttl_seconds" => ttl.replace(integers(name, column)?).is_some(),
                _ => {
                    let message = "unknown column; the columns are id, values, metadata, ttl_seconds".into();
                    return Err(Error::WrongShape { field: shorten(name.into()), message });
                }
            };
            if repeated {
                return Err(Error::WrongShape {
                    field: name.into(),
                    message: "the column is given twice".into(),
                });
            }
        }
        let missing =
            |name: &str| Error::WrongShape { field: name.into(), message: "the column is missing".into() };
        let id = id.ok_or_else(|| missing("id"))?;
        let vectors = vectors.ok_or_else(|| missing("values"))?;
        Ok(Self { id, vectors, metadata, ttl })
    }

    fn vector(&self, row: usize, rows: &mut RowsBuilder<'_>) -> Result<()> {
        let Some(values) = self.vectors.get(row) else {
            rows.without_vector();
            return Ok(());
        };
        if values.null_count() > 0 {
            return Err(null(rows.path("values")));
        }
        match values.data_type() {
            DataType::Float32 => rows.push_values(values.as_primitive::<Float32Type>().values()),
            DataType::Float16 => {
                let values = values.as_primitive::<Float16Type>().values();
                values.iter().try_for_each(|value| rows.push_value(value.to_f32()))
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a value out of range becomes infinite: refused"
            )]
            _ => {
                let values = values.as_primitive::<Float64Type>().values();
                values.iter().try_for_each(|&value| rows.push_value(value as f32))
            }
        }
    }

    fn ttl(&self, row: usize, rows: &RowsBuilder<'_>) -> Result<Option<Duration>> {
        let Some(column) = self.ttl.as_ref().filter(|column| column.is_valid(row)) else { return Ok(None) };
        // A negative number becomes 0, which is refused.
        let seconds = match column.data_type() {
            DataType::Int8 => column.as_primitive::<Int8Type>().value(row).try_into(),
            DataType::Int16 => column.as_primitive::<Int16Type>().value(row).try_into(),
            DataType::Int32 => column.as_primitive::<Int32Type>().value(row).try_into(),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).try_into(),
            DataType::UInt8 => Ok(column.as_primitive::<UInt8Type>().value(row).into()),
            DataType::UInt16 => Ok(column.as_primitive::<UInt16Type>().value(row).into()),
            DataType::UInt32 => Ok(column.as_primitive::<UInt32Type>().value(row).into()),
            _ => Ok(column.as_primitive::<UInt64Type>().value(row)),
        };
        ttl(|| rows.path("ttl_seconds"), seconds.unwrap_or(0)).map(Some)
    }
}

fn wrong_type(name: &str, column: &ArrayRef, wanted: &str) -> Error {
    let message = format!("the column is {}, but must be {wanted}", column.data_type());
    Error::WrongShape { field: name.into(), message: shorten(message) }
}

fn integers(name: &str, column: &ArrayRef) -> Result<ArrayRef> {
    if column.data_type().is_integer() {
        return Ok(column.clone());
    }
    Err(wrong_type(name, column, "an integer"))
}

/// A column of text in any of Arrow's layouts.
enum Text<'a> {
    Utf8(&'a arrow_array::StringArray),
    LargeUtf8(&'a arrow_array::LargeStringArray),
    Utf8View(&'a arrow_array::StringViewArray),
}

impl<'a> Text<'a> {
    fn of(name: &str, column: &'a ArrayRef) -> Result<Self> {
        match column.data_type() {
            DataType::Utf8 => Ok(Self::Utf8(column.as_string())),
            DataType::LargeUtf8 => Ok(Self::LargeUtf8(column.as_string())),
            DataType::Utf8View => Ok(Self::Utf8View(column.as_string_view())),
            _ => Err(wrong_type(name, column, "utf8, large_utf8 or utf8_view")),
        }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        fn valid<'a>(array: impl ArrayAccessor<Item = &'a str>, row: usize) -> Option<&'a str> {
            array.is_valid(row).then(|| array.value(row))
        }
        match *self {
            Self::Utf8(array) => valid(array, row),
            Self::LargeUtf8(array) => valid(array, row),
            Self::Utf8View(array) => valid(array, row),
        }
    }
}

/// A column of vectors in any of Arrow's list layouts; a null is a row without one.
enum Vectors<'a> {
    /// No row has one.
    None,
    Fixed(&'a FixedSizeListArray),
    List(&'a GenericListArray<i32>),
    LargeList(&'a GenericListArray<i64>),
}

impl<'a> Vectors<'a> {
    fn of(name: &str, column: &'a ArrayRef) -> Result<Self> {
        let (vectors, item) = match column.data_type() {
            DataType::Null => return Ok(Self::None),
            DataType::FixedSizeList(item, _) => (Self::Fixed(column.as_fixed_size_list()), item),
            DataType::List(item) => (Self::List(column.as_list()), item),
            DataType::LargeList(item) => (Self::LargeList(column.as_list()), item),
            _ => return Err(wrong_type(name, column, "a list or fixed-size list of floats")),
        };
        match item.data_type() {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Ok(vectors),
            _ => Err(wrong_type(name, column, "a list of float16, float32 or float64")),
        }
    }

    fn get(&self, row: usize) -> Option<ArrayRef> {
        fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>, row: usize) -> Option<ArrayRef> {
            array.is_valid(row).then(|| array.value(row))
        }
        match self {
            Self::None => None,
            Self::Fixed(array) => array.is_valid(row).then(|| array.value(row)),
            Self::List(array) => list(array, row),
            Self::LargeList(array) => list(array, row),
        }
    }
}

#[cfg(test)]
mod tests;
