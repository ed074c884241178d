use std::{io::Write, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use bytesize::ByteSize;
use futures::{SinkExt, channel::mpsc};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::Server;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[track_caller]
fn crossed(error: &Value, field: &str, limit: &str, max: u64, actual: u64) {
    let expected = json!({"field": field, "limit": limit, "max": max, "actual": actual});
    assert_eq!(error["details"], expected, "{error}");
}

#[tokio::test]
async fn every_limit_on_rows_is_answered_with_its_name_and_value() {
    let server = Server::with(|config| {
        config.limits.dimension = 3;
        config.limits.batch_rows = 2;
        config.limits.id_bytes = 4;
        config.limits.metadata_bytes = 10;
    });
    let upsert = |rows: Value| server.post("/v1/namespaces/ns/vectors", json!({ "vectors": rows }));
    let row = |id: &str| json!({"id": id, "values": [1, 2, 3], "metadata": {"k": "01"}});
    upsert(json!([row("abcd"), row("b")])).await.ok();

    let error = upsert(json!([row("a"), row("b"), row("c")])).await.error(400, "LIMIT_EXCEEDED");
    crossed(&error, "vectors", "limits.batch_rows", 2, 3);
    let error = upsert(json!([row("a"), row("éée")])).await.error(400, "LIMIT_EXCEEDED");
    crossed(&error, "vectors[1].id", "limits.id_bytes", 4, 5);
    let error = upsert(json!([{"id": "a", "values": [1, 2, 3, 4]}])).await.error(400, "LIMIT_EXCEEDED");
    crossed(&error, "vectors[0].values", "limits.dimension", 3, 4);
    let long = json!([{"id": "a", "values": [1], "metadata": {"k": "012345"}}]);
    let error = upsert(long).await.error(400, "LIMIT_EXCEEDED");
    crossed(&error, "vectors[0].metadata", "limits.metadata_bytes", 10, 14);

    let columns = json!({"ids": ["a", "b", "c"], "vectors": [[1], [1], [1]]});
    let error = server.post("/v1/namespaces/ns/upsert-columns", columns).await.error(400, "LIMIT_EXCEEDED");
    crossed(&error, "ids", "limits.batch_rows", 2, 3);
    for path in ["fetch", "vectors/delete"] {
        let path = format!("/v1/namespaces/ns/{path}");
        let error = server.post(&path, json!({"ids": ["a", "b", "c"]})).await.error(400, "LIMIT_EXCEEDED");
        crossed(&error, "ids", "limits.batch_rows", 2, 3);
        let error = server.post(&path, json!({"ids": ["a", "abcde"]})).await.error(400, "LIMIT_EXCEEDED");
        crossed(&error, "ids[1]", "limits.id_bytes", 4, 5);
    }
    for method in ["GET", "DELETE"] {
        let answer = server.call(method, "/v1/namespaces/ns/vectors/abcde", "", &[]).await;
        crossed(&answer.error(400, "LIMIT_EXCEEDED"), "id", "limits.id_bytes", 4, 5);
    }
    assert_eq!(server.count("ns").await, 2, "what was refused left nothing");
}

#[tokio::test]
async fn every_limit_on_reads_is_answered_with_its_name_and_value() {
    let server = Server::with(|config| {
        config.limits.dimension = 3;
        config.limits.top_k = 5;
        config.limits.batch_rows = 2;
        config.limits.batch_results = 7;
        config.limits.page_rows = 4;
    });
    server.upsert("ns", json!([{"id": "a", "values": [1]}])).await;
    let query = |body| server.post("/v1/namespaces/ns/query", body);
    let error = query(json!({"vector": [1], "top_k": 6})).await.error(400, "LIMIT_EXCEEDED");
    crossed(&error, "top_k", "limits.top_k", 5, 6);
    let error = query(json!({"vector": [1, 2, 3, 4]})).await.error(400, "LIMIT_EXCEEDED");
    crossed(&error, "vector", "limits.dimension", 3, 4);

    let batch = |top_ks: &[u64]| {
        let queries: Vec<_> = top_ks.iter().map(|top_k| json!({"vector": [1], "top_k": top_k})).collect();
        server.post("/v1/namespaces/ns/batch-query", json!({ "queries": queries }))
    };
    batch(&[5, 2]).await.ok();
    crossed(&batch(&[1, 1, 1]).await.error(400, "LIMIT_EXCEEDED"), "queries", "limits.batch_rows", 2, 3);
    crossed(&batch(&[1, 6]).await.error(400, "LIMIT_EXCEEDED"), "queries[1].top_k", "limits.top_k", 5, 6);
    crossed(&batch(&[5, 3]).await.error(400, "LIMIT_EXCEEDED"), "queries", "limits.batch_results", 7, 8);

    for path in ["/v1/namespaces?limit=5", "/v1/namespaces/ns/vectors?limit=5"] {
        crossed(&server.get(path).await.error(400, "LIMIT_EXCEEDED"), "limit", "limits.page_rows", 4, 5);
    }
    let export = server.post("/v1/namespaces/ns/export", json!({"limit": 5})).await;
    crossed(&export.error(400, "LIMIT_EXCEEDED"), "limit", "limits.page_rows", 4, 5);
    for path in
        ["/v1/namespaces?limit=0", "/v1/namespaces/ns/vectors?limit=0", "/v1/namespaces/ns/vectors?limit=-1"]
    {
        assert_eq!(server.get(path).await.error(400, "INVALID_REQUEST")["details"]["field"], "limit");
    }
    for path in ["/v1/namespaces?cursor=*", "/v1/namespaces/ns/vectors?cursor=%FF"] {
        assert_eq!(server.get(path).await.error(400, "INVALID_REQUEST")["details"]["field"], "cursor");
    }
}

/// Rows of 5 bytes, 3 of them fit: pages end early and lose nothing, the rest is refused.
#[tokio::test]
async fn an_answer_with_too_many_bytes_is_cut_or_refused() {
    let server = Server::with(|config| config.limits.answer_bytes = ByteSize::b(17));
    let rows: Vec<_> = (0..8).map(|id| json!({"id": id.to_string(), "values": [id]})).collect();
    server.upsert("ns", json!(rows)).await;
    let (mut cursor, mut pages) = (Value::Null, Vec::new());
    while pages.is_empty() || !cursor.is_null() {
        let page = server.post("/v1/namespaces/ns/export", json!({ "cursor": cursor })).await.ok();
        let ids =
            page["vectors"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        pages.push(ids.collect::<Vec<_>>());
        cursor = page["next_cursor"].clone();
    }
    assert_eq!(pages, [vec!["0", "1", "2"], vec!["3", "4", "5"], vec!["6", "7"]]);

    let query = |top_k: u64| json!({"vector": [1], "top_k": top_k, "include_vectors": true});
    let fetch = |count: u64| json!({"ids": (0..count).map(|id| id.to_string()).collect::<Vec<_>>()});
    let batch = |top_k: u64| json!({"queries": [query(1), query(top_k)]});
    for (path, fits, over) in
        [("query", query(3), query(4)), ("fetch", fetch(3), fetch(4)), ("batch-query", batch(2), batch(3))]
    {
        let path = format!("/v1/namespaces/ns/{path}");
        server.post(&path, fits).await.ok();
        let error = server.post(&path, over).await.error(400, "LIMIT_EXCEEDED");
        assert_eq!(error["details"], json!({"limit": "limits.answer_bytes", "max": 17}));
    }
    let lean = json!({"vector": [1], "top_k": 8});
    assert_eq!(
        server.post("/v1/namespaces/ns/query", lean).await.ok()["results"].as_array().unwrap().len(),
        8
    );

    let tiny = Server::with(|config| config.limits.answer_bytes = ByteSize::b(1));
    tiny.upsert("ns", json!(rows)).await;
    let page = tiny.post("/v1/namespaces/ns/export", json!({})).await.ok();
    assert_eq!(page["returned_count"], 1, "a page gets on by a row at least");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length() {
    let server = Server::with(|config| config.limits.body_bytes = ByteSize::b(100));
    let body = |length: usize| {
        let text = json!({"vectors": [{"id": "a", "values": [1]}]}).to_string();
        format!("{text}{}", " ".repeat(length - text.len()))
    };
    let path = "/v1/namespaces/ns/vectors";
    server.call("POST", path, body(100), JSON).await.ok();
    let streamed =
        |text: String| Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(text))]));
    server.call("POST", path, streamed(body(100)), JSON).await.ok();

    let length = [("content-type", "application/json"), ("content-length", "101")];
    for (over, headers) in [(Body::from(body(101)), &length[..]), (streamed(body(101)), JSON)] {
        let error = server.call("POST", path, over, headers).await.error(413, "PAYLOAD_TOO_LARGE");
        assert_eq!(error["details"], json!({"limit": "limits.body_bytes", "max": 100}));
    }
    let lines = [("content-type", "application/x-ndjson")];
    server.call("POST", path, body(101), &lines).await.error(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_small_body_that_inflates_is_stopped_at_the_limit() {
    let server = Server::with(|config| config.limits.body_bytes = ByteSize::mib(1));
    let zeros = vec![b' '; 256 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::bulk::compress(&zeros, 19).unwrap();
    drop(zeros);
    assert!(gzip.len() < 1 << 20 && zstd.len() < 1 << 20);
    for (encoding, bomb) in [("gzip", gzip), ("zstd", zstd)] {
        for content_type in
            ["application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"]
        {
            let headers = [("content-type", content_type), ("content-encoding", encoding)];
            let answer = server.call("POST", "/v1/namespaces/ns/vectors", bomb.clone(), &headers).await;
            answer.error(413, "PAYLOAD_TOO_LARGE");
        }
    }
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up() {
    let server = Server::with(|config| config.server.body_read_timeout = Duration::from_millis(50));
    let (mut sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    sender.send(Ok(Bytes::from_static(b"{\"vectors\":["))).await.unwrap();
    let answer = server.call("POST", "/v1/namespaces/ns/vectors", Body::from_stream(receiver), JSON).await;
    answer.error(408, "REQUEST_TIMEOUT");
    drop(sender);
}

#[tokio::test]
async fn a_body_that_makes_progress_may_take_its_time() {
    let server = Server::with(|config| {
        config.server.body_read_timeout = Duration::from_secs(5);
        config.server.request_timeout = Duration::from_millis(100);
    });
    let text = json!({"vectors": [{"id": "a", "values": [1]}]}).to_string();
    let pieces = futures::stream::unfold(text.into_bytes(), |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let piece = Bytes::from(vec![rest.remove(0)]);
        Some((Ok::<_, std::io::Error>(piece), rest))
    });
    server.call("POST", "/v1/namespaces/ns/vectors", Body::from_stream(pieces), JSON).await.ok();
}

#[tokio::test]
async fn one_request_too_many_is_told_to_come_back_and_health_is_not() {
    let server = Server::with(|config| config.server.max_concurrent_requests = 1);
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let held = Request::post("/v1/namespaces/ns/vectors").header("content-type", "application/json");
    let held = held.body(Body::from_stream(receiver)).unwrap();
    let router = server.router.clone();
    let held = tokio::spawn(async move { tower::ServiceExt::oneshot(router, held).await.unwrap() });
    while server.metric("quiver_http_requests_in_flight") != Some(1.0) {
        tokio::task::yield_now().await;
    }

    let answer = server.get("/v1/namespaces").await;
    let error = answer.error(503, "SERVICE_UNAVAILABLE");
    assert_eq!(error["details"], json!({"limit": "server.max_concurrent_requests", "max": 1}));
    assert_eq!(answer.header("retry-after"), Some("1"));
    for path in ["/health", "/health/live", "/health/ready", "/metrics"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }

    drop(sender);
    assert_eq!(held.await.unwrap().status(), 400);
    server.get("/v1/namespaces").await.ok();
}

/// Over a real connection, and with a client that reads only when it has sent everything: closed
/// before that, it would get a broken pipe instead of the answer.
#[tokio::test]
async fn a_client_that_sends_too_much_is_told_and_not_cut_off() {
    let server = Server::with(|config| config.limits.body_bytes = ByteSize::mib(1));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, server.router.clone()).into_future());
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/namespaces/ns/vectors HTTP/1.1\r\nHost: test\r\n\
                Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // More than the buffers of a connection hold.
    let piece = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..192 {
        stream.write_all(&piece).await.expect("not cut off");
    }
    stream.write_all(b"0\r\n\r\n").await.expect("not cut off");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
    serving.abort();
}
