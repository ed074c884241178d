//! Arrow IPC, as `quiver import` and the API's Arrow bodies take it.

use std::{
    io::{self, Write},
    sync::Arc,
};

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use super::{RowWriter, ttl_seconds};
use crate::{
    cli::vectors::{vector_column, vector_type},
    clock::Timestamp,
    engine::Page,
};

/// Columns id, values, metadata (JSON text) and ttl_seconds.
pub(super) struct ArrowWriter {
    schema: SchemaRef,
    dimension: usize,
    out: Out,
}

enum Out {
    File(FileWriter<Box<dyn Write>>),
    Stream(StreamWriter<Box<dyn Write>>),
}

impl ArrowWriter {
    pub fn new(out: Box<dyn Write>, dimension: usize, is_stream: bool) -> io::Result<Self> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("values", vector_type(dimension), true),
            Field::new("metadata", DataType::Utf8, true),
            Field::new("ttl_seconds", DataType::UInt64, true),
        ]));
        let out = match is_stream {
            true => Out::Stream(StreamWriter::try_new(out, &schema).map_err(to_io)?),
            false => Out::File(FileWriter::try_new(out, &schema).map_err(to_io)?),
        };
        Ok(Self { schema, dimension, out })
    }

    fn batch(&self, page: &Page, now: Timestamp) -> Result<RecordBatch, ArrowError> {
        let rows = &page.rows;
        let ids: StringArray = rows.iter().map(|row| Some(row.id.as_str())).collect();
        let vectors = vector_column(self.dimension, rows.iter().map(|row| row.vector.as_deref()))?;
        let metadata: StringArray = rows.iter().map(|row| row.metadata.as_deref()).collect();
        let ttl: UInt64Array = rows.iter().map(|row| ttl_seconds(row.expires_at, now)).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(ids), vectors, Arc::new(metadata), Arc::new(ttl)];
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

impl RowWriter for ArrowWriter {
    fn write(&mut self, page: &Page, now: Timestamp) -> io::Result<()> {
        if page.rows.is_empty() {
            return Ok(());
        }
        let batch = self.batch(page, now).map_err(to_io)?;
        match &mut self.out {
            Out::File(out) => out.write(&batch),
            Out::Stream(out) => out.write(&batch),
        }
        .map_err(to_io)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let mut out = match self.out {
            Out::File(out) => out.into_inner(),
            Out::Stream(out) => out.into_inner(),
        }
        .map_err(to_io)?;
        out.flush()
    }
}

/// The kind must survive: a broken pipe is no failure.
fn to_io(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => io::Error::other(error),
    }
}
