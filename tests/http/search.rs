use serde_json::{Value, json};

use crate::support::Server;

async fn seeded() -> Server {
    let server = Server::new();
    let rows = json!([
        {"id": "x", "values": [1, 0], "metadata": {"k": "x"}},
        {"id": "y", "values": [0, 2], "metadata": {"k": "y"}},
        {"id": "z", "values": [3, 3]}
    ]);
    server.upsert("ns", rows).await;
    server
}

fn ids(results: &Value) -> Vec<&str> {
    results.as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_metric_ranks_its_way_and_higher_is_better() {
    let server = seeded().await;
    for (metric, order, best) in [
        ("cosine", ["x", "z", "y"], 1.0),
        ("dot_product", ["z", "x", "y"], 3.0),
        ("euclidean", ["x", "y", "z"], 0.0),
    ] {
        let body = json!({"vector": [1, 0], "distance_metric": metric});
        let answer = server.post("/v1/namespaces/ns/query", body).await.ok();
        assert_eq!(ids(&answer["results"]), order, "{metric}");
        assert!((answer["results"][0]["score"].as_f64().unwrap() - best).abs() < 1e-6, "{answer}");
        assert!(answer["search_time_ms"].as_f64().unwrap() >= 0.0);
    }
    let default = server.post("/v1/namespaces/ns/query", json!({"vector": [1, 0]})).await.ok();
    assert_eq!(ids(&default["results"]), ["x", "z", "y"], "the namespace's own is cosine");
}

#[tokio::test]
async fn a_query_returns_the_columns_that_it_asks_for() {
    let server = seeded().await;
    let query = |body| server.post("/v1/namespaces/ns/query", body);
    let plain = query(json!({"vector": [1, 0], "top_k": 1})).await.ok();
    assert_eq!(plain["results"], json!([{"id": "x", "score": 1.0, "metadata": {"k": "x"}}]));
    let vectors =
        query(json!({"vector": [1, 0], "top_k": 1, "include_vectors": true, "include_metadata": false}))
            .await;
    assert_eq!(vectors.ok()["results"], json!([{"id": "x", "score": 1.0, "vector": [1.0, 0.0]}]));
    let alias = query(json!({"vector": [1, 0], "top_k": 1, "include_values": true})).await.ok();
    assert_eq!(alias["results"][0]["vector"], json!([1.0, 0.0]));
    let many = query(json!({"vector": [1, 0], "top_k": 10000})).await.ok();
    assert_eq!(many["results"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn every_consistency_level_sees_this_nodes_own_writes() {
    let server = seeded().await;
    for consistency in [
        json!({"consistency": "strong"}),
        json!({"consistency": "eventual"}),
        json!({"consistency": "bounded_staleness"}),
        json!({"consistency": "bounded_staleness", "staleness_config": {"max_staleness_ms": 0}}),
        json!({"consistency": null, "staleness_config": null}),
    ] {
        let mut body = json!({"vector": [1, 0]});
        body.as_object_mut().unwrap().extend(consistency.as_object().unwrap().clone());
        let answer = server.post("/v1/namespaces/ns/query", body).await.ok();
        assert_eq!(answer["results"].as_array().unwrap().len(), 3, "{consistency}");
    }
    let bad = json!({"vector": [1, 0], "consistency": "sometimes"});
    let error = server.post("/v1/namespaces/ns/query", bad).await.error(422, "UNPROCESSABLE_CONTENT");
    assert_eq!(error["details"]["field"], "consistency");
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let server = seeded().await;
    let queries: Vec<Value> = (0..8).map(|n| json!({"vector": [n % 2, 1 - n % 2], "top_k": 1})).collect();
    let answer = server.post("/v1/namespaces/ns/batch-query", json!({ "queries": queries })).await.ok();
    assert_eq!(answer["query_count"], 8);
    assert!(answer["total_latency_ms"].is_f64());
    for (n, result) in answer["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(ids(&result["results"]), [if n % 2 == 0 { "y" } else { "x" }]);
        assert!(result["latency_ms"].is_f64());
    }
    let none = server.post("/v1/namespaces/ns/batch-query", json!({"queries": []})).await.ok();
    assert_eq!((&none["query_count"], &none["results"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn a_wrong_query_is_named() {
    let server = seeded().await;
    let query = |body| server.post("/v1/namespaces/ns/query", body);
    query(json!({"vector": [1, 0, 0]})).await.error(400, "DIMENSION_MISMATCH");
    query(json!({"vector": []})).await.error(400, "EMPTY_VECTOR");
    query(json!({"vector": [1, 0], "top_k": 0})).await.error(400, "INVALID_REQUEST");
    query(json!({"vector": [1, 1e39]})).await.error(400, "INVALID_REQUEST");
    let error = query(json!({"vector": [1, 0], "topk": 3})).await.error(422, "UNPROCESSABLE_CONTENT");
    assert!(error["error"].as_str().unwrap().contains("topk"), "{error}");
    let error = query(json!({"vector": [1, "0"]})).await.error(422, "UNPROCESSABLE_CONTENT");
    assert_eq!(error["details"]["field"], "vector[1]");
    for array in [json!([[1, 0]]), json!([])] {
        let error = query(array).await.error(422, "UNPROCESSABLE_CONTENT");
        assert_eq!(error["details"]["field"], "body");
    }
    let batch = json!({"queries": [{"vector": [1, 0]}, {"vector": [1, 0, 0]}]});
    server.post("/v1/namespaces/ns/batch-query", batch).await.error(400, "DIMENSION_MISMATCH");
    server.post("/v1/namespaces/none/query", json!({"vector": [1]})).await.error(404, "NAMESPACE_NOT_FOUND");
}

/// The bytes of 32-bit floats instead of their digits: the same rows, the same answers.
#[tokio::test]
async fn vectors_may_be_base64() {
    let server = Server::new();
    // 1.0, -0.5 and 0.25, -2.0, little-endian.
    let rows = json!([{"id": "a", "values": "AACAPwAAAL8="}, {"id": "b", "values": [0.25, -2.0]}]);
    server.post("/v1/namespaces/ns/vectors", json!({"vectors": rows})).await.ok();
    let row = server.get("/v1/namespaces/ns/vectors/a").await.ok();
    assert_eq!(row["values"], json!([1.0, -0.5]));
    let path = "/v1/namespaces/ns/query";
    let digits = server.post(path, json!({"vector": [0.25, -2.0]})).await.ok();
    let bytes = server.post(path, json!({"vector": "AACAPgAAAMA="})).await.ok();
    assert_eq!(bytes["results"], digits["results"]);
    let batch = json!({"queries": [{"vector": "AACAPgAAAMA="}]});
    let batch = server.post("/v1/namespaces/ns/batch-query", batch).await.ok();
    assert_eq!(batch["results"][0]["results"], digits["results"]);

    for (bad, message) in [("AACAPw", "base64"), ("AACAPwA=", "5 bytes"), ("%", "base64")] {
        let error = server.post(path, json!({"vector": bad})).await.error(422, "UNPROCESSABLE_CONTENT");
        assert_eq!(error["details"]["field"], "vector", "{bad}");
        assert!(error["error"].as_str().unwrap().contains(message), "{error}");
        let rows = json!({"vectors": [{"id": "c", "values": bad}]});
        let error = server.post("/v1/namespaces/ns/vectors", rows).await.error(422, "UNPROCESSABLE_CONTENT");
        assert_eq!(error["details"]["field"], "vectors[0].values", "{error}");
    }
    // A NaN, and no values at all.
    server.post(path, json!({"vector": "AADAfwAAgD8="})).await.error(400, "INVALID_REQUEST");
    server.post(path, json!({"vector": ""})).await.error(400, "EMPTY_VECTOR");
}
