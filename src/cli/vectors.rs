//! Vectors as a column of Arrow, in files that are exported and in what is sent to a server.

use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, NullArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DataType, Field};

/// The type of the column: without a dimension there is nothing but nulls.
pub(super) fn vector_type(dimension: usize) -> DataType {
    match i32::try_from(dimension).unwrap_or(i32::MAX) {
        0 => DataType::Null,
        dimension => DataType::FixedSizeList(item(), dimension),
    }
}

/// The column of some rows; a row without a vector has a null there.
///
/// # Errors
/// If a vector has another dimension: the namespace got its first vectors, or was made anew, since that was asked.
pub(super) fn vector_column<'a>(
    dimension: usize,
    vectors: impl Iterator<Item = Option<&'a [f32]>>,
) -> Result<ArrayRef, ArrowError> {
    let vectors: Vec<Option<&[f32]>> = vectors.collect();
    if let Some(other) = vectors.iter().flatten().find(|vector| vector.len() != dimension) {
        let message = format!("a vector has dimension {}, and the file {dimension}", other.len());
        return Err(ArrowError::InvalidArgumentError(message));
    }
    let DataType::FixedSizeList(item, size) = vector_type(dimension) else {
        return Ok(Arc::new(NullArray::new(vectors.len())));
    };
    let nulls = NullBuffer::from_iter(vectors.iter().map(Option::is_some));
    let mut values = Vec::with_capacity(vectors.len() * dimension);
    for vector in vectors {
        let end = values.len() + dimension;
        values.extend_from_slice(vector.unwrap_or_default());
        values.resize(end, 0.0);
    }
    let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
    Ok(Arc::new(FixedSizeListArray::try_new(item, size, Arc::new(Float32Array::from(values)), nulls)?))
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}
