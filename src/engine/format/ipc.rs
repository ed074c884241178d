//! What arrow's reader believes of an IPC message and had better not.
//!
//! The reader checks the arrays that it makes, but takes the lengths on the way there as they come: it
//! panics where a buffer reaches out of its message, and allocates what a compressed buffer claims to
//! become. Checksums do not help against whoever can write them, so every message is checked before the
//! reader sees it, whether it comes from a store or from a client.

use std::fmt;

use arrow_ipc::{Message, MessageHeader, RecordBatch, convert::try_fb_to_schema, root_as_message};
use arrow_schema::{DataType, Field, Schema};

const CONTINUATION: &[u8] = &[0xff; 4];
const ENDS: &str = "it ends within a message";
const NO_SCHEMA: &str = "it has no Arrow schema";

/// Why arrow's reader must not see some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Its buffers are compressed: what they become has no bound.
    Compressed,
    /// It breaks the format.
    Malformed(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compressed => f.write_str("its buffers are compressed"),
            Self::Malformed(reason) => f.write_str(reason),
        }
    }
}

/// Checks every message of a stream. What is missing at its end is left to the reader.
pub fn check_stream(stream: &[u8]) -> Result<(), Unreadable> {
    let mut rest = stream;
    let mut schema = None;
    while let Some((message, after)) = next_message(rest)? {
        let body = check(&message, schema.as_ref())?;
        if schema.is_none() {
            schema = Some(schema_in(&message)?);
        }
        rest = after.get(body..).ok_or_else(|| malformed(ENDS))?;
    }
    Ok(())
}

/// The schema of a stream, which is its first message.
pub fn schema_of(stream: &[u8]) -> Result<Schema, Unreadable> {
    let (message, _) = next_message(stream)?.ok_or_else(|| malformed(NO_SCHEMA))?;
    schema_in(&message)
}

/// Checks a record batch of a file: its message, of `metadata` bytes, and its body.
pub fn check_batch(batch: &[u8], metadata: usize, schema: &Schema) -> Result<(), Unreadable> {
    let message = batch.get(..metadata).and_then(|message| message.strip_prefix(CONTINUATION));
    let message = message.and_then(|message| message.get(4..)).ok_or_else(|| malformed(ENDS))?;
    let message = root_as_message(message).map_err(malformed)?;
    if message.header_type() != MessageHeader::RecordBatch {
        return Err(malformed("it has no rows where they should be"));
    }
    if check(&message, Some(schema))? > batch.len() - metadata {
        return Err(malformed(ENDS));
    }
    Ok(())
}

/// The first message of a stream, and what comes after it; nothing at its end.
fn next_message(stream: &[u8]) -> Result<Option<(Message<'_>, &[u8])>, Unreadable> {
    let stream = stream.strip_prefix(CONTINUATION).unwrap_or(stream);
    let Some((length, rest)) = stream.split_first_chunk() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 {
        return Ok(None);
    }
    let (message, rest) = rest.split_at_checked(length).ok_or_else(|| malformed(ENDS))?;
    Ok(Some((root_as_message(message).map_err(malformed)?, rest)))
}

fn schema_in(message: &Message<'_>) -> Result<Schema, Unreadable> {
    let schema = message.header_as_schema().ok_or_else(|| malformed(NO_SCHEMA))?;
    try_fb_to_schema(schema).map_err(malformed)
}

/// Checks what a message says of its body; returns the body's length.
fn check(message: &Message<'_>, schema: Option<&Schema>) -> Result<usize, Unreadable> {
    let body = message.bodyLength();
    if schema.is_some_and(|schema| schema.fields().iter().any(|field| holds_union(field.data_type()))) {
        return Err(malformed("a column is a union"));
    }
    if let Some(dictionary) = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()) {
        check_lengths(&dictionary, body)?;
    }
    if let Some(batch) = message.header_as_record_batch() {
        check_lengths(&batch, body)?;
        check_widths(&batch, schema)?;
    }
    usize::try_from(body).map_err(malformed)
}

fn check_lengths(batch: &RecordBatch<'_>, body: i64) -> Result<(), Unreadable> {
    if batch.compression().is_some() {
        return Err(Unreadable::Compressed);
    }
    let inside = |buffer: &arrow_ipc::Buffer| {
        let end = buffer.offset().checked_add(buffer.length());
        buffer.offset() >= 0 && buffer.length() >= 0 && end.is_some_and(|end| end <= body)
    };
    if !batch.buffers().into_iter().flatten().all(inside) {
        return Err(malformed("a buffer reaches out of its message"));
    }
    // Nothing takes less than a bit, and products of two lengths must not overflow.
    let most = body.saturating_mul(8).min(i64::from(i32::MAX));
    let possible = |node: &arrow_ipc::FieldNode| {
        (0..=most).contains(&node.length()) && (0..=node.length()).contains(&node.null_count())
    };
    if batch.length() < 0 || !batch.nodes().into_iter().flatten().all(possible) {
        return Err(malformed("a length is not possible"));
    }
    Ok(())
}

/// Of unions the reader cuts more from their buffers than there may be.
fn holds_union(column: &DataType) -> bool {
    let holds = |field: &Field| holds_union(field.data_type());
    match column {
        DataType::Union(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| holds(field)),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => holds(item),
        DataType::RunEndEncoded(ends, values) => holds(ends) || holds(values),
        DataType::Dictionary(_, values) => holds_union(values),
        _ => false,
    }
}

