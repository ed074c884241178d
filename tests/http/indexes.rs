use axum::body::Body;
use serde_json::json;

use crate::support::Server;

const OCTETS: &[(&str, &str)] = &[("content-type", "application/octet-stream")];

#[tokio::test]
async fn every_type_round_trips_byte_for_byte() {
    let server = Server::new();
    server.post("/v1/namespaces", json!({"name": "ns"})).await.ok();
    let types = ["hnsw", "pq", "ivf", "spfresh", "fulltext", "attributes"];
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
    let listed: Vec<_> = list["blobs"].as_array().unwrap().iter().map(|index| &index["type"]).collect();
    assert_eq!(listed, types);
    assert_eq!(server.get("/v1/namespaces/ns").await.ok()["index_bytes"], 600_015);

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
            assert!(message.contains("hnsw, pq, ivf, spfresh, fulltext, attributes"), "{message}");
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

/// 300 rows on a circle, folded; segments of 100 rows have indexes.
async fn with_rows() -> Server {
    let server = Server::with(|config| {
        config.index.min_rows = 100;
        config.compaction.background = false;
    });
    let row = |row: usize| {
        let angle = row as f32 / 300.0 * std::f32::consts::TAU;
        json!({"id": format!("{row:03}"), "values": [angle.cos(), angle.sin(), 0.1]})
    };
    let rows: Vec<_> = (0..300).map(row).collect();
    server.post("/v1/namespaces/ns/vectors", json!({"vectors": rows})).await.ok();
    server
}

#[tokio::test]
async fn an_index_is_there_by_default_and_can_be_changed_and_dropped() {
    let server = with_rows().await;
    let path = "/v1/namespaces/ns/indexes/spfresh";
    let index = server.get(path).await.ok();
    assert_eq!((&index["status"], &index["exact_rows"]), (&json!("ready"), &json!(300)));
    let done = server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    assert_eq!((&done["folds"], &done["indexes"]), (&json!(1), &json!(2)), "vectors and attributes");
    let index = server.get(path).await.ok();
    assert_eq!(index["automatic"], true);
    assert_eq!((&index["indexed_rows"], &index["exact_rows"]), (&json!(300), &json!(0)));
    assert_eq!(index["parameters"]["list_rows"], 64);
    assert!(index["size_bytes"].as_u64().unwrap() > 0);

    let put = server.call("PUT", path, r#"{"list_rows":16,"code_bits":8}"#, &[]).await.ok();
    assert_eq!((&put["status"], &put["automatic"]), (&json!("building"), &json!(false)));
    assert_eq!(put["progress"], 0.0);
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    let list = server.get("/v1/namespaces/ns/indexes").await.ok();
    assert_eq!(list["indexes"].as_array().unwrap().len(), 2);
    assert_eq!(list["indexes"][0]["type"], "attributes");
    assert_eq!(list["indexes"][1]["status"], "ready");
    assert_eq!(
        list["indexes"][1]["parameters"],
        json!({"list_rows": 16, "closure_percent": 10, "code_bits": 8})
    );
    assert_eq!(server.call("HEAD", path, Body::empty(), &[]).await.status, 200);

    assert_eq!(server.delete(path).await.status, 204);
    server.delete(path).await.error(404, "INDEX_NOT_FOUND");
    server.get(path).await.error(404, "INDEX_NOT_FOUND");
    assert_eq!(server.call("HEAD", path, Body::empty(), &[]).await.status, 404);
    let list = server.get("/v1/namespaces/ns/indexes").await.ok();
    assert_eq!((&list["indexes"][0]["type"], &list["indexes"][1]), (&json!("attributes"), &json!(null)));
    let explained = server.post("/v1/namespaces/ns/explain", json!({"vector": [1, 0, 0]})).await.ok();
    assert_eq!(explained["index_selection"][0]["part"], "segment");
    assert!(explained["index_selection"][0].get("index").is_none());
}

#[tokio::test]
async fn filters_are_decided_by_an_index_that_can_be_dropped_and_put_again() {
    let server = Server::with(|config| {
        config.index.min_rows = 100;
        config.compaction.background = false;
    });
    let row = |n: u32| json!({"id": format!("{n:03}"), "values": [n, 1], "metadata": {"n": n, "text": "x".repeat(100)}});
    server.upsert("ns", (0..300).map(row).collect()).await;
    let path = "/v1/namespaces/ns/indexes/attributes";
    let explained = async |filter: serde_json::Value| {
        server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
        let body = json!({"vector": [1, 0], "filter": filter});
        let explained = server.post("/v1/namespaces/ns/explain", body).await.ok();
        let step = explained["index_selection"][0].clone();
        (step["matching_rows"].clone(), step["filtered_by"].clone(), step["metadata_read"].clone())
    };
    let (below, long) = (json!({"n": {"$lt": 7}}), json!({"text": "x".repeat(100), "n": {"$gte": 290}}));
    assert_eq!(explained(below.clone()).await, (json!(7), json!("attributes"), json!(0)));
    assert_eq!(explained(long.clone()).await, (json!(10), json!("attributes"), json!(10)));
    let index = server.get(path).await.ok();
    assert_eq!((&index["status"], &index["automatic"]), (&json!("ready"), &json!(true)));
    assert_eq!((&index["indexed_rows"], &index["parameters"]), (&json!(300), &json!({})));
    assert!(index["size_bytes"].as_u64().unwrap() > 1000);

    assert_eq!(server.delete(path).await.status, 204);
    server.get(path).await.error(404, "INDEX_NOT_FOUND");
    assert_eq!(explained(below.clone()).await, (json!(7), json!("metadata"), json!(300)));
    let error = server.put(path, json!({"list_rows": 64})).await.error(400, "INVALID_REQUEST");
    assert_eq!(error["details"]["field"], "list_rows");
    server.put(path, json!({})).await.ok();
    assert_eq!(explained(below).await, (json!(7), json!("attributes"), json!(0)));
    // It answers no query by itself.
    let query = json!({"vector": [1, 0], "index": "attributes"});
    server.post("/v1/namespaces/ns/query", query).await.error(422, "UNPROCESSABLE_CONTENT");
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused_by_name() {
    let server = with_rows().await;
    for (body, field) in [
        (r#"{"list_rows":7}"#, "list_rows"),
        (r#"{"list_rows":4097}"#, "list_rows"),
        (r#"{"closure_percent":101}"#, "closure_percent"),
        (r#"{"code_bits":2}"#, "code_bits"),
    ] {
        let answer = server.call("PUT", "/v1/namespaces/ns/indexes/spfresh", body, &[]).await;
        let error = answer.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field);
    }
    server
        .call("PUT", "/v1/namespaces/ns/indexes/spfresh", r#"{"lists":7}"#, &[])
        .await
        .error(422, "UNPROCESSABLE_CONTENT");
    server
        .call("PUT", "/v1/namespaces/none/indexes/spfresh", "", &[])
        .await
        .error(404, "NAMESPACE_NOT_FOUND");
}

#[tokio::test]
async fn a_query_says_how_exact_it_has_to_be_and_explain_tells_what_was_done() {
    let server = with_rows().await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    let vector = [0.9, 0.3, 0.1];
    let exact = server.post("/v1/namespaces/ns/query", json!({"vector": vector, "exact": true})).await.ok();
    let ids = |answer: &serde_json::Value| -> Vec<String> {
        answer["results"].as_array().unwrap().iter().map(|hit| hit["id"].to_string()).collect()
    };
    for asked in
        [json!({"recall_target": 0.9}), json!({"effort": 0.4}), json!({"recall_target": 1.0}), json!({})]
    {
        let mut body = json!({"vector": vector});
        body.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
        let found = server.post("/v1/namespaces/ns/query", body.clone()).await.ok();
        assert_eq!(found["results"].as_array().unwrap().len(), 10);
        assert_eq!(found["results"][0], exact["results"][0], "{asked}");
        let explained = server.post("/v1/namespaces/ns/explain", body).await.ok();
        assert_eq!(explained["result_count"], 10);
        let step = &explained["index_selection"][0];
        if asked["recall_target"] == 1.0 {
            assert_eq!(ids(&found), ids(&exact));
            assert_eq!((&step["reason"], step.get("index")), (&json!("the answer is to be exact"), None));
            assert_eq!(explained["candidates"]["scanned"], 300);
        } else {
            assert_eq!((&step["index"], &step["rows"]), (&json!("spfresh"), &json!(300)));
            assert!(explained["candidates"]["scored"].as_u64().unwrap() >= 10);
        }
    }
    for (bad, field) in [
        (json!({"recall_target": 0.0}), "recall_target"),
        (json!({"recall_target": 1.1}), "recall_target"),
        (json!({"effort": -0.1}), "effort"),
        (json!({"effort": 0.5, "recall_target": 0.5}), "effort"),
        (json!({"exact": true, "effort": 0.5}), "exact"),
        (json!({"exact": true, "index": "spfresh"}), "index"),
    ] {
        let mut body = json!({"vector": vector});
        body.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        let error = server.post("/v1/namespaces/ns/query", body).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{bad}");
    }
}

#[tokio::test]
async fn recall_is_measured_on_rows_or_on_given_vectors() {
    let server = with_rows().await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    let path = "/v1/namespaces/ns/recall";
    let measured = server.post(path, json!({"queries": 20, "top_k": 5})).await.ok();
    assert_eq!((&measured["query_count"], &measured["top_k"]), (&json!(20), &json!(5)));
    let recall = measured["recall"].as_f64().unwrap();
    assert!((0.8..=1.000_001).contains(&recall), "{recall}");
    let all = server.post(path, json!({"vectors": [[1, 0, 0], [0, 1, 0]], "effort": 1.0})).await.ok();
    assert_eq!((all["recall"].as_f64(), &all["query_count"]), (Some(1.0), &json!(2)));
    server.post(path, json!({"vectors": [[1, 0]]})).await.error(400, "DIMENSION_MISMATCH");
    server.post(path, json!({"queries": 0})).await.error(400, "INVALID_REQUEST");
    server.post("/v1/namespaces/none/recall", json!({})).await.error(404, "NAMESPACE_NOT_FOUND");
}

#[tokio::test]
async fn a_query_may_say_which_index_answers() {
    let server = with_rows().await;
    let hnsw = "/v1/namespaces/ns/indexes/hnsw";
    server.call("PUT", hnsw, "{}", &[("content-type", "application/json")]).await.ok();
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    let asked = |index: &str| json!({"vector": [0.9, 0.3, 0.1], "index": index, "include_metadata": false});
    let exact = server.post("/v1/namespaces/ns/query", asked("flat")).await.ok();
    for (index, answers) in [("auto", "hnsw"), ("hnsw", "hnsw"), ("spfresh", "spfresh")] {
        let found = server.post("/v1/namespaces/ns/query", asked(index)).await.ok();
        assert_eq!(found["results"][0], exact["results"][0], "{index}");
        let explained = server.post("/v1/namespaces/ns/explain", asked(index)).await.ok();
        assert_eq!(explained["index_selection"][0]["index"], answers);
    }
    let explained = server.post("/v1/namespaces/ns/explain", asked("flat")).await.ok();
    assert_eq!(explained["candidates"]["scanned"], 300);
    // Queries of a batch need not agree.
    let batch = json!({"queries": [asked("hnsw"), asked("flat"), asked("spfresh")]});
    let answers = server.post("/v1/namespaces/ns/batch-query", batch).await.ok();
    for answer in answers["results"].as_array().unwrap() {
        assert_eq!(answer["results"][0], exact["results"][0]);
    }
    let measured = server.post("/v1/namespaces/ns/recall", json!({"index": "spfresh"})).await.ok();
    assert!(measured["recall"].as_f64().unwrap() > 0.8, "{measured}");
    server.post("/v1/namespaces/ns/query", asked("pq")).await.error(404, "INDEX_NOT_FOUND");
    server.post("/v1/namespaces/ns/recall", json!({"index": "pq"})).await.error(404, "INDEX_NOT_FOUND");
    server.post("/v1/namespaces/ns/query", asked("fulltext")).await.error(422, "UNPROCESSABLE_CONTENT");
}
