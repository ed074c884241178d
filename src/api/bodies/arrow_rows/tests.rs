use std::sync::Arc;

use arrow_array::{
    Float32Array, Int32Array, Int64Array, LargeStringArray, StringArray, StringViewArray, UInt8Array,
    builder::{FixedSizeListBuilder, Float32Builder, Float64Builder, LargeListBuilder, ListBuilder},
};
use arrow_ipc::{
    CompressionType,
    writer::{IpcWriteOptions, StreamWriter},
};
use arrow_schema::{Field, Schema};
use proptest::prelude::*;

use super::*;

fn fixed(rows: &[&[f32]], dimension: i32) -> ArrayRef {
    let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), dimension);
    for row in rows {
        builder.values().append_slice(row);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn stream_with(columns: &[(&str, ArrayRef)], options: IpcWriteOptions) -> Bytes {
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap().into()
}

fn stream(columns: &[(&str, ArrayRef)]) -> Bytes {
    stream_with(columns, IpcWriteOptions::default())
}

fn ids(ids: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(ids.to_vec()))
}

fn parse_ok(body: &Bytes) -> Rows {
    parse(&LimitsConfig::default(), body).unwrap()
}

#[test]
fn every_column_and_layout() {
    let mut doubles = LargeListBuilder::new(Float64Builder::new());
    doubles.append_value([Some(1.0), Some(2.5)]);
    doubles.append_value([Some(3.0), Some(4.0)]);
    let mut singles = ListBuilder::new(Float32Builder::new());
    singles.append_value([Some(1.0), Some(2.5)]);
    singles.append_value([Some(3.0), Some(4.0)]);
    let metadata = || -> ArrayRef { Arc::new(StringArray::from(vec![Some("{ \"k\" : 1 }"), None])) };
    let forms: [Vec<(&str, ArrayRef)>; 3] = [
        vec![
            ("id", ids(&["a", "b"])),
            ("values", fixed(&[&[1.0, 2.5], &[3.0, 4.0]], 2)),
            ("metadata", metadata()),
            ("ttl_seconds", Arc::new(Int64Array::from(vec![None, Some(60)]))),
        ],
        vec![
            ("ttl_seconds", Arc::new(UInt8Array::from(vec![None, Some(60)]))),
            ("metadata", Arc::new(LargeStringArray::from(vec![Some("{\"k\":1}"), None]))),
            ("vector", Arc::new(doubles.finish())),
            ("id", Arc::new(StringViewArray::from(vec!["a", "b"]))),
        ],
        vec![
            ("id", Arc::new(LargeStringArray::from(vec!["a", "b"]))),
            ("values", Arc::new(singles.finish())),
            ("ttl_seconds", Arc::new(Int32Array::from(vec![None, Some(60)]))),
            ("metadata", metadata()),
        ],
    ];
    for columns in forms {
        let rows = parse_ok(&stream(&columns));
        assert_eq!(rows.ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((rows.dimension, &rows.vectors[..]), (2, &[1.0, 2.5, 3.0, 4.0][..]));
        assert_eq!(rows.metadata, [Some("{\"k\":1}".into()), None]);
        assert_eq!(rows.ttl, [None, Some(Duration::from_secs(60))]);
    }
}

#[test]
fn half_precision_is_widened() {
    let singles = Float32Array::from(vec![0.5_f32, -2.0]);
    let halves = arrow_cast::cast(&singles, &DataType::Float16).unwrap();
    let item = Arc::new(Field::new("item", DataType::Float16, false));
    let vectors = FixedSizeListArray::new(item, 2, halves, None);
    let rows = parse_ok(&stream(&[("id", ids(&["a"])), ("values", Arc::new(vectors))]));
    assert_eq!(rows.vectors, [0.5, -2.0]);
}

#[test]
fn what_is_wrong_is_named() {
    let values = || fixed(&[&[1.0, 2.0], &[3.0, 4.0]], 2);
    let two = || ids(&["a", "b"]);
    let text = |texts: [Option<&str>; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let numbers = |numbers: [i64; 2]| -> ArrayRef { Arc::new(Int64Array::from(numbers.to_vec())) };
    let cases: Vec<(Vec<(&str, ArrayRef)>, &str)> = vec![
        (vec![("id", two())], "values: the column is missing"),
        (vec![("values", values())], "id: the column is missing"),
        (vec![("id", two()), ("values", values()), ("text", two())], "text: unknown column"),
        (
            vec![("id", two()), ("values", values()), ("vector", values())],
            "vector: the column is given twice",
        ),
        (vec![("id", numbers([1, 2])), ("values", values())], "id: the column is Int64, but must be utf8"),
        (vec![("id", two()), ("values", numbers([1, 2]))], "values: the column is Int64, but must be a list"),
        (
            vec![("id", two()), ("values", values()), ("ttl_seconds", two())],
            "ttl_seconds: the column is Utf8",
        ),
        (vec![("id", text([Some("a"), None])), ("values", values())], "rows[1].id: must not be null"),
        (
            vec![("id", two()), ("values", fixed(&[&[1.0, 2.0], &[3.0, f32::NAN]], 2))],
            "rows[1].values[1]: must be a finite",
        ),
        (
            vec![("id", two()), ("values", values()), ("ttl_seconds", numbers([1, 0]))],
            "rows[1].ttl_seconds: must",
        ),
        (
            vec![("id", two()), ("values", values()), ("ttl_seconds", numbers([1, -5]))],
            "rows[1].ttl_seconds: must",
        ),
        (
            vec![("id", two()), ("values", values()), ("metadata", text([None, Some("{\"a\":")]))],
            "rows[1].metadata: malformed JSON",
        ),
        (
            vec![("id", two()), ("values", values()), ("metadata", text([None, Some("[1]")]))],
            "rows[1].metadata: metadata must be an object",
        ),
    ];
    for (columns, starts) in cases {
        let error = parse(&LimitsConfig::default(), &stream(&columns)).unwrap_err();
        assert!(error.to_string().starts_with(starts), "{error}");
    }
    let limits = LimitsConfig { batch_rows: 1, ..LimitsConfig::default() };
    let error = parse(&limits, &stream(&[("id", two()), ("values", values())])).unwrap_err();
    assert_eq!(error.to_string(), "rows: 2 is over the limit limits.batch_rows = 1");
}

#[test]
fn a_null_value_is_refused_and_a_null_vector_is_none() {
    let mut lists = ListBuilder::new(Float32Builder::new());
    lists.append_value([Some(1.0), None]);
    let column: ArrayRef = Arc::new(lists.finish());
    let error =
        parse(&LimitsConfig::default(), &stream(&[("id", ids(&["a"])), ("values", column)])).unwrap_err();
    assert_eq!(error.to_string(), "rows[0].values: must not be null");
    let mut lists = ListBuilder::new(Float32Builder::new());
    lists.append_null();
    let column: ArrayRef = Arc::new(lists.finish());
    let rows = parse(&LimitsConfig::default(), &stream(&[("id", ids(&["a"])), ("values", column)])).unwrap();
    assert_eq!((rows.dimension, &rows.without_vector[..]), (0, &[0][..]));
}

#[test]
fn compressed_buffers_are_refused_before_they_are_decompressed() {
    for codec in [CompressionType::ZSTD, CompressionType::LZ4_FRAME] {
        let options = IpcWriteOptions::default().try_with_compression(Some(codec)).unwrap();
        let body = stream_with(&[("id", ids(&["a"])), ("values", fixed(&[&[0.0; 64]], 64))], options);
        let error = parse(&LimitsConfig::default(), &body).unwrap_err();
        assert!(error.to_string().contains("compressed Arrow buffers"), "{error}");
    }
}

fn sample() -> Bytes {
    stream(&[
        ("id", ids(&["a", "bb", "ccc"])),
        ("values", fixed(&[&[1.0, 2.0], &[3.0, 4.0], &[5.0, 6.0]], 2)),
        ("metadata", Arc::new(StringArray::from(vec![Some("{\"k\":1}"), None, Some("{}")]))),
        ("ttl_seconds", Arc::new(Int64Array::from(vec![None, Some(60), None]))),
    ])
}

#[test]
fn a_stream_that_is_cut_short_is_refused() {
    let whole = sample();
    let end_marker = 8;
    for length in 0..whole.len() - end_marker {
        let rows = parse(&LimitsConfig::default(), &whole.slice(..length));
        // Without its end marker, a stream of a schema alone is an empty batch.
        assert!(rows.is_err() || rows.is_ok_and(|rows| rows.is_empty()), "cut at {length}");
    }
}

#[test]
fn a_claimed_length_reserves_nothing() {
    let whole = sample();
    for at in (0..whole.len() - 8).step_by(4) {
        for claim in
            [[0xff; 8], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0, 0, 0, 0x40, 0, 0, 0, 0]]
        {
            let mut bytes = whole.to_vec();
            bytes[at..at + 8].copy_from_slice(&claim);
            let _ = parse_unguarded(&LimitsConfig::default(), &bytes.into());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Arrow's reader does panic on some of these; no panic gets out.
    #[test]
    fn damage_is_refused_or_read_and_nothing_else(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
    ) {
        let mut bytes = sample().to_vec();
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = parse(&LimitsConfig::default(), &bytes.into());
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(&LimitsConfig::default(), &bytes.into()).is_err());
    }
}
