//! Searches of every kind in one request.

use serde_json::{Value, json};

use crate::support::Server;

const BATCH: &str = "/v1/namespaces/ns/batch";

async fn seeded() -> Server {
    let server = Server::new();
    let row = |(id, values, text): (&str, [f64; 2], &str)| json!({"id": id, "values": values, "metadata": {"text": text, "kind": text.len() % 2}});
    let rows = [("a", [1.0, 0.0], "a cat"), ("b", [0.8, 0.6], "two cats"), ("c", [0.0, 1.0], "a dog")];
    server.upsert("ns", rows.map(row).to_vec().into()).await;
    server.call("PUT", "/v1/namespaces/ns/indexes/fulltext", "{}", &[]).await.ok();
    server
}

#[tokio::test]
async fn each_is_answered_as_by_its_own_route() {
    let server = seeded().await;
    let searches = [
        ("query", "query", json!({"vector": [1, 0], "top_k": 2, "filter": {"text": {"$contains": "cat"}}})),
        ("fulltext_search", "fulltext/search", json!({"query": "cat", "highlight": true})),
        ("hybrid", "hybrid", json!({"text": "dog", "vector": [1, 0], "top_k": 3})),
        ("unified_query", "unified-query", json!({"rank_by": ["text", "desc"]})),
        ("multi_vector", "multi-vector", json!({"positive_vectors": [[1, 0], [0, 1]]})),
        ("aggregate", "aggregate", json!({"aggregate_by": {"rows": ["Count"]}, "group_by": ["kind"]})),
        ("count", "vectors/count", json!({"filter": {"kind": 1}})),
        ("query", "query", json!({"vector": [1, 0, 0]})),
        ("query", "query", json!({"vector": [1, 0], "filter": {"kind": {"$near": 1}}})),
        ("fulltext_search", "fulltext/search", json!({"query": "\"cat"})),
    ];
    let requests: Vec<Value> = searches.iter().map(|(kind, _, body)| json!({ (*kind): body })).collect();
    let answer = server.post(BATCH, json!({ "requests": requests })).await.ok();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), searches.len());
    for ((_, route, body), result) in searches.iter().zip(results) {
        let alone = server.post(&format!("/v1/namespaces/ns/{route}"), body.clone()).await;
        assert_eq!(result["status"], alone.status, "{route}: {result}");
        assert_eq!(without_time(result["body"].clone()), without_time(alone.json()), "{route}");
    }
    let refused = results.iter().filter(|result| result["status"] != 200).count();
    assert_eq!(refused, 3, "{answer}");
}

/// An answer without what differs each time.
fn without_time(mut answer: Value) -> Value {
    for name in ["search_time_ms", "usage"] {
        answer.as_object_mut().unwrap().remove(name);
    }
    answer
}

#[tokio::test]
async fn what_is_no_batch_is_refused() {
    let server = seeded().await;
    let empty = server.post(BATCH, json!({"requests": []})).await.ok();
    assert_eq!(empty, json!({"results": []}));
    let many = vec![json!({"count": {}}); 101];
    let error = server.post(BATCH, json!({ "requests": many })).await.error(400, "LIMIT_EXCEEDED");
    assert_eq!(error["details"]["limit"], "limits.batch_requests", "{error}");
    for wrong in [
        json!({"requests": [{"upsert": {}}]}),
        json!({"requests": [{"count": []}]}),
        json!({"requests": [{}, {"count": {}}]}),
        json!({"requests": [["count", {}]]}),
        json!({"requests": [{"count": {}, "query": {"vector": [1]}}]}),
        json!({"requests": [{"query": {"vector": [1], "unknown": 1}}]}),
        json!({"requests": [{"query": {"top_k": 1}}]}),
        json!({"queries": []}),
    ] {
        server.post(BATCH, wrong).await.error(422, "UNPROCESSABLE_CONTENT");
    }
    let none = json!({"requests": [{"count": {}}]});
    let none = server.post("/v1/namespaces/none/batch", none).await.ok();
    assert_eq!(
        (&none["results"][0]["status"], &none["results"][0]["body"]["code"]),
        (&json!(404), &json!("NAMESPACE_NOT_FOUND"))
    );
}

#[tokio::test]
async fn all_answers_together_are_bounded() {
    let server = Server::with(|config| config.limits.answer_bytes = bytesize::ByteSize::b(400));
    let row = json!({"id": "a", "values": [1, 0], "metadata": {"text": "x".repeat(150)}});
    server.upsert("ns", json!([row])).await;
    let searches = |count: usize| json!({"requests": vec![json!({"query": {"vector": [1, 0]}}); count]});
    server.post(BATCH, searches(1)).await.ok();
    let error = server.post(BATCH, searches(3)).await.error(400, "LIMIT_EXCEEDED");
    assert_eq!(error["details"]["limit"], "limits.answer_bytes", "{error}");
}
