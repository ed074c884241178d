use std::{io::Write, sync::Arc};

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field};
use axum::body::Body;
use serde_json::{Value, json};

use crate::support::{Answer, Server};

const PATH: &str = "/v1/namespaces/ns/vectors";

fn arrow_body() -> Vec<u8> {
    let values = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0]));
    let vectors =
        FixedSizeListArray::new(Arc::new(Field::new("item", DataType::Float32, true)), 2, values, None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("values", Arc::new(vectors)),
        ("metadata", Arc::new(StringArray::from(vec![Some("{ \"n\" : 1 }"), None]))),
        ("ttl_seconds", Arc::new(Int64Array::from(vec![None, Some(60)]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn json_body() -> Vec<u8> {
    let rows = json!([
        {"id": "a", "values": [1, 2], "metadata": {"n": 1}},
        {"id": "b", "values": [3, 4], "ttl_seconds": 60}
    ]);
    json!({ "vectors": rows }).to_string().into_bytes()
}

fn ndjson_body() -> Vec<u8> {
    b"{\"id\":\"a\",\"values\":[1,2],\"metadata\":{\"n\":1}}\n{\"ttl_seconds\":60,\"id\":\"b\",\"values\":[3,4]}\n".to_vec()
}

fn forms() -> [(&'static str, Vec<u8>); 5] {
    [
        ("application/json", json_body()),
        ("application/json; charset=utf-8", json_body()),
        ("application/vnd.quiver+json", json_body()),
        ("application/x-ndjson", ndjson_body()),
        ("application/vnd.apache.arrow.stream", arrow_body()),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut text).unwrap();
    text
}

async fn send(server: &Server, content_type: &str, encoding: Option<&str>, body: Vec<u8>) -> Answer {
    let mut headers = vec![("content-type", content_type)];
    headers.extend(encoding.map(|encoding| ("content-encoding", encoding)));
    server.call("POST", PATH, body, &headers).await
}

#[tokio::test]
async fn every_form_and_encoding_means_the_same_rows() {
    for (content_type, body) in forms() {
        let zstd = zstd::bulk::compress(&body, 3).unwrap();
        for (encoding, body) in [
            (None, body.clone()),
            (Some("identity"), body.clone()),
            (Some("gzip"), gzip(&body)),
            (Some("GZIP"), gzip(&body)),
            (Some("zstd"), zstd),
        ] {
            let server = Server::new();
            let done = send(&server, content_type, encoding, body).await.ok();
            assert_eq!(
                done,
                json!({"upserted_count": 2, "inserted_count": 2}),
                "{content_type} {encoding:?}"
            );
            let rows = server.get(PATH).await.ok();
            let row = |n: usize| rows["vectors"][n].clone();
            assert_eq!((&row(0)["id"], &row(0)["values"]), (&json!("a"), &json!([1.0, 2.0])));
            assert_eq!((&row(0)["metadata"], &row(0)["ttl_seconds"]), (&json!({"n": 1}), &json!(null)));
            assert_eq!((&row(1)["metadata"], &row(1)["ttl_seconds"]), (&json!(null), &json!(60)));
        }
    }
}

#[tokio::test]
async fn json_needs_no_content_type_and_forms_are_refused() {
    let server = Server::new();
    server.call("POST", PATH, json_body(), &[]).await.ok();
    for bad in
        ["application/x-www-form-urlencoded", "text/plain", "application/vnd.apache.arrow.file", "", "json"]
    {
        let error = send(&server, bad, None, json_body()).await.error(415, "UNSUPPORTED_MEDIA_TYPE");
        assert!(error["details"]["accepted"].as_str().unwrap().contains("application/x-ndjson"), "{error}");
        let query = server.call("POST", "/v1/namespaces/ns/query", "{}", &[("content-type", bad)]).await;
        query.error(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[tokio::test]
async fn unknown_encodings_and_damaged_bodies_are_refused() {
    let server = Server::new();
    for bad in ["br", "deflate", "gzip, gzip", "x"] {
        let error = send(&server, "application/json", Some(bad), json_body())
            .await
            .error(415, "UNSUPPORTED_MEDIA_TYPE");
        assert_eq!(error["details"]["accepted"], "gzip, zstd, identity");
    }
    let mut damaged = gzip(&json_body());
    damaged.truncate(damaged.len() / 2);
    let zstd = zstd::bulk::compress(&json_body(), 3).unwrap();
    for (encoding, body) in [
        ("gzip", json_body()),
        ("gzip", damaged),
        ("zstd", json_body()),
        ("zstd", zstd[..zstd.len() / 2].to_vec()),
    ] {
        let error =
            send(&server, "application/json", Some(encoding), body).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], "body");
    }
    server.get("/v1/namespaces/ns").await.error(404, "NAMESPACE_NOT_FOUND");
}

#[tokio::test]
async fn what_is_wrong_in_a_body_is_named() {
    let server = Server::new();
    for (body, status, code, field) in [
        (r#"{"vectors":[{"id":"a","values":[1,2"#, 400, "INVALID_REQUEST", "body"),
        ("", 400, "INVALID_REQUEST", "body"),
        (r#"{"vectors":[{"id":"a","values":[1,NaN]}]}"#, 400, "INVALID_REQUEST", "body"),
        (r#"{"vectors":[{"id":"a","values":[1,1e999]}]}"#, 400, "INVALID_REQUEST", "body"),
        (r#"{"vectors":[{"id":"a","values":[1,-1e39]}]}"#, 400, "INVALID_REQUEST", "vectors[0].values[1]"),
        (r#"{"vectors":[{"id":"a","values":[]}]}"#, 400, "EMPTY_VECTOR", "vectors[0].values"),
        (
            r#"{"vectors":[{"id":"a","values":[1]},{"id":"b","values":[1,2]}]}"#,
            400,
            "DIMENSION_MISMATCH",
            "vectors[1].values",
        ),
        (
            r#"{"vectors":[{"id":"a","values":[1],"metadata":3}]}"#,
            422,
            "UNPROCESSABLE_CONTENT",
            "vectors[0].metadata",
        ),
        (
            r#"{"vectors":[{"id":"a","values":[1],"metadata":{"a":"\ud800"}}]}"#,
            400,
            "INVALID_REQUEST",
            "vectors[0].metadata",
        ),
        (
            r#"{"vectors":[{"id":"a","values":[1],"color":3}]}"#,
            422,
            "UNPROCESSABLE_CONTENT",
            "vectors[0].color",
        ),
        ("[[]]", 422, "UNPROCESSABLE_CONTENT", "body"),
        (r#"{"rows":[]}"#, 422, "UNPROCESSABLE_CONTENT", "rows"),
    ] {
        let error = send(&server, "application/json", None, body.into()).await.error(status, code);
        assert_eq!(error["details"]["field"], field, "{body}: {error}");
    }
    let deep = format!(r#"{{"vectors":{}"#, "[".repeat(200_000));
    let error = send(&server, "application/json", None, deep.into_bytes()).await;
    assert!(matches!(error.status, 400 | 422) && error.body.len() < 1000);
    let error = send(&server, "application/vnd.apache.arrow.stream", None, json_body()).await;
    error.error(400, "INVALID_REQUEST");
    server.get("/v1/namespaces/ns").await.error(404, "NAMESPACE_NOT_FOUND");
}

#[tokio::test]
async fn messages_do_not_grow_with_the_request() {
    let server = Server::new();
    let long = "k".repeat(100_000);
    for (path, body) in [
        ("/v1/namespaces", json!({"name": "a", long.clone(): 1})),
        ("/v1/namespaces", json!({ "name": long })),
        (PATH, json!({"vectors": [{"id": "a", "values": [1], long.clone(): 1}]})),
        (PATH, json!({"vectors": [{"id": "a", "values": long}]})),
        ("/v1/namespaces/ns/query", json!({"vector": [1], "consistency": long})),
    ] {
        let answer = server.post(path, body).await;
        assert!(matches!(answer.status, 400 | 422), "{}", answer.status);
        assert!(answer.body.len() < 2000, "{} bytes", answer.body.len());
    }
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_ask() {
    let server = Server::new();
    let rows: Vec<Value> = (0..200).map(|n| json!({"id": format!("id-{n:04}"), "values": [n, 1]})).collect();
    server.upsert("ns", json!(rows)).await;
    let plain = server.get(PATH).await;
    assert_eq!(plain.header("content-encoding"), None);
    let gzipped = server.call("GET", PATH, Body::empty(), &[("accept-encoding", "gzip")]).await;
    assert_eq!(gzipped.header("content-encoding"), Some("gzip"));
    assert!(gzipped.body.len() * 3 < plain.body.len());
    assert!(gunzip(&gzipped.body) == plain.body);
    let zstd = server.call("GET", PATH, Body::empty(), &[("accept-encoding", "zstd, gzip;q=0.5")]).await;
    assert_eq!(zstd.header("content-encoding"), Some("zstd"));
    assert!(zstd::stream::decode_all(&zstd.body[..]).unwrap() == plain.body);
    let short = server.call("GET", "/health", Body::empty(), &[("accept-encoding", "gzip")]).await;
    assert_eq!(short.header("content-encoding"), None);
}
