//! Searching by several vectors.

use serde_json::{Value, json};

use crate::support::Server;

const MULTI: &str = "/v1/namespaces/ns/multi-vector";

async fn seeded() -> Server {
    let server = Server::new();
    let row = |(id, values): (&str, [f64; 3])| json!({"id": id, "values": values, "metadata": {"id": id}});
    let folded = [("x", [1.0, 0.0, 0.0]), ("x2", [1.0, 0.02, 0.0]), ("y", [0.0, 2.0, 0.0])];
    let fresh = [("z", [0.0, 0.0, 1.0]), ("xy", [1.0, 1.0, 0.0]), ("-x", [-1.0, 0.0, 0.0])];
    server.upsert("ns", folded.map(row).to_vec().into()).await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", fresh.map(row).to_vec().into()).await;
    server
}

async fn ids(server: &Server, body: Value) -> Vec<String> {
    let answer = server.post(MULTI, body).await.ok();
    let results = answer["results"].as_array().unwrap().iter();
    results.map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_score_is_the_weighted_mean_of_scores() {
    let server = seeded().await;
    let body = json!({"positive_vectors": [[5, 0, 0], [0, 1, 0]], "positive_weights": [3, 1],
        "negative_vectors": [[0, 0, 2]], "top_k": 6});
    let answer = server.post(MULTI, body).await.ok();
    for hit in answer["results"].as_array().unwrap() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let expected = match hit["id"].as_str().unwrap() {
            "x" => 3.0 / 5.0,
            "y" => 1.0 / 5.0,
            "z" => -1.0 / 5.0,
            "xy" => (3.0 * half + half) / 5.0,
            "-x" => -3.0 / 5.0,
            _ => continue,
        };
        assert!((hit["score"].as_f64().unwrap() - expected).abs() < 1e-6, "{hit}");
        assert_eq!(hit["metadata"]["id"], hit["id"]);
        assert!(hit.get("mmr_score").is_none() && hit.get("vector").is_none());
    }
    let found: Vec<_> = answer["results"].as_array().unwrap().iter().map(|hit| hit["id"].clone()).collect();
    assert_eq!(found, ["x2", "x", "xy", "y", "z", "-x"]);
}

#[tokio::test]
async fn filters_thresholds_and_vectors_are_as_in_a_query() {
    let server = seeded().await;
    let near = json!([[1, 0, 0]]);
    let body = json!({"positive_vectors": near, "filter": {"id": {"$nin": ["x", "x2"]}}, "top_k": 2});
    assert_eq!(ids(&server, body).await, ["xy", "y"]);
    let body = json!({"positive_vectors": near, "score_threshold": 0.7});
    assert_eq!(ids(&server, body).await, ["x", "x2", "xy"]);
    let body =
        json!({"positive_vectors": near, "top_k": 1, "include_values": true, "include_metadata": false});
    let answer = server.post(MULTI, body).await.ok();
    assert_eq!(answer["results"][0]["vector"], json!([1.0, 0.0, 0.0]));
    assert!(answer["results"][0].get("metadata").is_none());
}

#[tokio::test]
async fn rows_that_repeat_each_other_give_way() {
    let server = seeded().await;
    let body = |lambda: f64| json!({"positive_vectors": [[1, 0.5, 0]], "top_k": 3, "enable_mmr": true, "mmr_lambda": lambda});
    assert_eq!(ids(&server, body(1.0)).await, ["xy", "x2", "x"]);
    assert_eq!(ids(&server, body(0.5)).await, ["xy", "x", "z"]);
    let answer = server.post(MULTI, body(0.5)).await.ok();
    let (score, chosen) = (&answer["results"][0]["score"], &answer["results"][0]["mmr_score"]);
    assert!((chosen.as_f64().unwrap() - score.as_f64().unwrap() / 2.0).abs() < 1e-6, "{answer}");
    assert!(answer["results"][0].get("vector").is_none());
}

#[tokio::test]
async fn distances_look_beyond_the_positive_ones() {
    let server = seeded().await;
    let body = json!({"positive_vectors": [[0.5, 0, 0]], "negative_vectors": [[0, 0, 0]],
        "distance_metric": "euclidean", "top_k": 1});
    let answer = server.post(MULTI, body).await.ok();
    assert_eq!((&answer["results"][0]["id"], &answer["results"][0]["score"]), (&json!("x"), &json!(-0.0)));
}

/// As a query near one vector does.
#[tokio::test]
async fn it_looks_at_the_log_once() {
    let server = seeded().await;
    let requests = || server.metric("quiver_refreshes_total").unwrap_or_default();
    let before = requests();
    server.post("/v1/namespaces/ns/query", json!({"vector": [1, 0, 0]})).await.ok();
    let of_query = requests() - before;
    server.post(MULTI, json!({"positive_vectors": [[1, 0, 0]]})).await.ok();
    assert_eq!((of_query, requests() - before), (1.0, 2.0));
}

#[tokio::test]
async fn what_cannot_be_searched_is_refused_by_name() {
    let server = seeded().await;
    let near = json!([[1, 0, 0]]);
    for (body, code, field) in [
        (json!({"positive_vectors": []}), "INVALID_REQUEST", "positive_vectors"),
        (json!({"positive_vectors": near, "positive_weights": [0]}), "INVALID_REQUEST", "positive_vectors"),
        (
            json!({"positive_vectors": near, "positive_weights": [1, 2]}),
            "INVALID_REQUEST",
            "positive_weights",
        ),
        (
            json!({"positive_vectors": near, "positive_weights": [-1]}),
            "INVALID_REQUEST",
            "positive_weights[0]",
        ),
        (json!({"positive_vectors": near, "negative_vectors": near}), "INVALID_REQUEST", "positive_vectors"),
        (json!({"positive_vectors": near, "mmr_lambda": 2}), "INVALID_REQUEST", "mmr_lambda"),
        (json!({"positive_vectors": near, "top_k": 1001, "enable_mmr": true}), "INVALID_REQUEST", "top_k"),
        (
            json!({"positive_vectors": near, "negative_vectors": [[1, 0]]}),
            "DIMENSION_MISMATCH",
            "negative_vectors[0]",
        ),
        (json!({"positive_vectors": [[1, 0, 0], []]}), "EMPTY_VECTOR", "positive_vectors[1]"),
        (json!({"positive_vectors": [[1, 0]]}), "DIMENSION_MISMATCH", "positive_vectors[0]"),
    ] {
        let error = server.post(MULTI, body.clone()).await.error(400, code);
        assert_eq!(error["details"]["field"], field, "{body}: {error}");
    }
}
