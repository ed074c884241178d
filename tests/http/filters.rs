use serde_json::{Value, json};

use crate::support::Server;

/// Ten rows, the first five of which are folded; their years are 2000 to 2009.
async fn seeded() -> Server {
    let server = Server::new();
    let row = |n: u32| {
        let metadata =
            json!({"year": 2000 + n, "tags": if n.is_multiple_of(2) { json!(["even"]) } else { json!([]) }});
        json!({"id": format!("r{n}"), "values": [10 - n, 1], "metadata": metadata})
    };
    server.upsert("ns", (0..5).map(row).collect()).await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", (5..10).map(row).collect()).await;
    server
}

fn ids(results: &Value) -> Vec<&str> {
    results.as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_query_finds_the_best_rows_that_match() {
    let server = seeded().await;
    for (filter, expected) in [
        (json!(null), vec!["r0", "r1", "r2"]),
        (json!({}), vec!["r0", "r1", "r2"]),
        (json!({"year": {"$gte": 2004}}), vec!["r4", "r5", "r6"]),
        (json!({"year": {"$gte": 2004}, "tags": "even"}), vec!["r4", "r6", "r8"]),
        (json!({"$not": {"year": {"$lt": 2008}}}), vec!["r8", "r9"]),
        (json!({"year": 1999}), vec![]),
    ] {
        let body = json!({"vector": [1, 0], "top_k": 3, "distance_metric": "dot_product", "filter": filter});
        let answer = server.post("/v1/namespaces/ns/query", body.clone()).await.ok();
        assert_eq!(ids(&answer["results"]), expected, "{filter}");
        let batch =
            json!({"queries": [{"vector": [1, 0], "top_k": 1, "distance_metric": "dot_product"}, body]});
        let answer = server.post("/v1/namespaces/ns/batch-query", batch).await.ok();
        assert_eq!(ids(&answer["results"][0]["results"]), ["r0"]);
        assert_eq!(ids(&answer["results"][1]["results"]), expected, "{filter}");
    }
}

#[tokio::test]
async fn explain_tells_what_a_filter_leaves() {
    let server = seeded().await;
    let body = json!({"vector": [1, 0], "filter": {"year": {"$gte": 2003, "$lt": 2006}}});
    let answer = server.post("/v1/namespaces/ns/explain", body).await.ok();
    let steps = answer["index_selection"].as_array().unwrap();
    let told = |step: &Value| (step["part"].clone(), step["rows"].clone(), step["matching_rows"].clone());
    assert_eq!(told(&steps[0]), (json!("segment"), json!(5), json!(2)), "{answer}");
    assert_eq!(told(&steps[1]), (json!("log"), json!(5), json!(1)), "{answer}");
    assert_eq!(steps[1]["metadata_read"], 5);
    assert_eq!((&answer["result_count"], &answer["candidates"]["scanned"]), (&json!(3), &json!(3)));
    let all = server.post("/v1/namespaces/ns/explain", json!({"vector": [1, 0]})).await.ok();
    assert!(all["index_selection"][0].get("matching_rows").is_none(), "{all}");
    assert_eq!(all["candidates"]["metadata_read"], 0);
}

#[tokio::test]
async fn recall_is_measured_among_the_rows_that_match() {
    let server = seeded().await;
    let body = json!({"vectors": [[1, 0]], "top_k": 2, "filter": {"year": {"$gte": 2009}}});
    let answer = server.post("/v1/namespaces/ns/recall", body).await.ok();
    assert_eq!((&answer["recall"], &answer["query_count"]), (&json!(1.0), &json!(1)));
}

#[tokio::test]
async fn counts_and_exports_are_of_what_matches() {
    let server = seeded().await;
    for (filter, expected) in
        [(json!(null), 10), (json!({}), 10), (json!({"tags": "even"}), 5), (json!({"no": 1}), 0)]
    {
        let count = server.post("/v1/namespaces/ns/vectors/count", json!({"filter": filter})).await.ok();
        assert_eq!(count["count"], expected, "{filter}");
    }
    let (mut cursor, mut found) = (Value::Null, Vec::new());
    loop {
        let body =
            json!({"filter": {"tags": "even"}, "limit": 2, "cursor": cursor, "include_vectors": false});
        let page = server.post("/v1/namespaces/ns/export", body).await.ok();
        assert_eq!(
            (&page["total_count"], page["returned_count"].as_u64()),
            (&json!(5), Some(page["vectors"].as_array().unwrap().len() as u64))
        );
        found.extend(ids(&page["vectors"]).iter().map(ToString::to_string));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(found, ["r0", "r2", "r4", "r6", "r8"]);
}

#[tokio::test]
async fn a_bad_filter_is_named_wherever_it_stands() {
    let server = seeded().await;
    for (path, body, place) in [
        ("query", json!({"vector": [1, 0], "filter": {"year": {"$gte": null}}}), "filter.year.$gte"),
        ("explain", json!({"vector": [1, 0], "filter": []}), "filter"),
        ("recall", json!({"filter": {"$or": []}}), "filter.$or"),
        ("vectors/count", json!({"filter": {"year": {"$gtee": 1}}}), "filter.year.$gtee"),
        ("export", json!({"filter": {"a..b": 1}}), "filter.a..b"),
        (
            "batch-query",
            json!({"queries": [{"vector": [1, 0]}, {"vector": [1, 0], "filter": {"$and": [{}, {"a": {"$regex": "("}}]}}]}),
            "queries[1].filter.$and[1].a.$regex",
        ),
    ] {
        let answer = server.post(&format!("/v1/namespaces/ns/{path}"), body).await;
        assert_eq!(answer.error(400, "INVALID_REQUEST")["details"]["field"], place, "{path}");
    }
    // What is wrong beside a filter is named as ever.
    let body = json!({"vector": [1, 0], "filter": {"a": 1}, "topk": 3});
    server.post("/v1/namespaces/ns/query", body).await.error(422, "UNPROCESSABLE_CONTENT");
}

#[tokio::test]
async fn limits_of_filters_are_configured() {
    let server = Server::with(|config| {
        config.limits.filter_depth = 2;
        config.limits.filter_nodes = 3;
        config.limits.filter_values = 3;
        config.limits.filter_patterns = 1;
    });
    server.upsert("ns", json!([{"id": "a", "values": [1]}])).await;
    for (filter, limit) in [
        (json!({"$not": {"$not": {"a": 1}}}), "limits.filter_depth"),
        (json!({"$or": [{"a": 1}, {"b": 1}, {"c": 1}]}), "limits.filter_nodes"),
        (json!({"a": [1, 2, 3, 4]}), "limits.filter_values"),
        (json!({"a": {"$glob": "x*", "$regex": "y"}}), "limits.filter_patterns"),
    ] {
        let answer = server.post("/v1/namespaces/ns/vectors/count", json!({"filter": filter})).await;
        let error = answer.error(400, "LIMIT_EXCEEDED");
        assert_eq!(error["details"]["limit"], limit, "{filter}: {error}");
    }
}

#[tokio::test]
async fn a_sample_is_of_what_matches() {
    let server = seeded().await;
    let path = "/v1/namespaces/ns/sample";
    let all = server.post(path, json!({"include_vectors": false})).await.ok();
    assert_eq!(
        (ids(&all["vectors"]).len(), &all["total_count"], &all["next_cursor"]),
        (10, &json!(10), &json!(null))
    );
    assert!(
        all["vectors"][0].get("values").is_none() && all["vectors"][0]["metadata"]["year"] == 2000,
        "{all}"
    );
    server.post("/v1/namespaces/ns/vectors/delete", json!({"ids": ["r2", "r6"]})).await.ok();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let body = json!({"limit": 2, "filter": {"tags": "even"}, "include_metadata": false});
        let few = server.post(path, body).await.ok();
        let drawn = ids(&few["vectors"]);
        assert!(drawn.len() == 2 && drawn[0] < drawn[1] && few["total_count"] == 3, "{few}");
        assert!(few["vectors"][0]["values"].is_array() && few["vectors"][0]["metadata"].is_null());
        seen.extend(drawn.into_iter().map(str::to_owned));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["r0", "r4", "r8"]);
    assert_eq!(
        server.post(path, json!({"limit": 0})).await.error(400, "INVALID_REQUEST")["details"]["field"],
        "limit"
    );
    server.post(path, json!({"limit": 1_000_000})).await.error(400, "LIMIT_EXCEEDED");
    server.post(path, json!({"cursor": "x"})).await.error(422, "UNPROCESSABLE_CONTENT");
    server.post("/v1/namespaces/none/sample", json!({})).await.error(404, "NAMESPACE_NOT_FOUND");
}
