use axum::body::Body;
use serde_json::json;

use crate::support::Server;

const OCTETS: &[(&str, &str)] = &[("content-type", "application/octet-stream")];

#[tokio::test]
async fn every_type_round_trips_byte_for_byte() {
    let server = Server::new();
    server.post("/v1/namespaces", json!({"name": "ns"})).await.ok();
    let types = ["hnsw", "pq", "ivf", "spfresh", "fulltext"];
    let bytes = |n: usize| (0..=255_u8).cycle().take(100_000 + n).collect::<Vec<u8>>();
    for (n, index) in types.into_iter().enumerate() {
        let path = format!("/v1/namespaces/ns/indexes/{index}/blob");
        server.get(&path).await.error(404, "INDEX_NOT_FOUND");
        assert_eq!(server.call("HEAD", &path, Body::empty(), &[]).await.status, 404);
        let put = server.call("PUT", &path, bytes(n), OCTETS).await.ok();
        assert_eq!(put, json!({"type": index, "size_bytes": 100_000 + n}));
    }
    for (n, index) in types.into_iter().enumerate() {
        let path = format!("/namespaces/ns/indexes/{index}/blob");
        let got = server.get(&path).await;
        assert_eq!((got.status, got.header("content-type")), (200, Some("application/octet-stream")));
        assert!(got.body == bytes(n), "{index}");
        let head = server.call("HEAD", &path, Body::empty(), &[]).await;
        let length = (100_000 + n).to_string();
        assert_eq!((head.status, head.header("content-length")), (200, Some(length.as_str())));
        assert!(head.body.is_empty());
    }
    let list = server.get("/v1/namespaces/ns/indexes").await.ok();
    let listed: Vec<_> = list["indexes"].as_array().unwrap().iter().map(|index| &index["type"]).collect();
    assert_eq!(listed, types);
    assert_eq!(server.get("/v1/namespaces/ns").await.ok()["index_bytes"], 500_010);

    let path = "/v1/namespaces/ns/indexes/pq/blob";
    server.call("PUT", path, &b""[..], OCTETS).await.ok();
    assert_eq!(server.get(path).await.body.len(), 0, "replaced by an empty one");
    assert_eq!(server.delete(path).await.status, 204);
    server.delete(path).await.error(404, "INDEX_NOT_FOUND");
    server.get(path).await.error(404, "INDEX_NOT_FOUND");
}

#[tokio::test]
async fn an_unknown_type_is_refused_with_the_known_ones() {
    let server = Server::new();
    server.post("/v1/namespaces", json!({"name": "ns"})).await.ok();
    for bad in ["flat", "HNSW", "..%2Fmanifest", "%2E%2E"] {
        for method in ["PUT", "GET", "DELETE"] {
            let path = format!("/v1/namespaces/ns/indexes/{bad}/blob");
            let error = server.call(method, &path, "x", OCTETS).await.error(400, "INVALID_REQUEST");
            let message = error["error"].as_str().unwrap();
            assert!(message.contains("hnsw, pq, ivf, spfresh, fulltext"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_namespace_that_is_not_there_has_no_indexes() {
    let server = Server::new();
    server
        .call("PUT", "/v1/namespaces/ns/indexes/pq/blob", "x", OCTETS)
        .await
        .error(404, "NAMESPACE_NOT_FOUND");
    server.get("/v1/namespaces/ns/indexes").await.error(404, "NAMESPACE_NOT_FOUND");
}

#[tokio::test]
async fn blobs_have_a_limit_of_their_own() {
    let server = Server::with(|config| {
        config.limits.body_bytes = bytesize::ByteSize::b(10);
        config.limits.index_blob_bytes = bytesize::ByteSize::b(20);
    });
    server.call("PUT", "/v1/namespaces/ns", "{}", &[("content-type", "application/json")]).await.ok();
    let path = "/v1/namespaces/ns/indexes/pq/blob";
    server.call("PUT", path, vec![7; 20], OCTETS).await.ok();
    let error = server.call("PUT", path, vec![7; 21], OCTETS).await.error(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(error["details"], json!({"limit": "limits.index_blob_bytes", "max": 20}));
    assert_eq!(server.get(path).await.body.len(), 20);
}