/// The reader takes a buffer for an array of numbers, and no part of one may be left.
fn check_widths(batch: &RecordBatch<'_>, schema: Option<&Schema>) -> Result<(), Unreadable> {
    let lengths = batch.buffers().into_iter().flatten().map(arrow_ipc::Buffer::length);
    let most = batch.buffers().map_or(0, |buffers| buffers.len());
    let views = batch.variadicBufferCounts().into_iter().flatten();
    let mut views = views.map(|count| usize::try_from(count).unwrap_or(0).min(most));
    let mut widths = Vec::new();
    for field in schema.into_iter().flat_map(|schema| schema.fields()) {
        if !append_widths(field.data_type(), &mut views, &mut widths) {
            break;
        }
    }
    if lengths.zip(widths).any(|(length, width)| length % width != 0) {
        return Err(malformed("a buffer ends within a number"));
    }
    Ok(())
}

/// Adds the bytes that the elements of the buffers of a column take; returns whether these are known.
fn append_widths(column: &DataType, views: &mut impl Iterator<Item = usize>, widths: &mut Vec<i64>) -> bool {
    match column {
        DataType::Null => {}
        DataType::Boolean => widths.extend([1, 1]),
        DataType::Utf8 | DataType::Binary => widths.extend([1, 4, 1]),
        DataType::LargeUtf8 | DataType::LargeBinary => widths.extend([1, 8, 1]),
        DataType::Utf8View | DataType::BinaryView => {
            widths.extend([1, 16]);
            widths.extend(std::iter::repeat_n(1, views.next().unwrap_or(0)));
        }
        DataType::List(item) | DataType::LargeList(item) => {
            widths.extend([1, if matches!(column, DataType::List(_)) { 4 } else { 8 }]);
            return append_widths(item.data_type(), views, widths);
        }
        DataType::FixedSizeList(item, _) => {
            widths.push(1);
            return append_widths(item.data_type(), views, widths);
        }
        _ => match column.primitive_width() {
            Some(width) => widths.extend([1, width as i64]),
            None => return false,
        },
    }
    true
}

fn malformed(reason: impl fmt::Display) -> Unreadable {
    Unreadable::Malformed(reason.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        Array, ArrayRef, FixedSizeListArray, Float32Array, Int32Array, ListArray, StringArray,
        StringViewArray, UnionArray, types::Float32Type,
    };
    use arrow_buffer::ScalarBuffer;
    use arrow_ipc::{
        CompressionType,
        reader::StreamDecoder,
        writer::{IpcWriteOptions, StreamWriter},
    };

    use arrow_schema::UnionFields;

    use super::*;

    fn stream(options: IpcWriteOptions) -> Vec<u8> {
        let lists = [Some(vec![Some(1.0), None]), None, Some(vec![])];
        let columns: [(&str, ArrayRef); 4] = [
            ("id", Arc::new(StringArray::from(vec!["a", "bb", "ccc"]))),
            ("view", Arc::new(StringViewArray::from(vec!["short", "longer than twelve bytes", ""]))),
            ("value", Arc::new(Float32Array::from(vec![Some(1.0), None, Some(3.0)]))),
            ("list", Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(lists))),
        ];
        let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
        let mut stream = Vec::new();
        let mut writer =
            StreamWriter::try_new_with_options(&mut stream, batch.schema_ref(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        drop(writer);
        stream
    }

    #[test]
    fn what_a_writer_made_passes() {
        let stream = stream(IpcWriteOptions::default());
        check_stream(&stream).unwrap();
        assert_eq!(schema_of(&stream).unwrap().fields().len(), 4);
    }

    #[test]
    fn compressed_buffers_are_refused() {
        for codec in [CompressionType::ZSTD, CompressionType::LZ4_FRAME] {
            let options = IpcWriteOptions::default().try_with_compression(Some(codec)).unwrap();
            assert_eq!(check_stream(&stream(options)), Err(Unreadable::Compressed));
        }
    }

    #[test]
    fn a_body_that_is_not_there_is_refused() {
        let stream = stream(IpcWriteOptions::default());
        assert_eq!(check_stream(&stream[..stream.len() - 9]), Err(malformed(ENDS)));
    }

    #[test]
    fn unions_are_refused_wherever_they_are() {
        let fields = UnionFields::from_fields([Field::new("a", DataType::Int32, true)]);
        let union = UnionArray::try_new(
            fields,
            ScalarBuffer::from(vec![0, 0]),
            None,
            vec![Arc::new(Int32Array::from(vec![1, 2]))],
        );
        let union: ArrayRef = Arc::new(union.unwrap());
        let item = Arc::new(Field::new("item", union.data_type().clone(), true));
        let list: ArrayRef = Arc::new(FixedSizeListArray::try_new(item, 2, union.clone(), None).unwrap());
        for column in [union, list] {
            let batch = arrow_array::RecordBatch::try_from_iter([("values", column)]).unwrap();
            let mut stream = Vec::new();
            let mut writer = StreamWriter::try_new(&mut stream, batch.schema_ref()).unwrap();
            writer.write(&batch).unwrap();
            drop(writer);
            assert_eq!(check_stream(&stream), Err(malformed("a column is a union")));
        }
    }

    /// Without the check the reader panics on some of these, and reserves too much for others.
    #[test]
    fn the_reader_survives_what_passes() {
        let whole = stream(IpcWriteOptions::default());
        let mut passed = 0;
        for at in 0..whole.len() - 8 {
            for claim in [3, 255, 1 << 30, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
                let mut stream = whole.clone();
                stream[at..at + 8].copy_from_slice(&claim.to_le_bytes());
                if check_stream(&stream).is_ok() {
                    passed += 1;
                    let mut buffer = arrow_buffer::Buffer::from(stream);
                    let mut decoder = StreamDecoder::new();
                    while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
                }
            }
        }
        assert!(passed > 100, "{passed}");
    }
}
