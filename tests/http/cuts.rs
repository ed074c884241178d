//! Parts of rankings: every search that ranks rows cuts its ranking alike, and as a reader would.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::Server;

const ROWS: usize = 60;

/// Rows whose words and vectors rank them differently; half are folded.
async fn seeded() -> Server {
    let server = Server::new();
    let row = |n: usize| {
        let (foxes, others) = (n * 7 % 5 + 1, n * 11 % 13);
        let text = format!("{}{}", "fox ".repeat(foxes), "hound ".repeat(others));
        let genre = ["a", "b", "c"][n * n / 2 % 3];
        let mut metadata = json!({"text": text, "genre": genre, "n": n});
        if !n.is_multiple_of(4) {
            metadata["year"] = json!(2000 + n % 7);
        }
        json!({"id": format!("r{n:02}"), "values": [(n as f64 * 0.1).cos(), (n as f64 * 0.1).sin()], "metadata": metadata})
    };
    server.upsert("ns", (0..ROWS / 2).map(row).collect()).await;
    server.put("/v1/namespaces/ns/indexes/fulltext", json!({})).await.ok();
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", (ROWS / 2..ROWS).map(row).collect()).await;
    server
}

/// A request with more fields.
fn with(request: &Value, more: &Value) -> Value {
    let mut request = request.clone();
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// What a part of a ranking has, by the words of the documentation.
fn part<'a>(whole: &[&'a Value], cut: &Value) -> Vec<&'a Value> {
    let mut rows = whole.to_vec();
    if let Some(threshold) = cut["score_threshold"].as_f64() {
        rows.retain(|hit| hit["score"].as_f64().unwrap() >= threshold);
    }
    if let Some(field) = cut["group_by"]["field"].as_str() {
        let limit = cut["group_by"]["limit"].as_u64().unwrap_or(1);
        let mut counts = HashMap::new();
        rows.retain(|hit| {
            let count = counts.entry(hit["metadata"][field].to_string()).or_insert(0);
            *count += 1;
            *count <= limit
        });
    }
    let skipped = rows.into_iter().skip(cut["offset"].as_u64().unwrap_or(0) as usize);
    let mut rows: Vec<&Value> = skipped.take(cut["top_k"].as_u64().unwrap_or(10) as usize).collect();
    if let Some(field) = cut["order_by"][0].as_str() {
        // Rows without a value come last, and equal ones by id.
        let year = |hit: &Value| hit["metadata"][field].as_i64().map_or(i64::MAX, |year| -year);
        rows.sort_by_key(|hit| (year(hit), hit["id"].to_string()));
    }
    rows
}

#[tokio::test]
async fn every_search_cuts_its_ranking_alike() {
    let server = seeded().await;
    let near = [0.3, 0.9];
    for (route, body) in [
        ("query", json!({"vector": near})),
        ("multi-vector", json!({"positive_vectors": [near], "negative_vectors": [[0.1, -0.2]]})),
        ("unified-query", json!({"rank_by": ["ANN", near]})),
        ("unified-query", json!({"rank_by": ["BM25", "fox hound"]})),
        ("unified-query", json!({"rank_by": ["Sum", [["kNN", near], ["BM25", "fox"]]]})),
        ("fulltext/search", json!({"query": "fox hound*"})),
        ("fulltext/search", json!({"query": "fox -nothing", "filter": {"n": {"$lt": 40}}})),
        ("hybrid", json!({"text": "hound", "vector": near, "candidates": ROWS})),
        ("hybrid", json!({"text": "hound", "vector": near, "candidates": ROWS, "fusion": "rrf"})),
        ("hybrid", json!({"text": "fox hound", "candidates": ROWS})),
        ("hybrid", json!({"text": "fox", "vector": near, "vector_weight": 1, "candidates": ROWS})),
        ("hybrid", json!({"text": "fox", "vector": near, "vector_weight": 0, "highlight": true})),
    ] {
        let route = format!("/v1/namespaces/ns/{route}");
        let whole = server.post(&route, with(&body, &json!({"top_k": ROWS}))).await.ok();
        let whole: Vec<&Value> = whole["results"].as_array().unwrap().iter().collect();
        assert!(whole.len() >= 30, "{route} {body}: {}", whole.len());
        let threshold = &whole[11]["score"];
        for cut in [
            json!({"top_k": 7, "offset": 5}),
            json!({"top_k": ROWS - 3, "offset": 3}),
            json!({"top_k": 9, "offset": 8, "score_threshold": threshold}),
            json!({"top_k": 20, "score_threshold": threshold, "order_by": ["year", "desc"]}),
            json!({"top_k": 8, "offset": 2, "order_by": ["year", "desc"]}),
            json!({"top_k": 5, "group_by": {"field": "genre"}}),
            json!({"top_k": 3, "offset": 2, "group_by": {"field": "genre", "limit": 3}}),
            json!({"top_k": 9, "group_by": {"field": "genre", "limit": 2}, "score_threshold": threshold}),
            json!({"top_k": 5, "offset": ROWS - 5, "order_by": ["year", "desc"]}),
            json!({"top_k": 30, "group_by": {"field": "year", "limit": 2}, "order_by": ["year", "desc"]}),
        ] {
            let mut request = with(&body, &cut);
            let answer = server.post(&route, request.clone()).await.ok();
            let found: Vec<&Value> = answer["results"].as_array().unwrap().iter().collect();
            let seen = |hits: &[&Value]| -> Vec<(Value, Value)> {
                hits.iter().map(|hit| (hit["id"].clone(), hit["score"].clone())).collect()
            };
            assert_eq!(found, part(&whole, &cut), "{route} {request}");
            // Rows are ordered by metadata that is not returned, too.
            request["include_metadata"] = json!(false);
            let bare = server.post(&route, request.clone()).await.ok();
            let bare: Vec<&Value> = bare["results"].as_array().unwrap().iter().collect();
            assert_eq!(seen(&bare), seen(&found), "{route} {request}");
            assert!(bare.iter().all(|hit| hit.get("metadata").is_none()), "{route} {request}");
        }
    }
}

/// The best rows are nearly all of one group, and the best of the others are left out by the filter.
#[tokio::test]
async fn groups_go_on_where_the_first_rows_are_of_one() {
    let server = Server::new();
    let row = |n: usize| {
        let genre = if n < 400 { json!("a") } else { json!(n % 7) };
        let metadata = json!({"text": "fox ".repeat(60 - n / 10), "genre": genre, "n": n});
        json!({"id": format!("r{n:03}"), "values": [600 - n, 1], "metadata": metadata})
    };
    server.upsert("ns", (0..300).map(row).collect()).await;
    server.put("/v1/namespaces/ns/indexes/fulltext", json!({})).await.ok();
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", (300..600).map(row).collect()).await;
    for (route, body) in [
        ("query", json!({"vector": [1, 0], "distance_metric": "dot_product"})),
        ("fulltext/search", json!({"query": "fox"})),
        ("unified-query", json!({"rank_by": ["BM25", "fox"]})),
        ("hybrid", json!({"text": "fox", "candidates": 50})),
        (
            "hybrid",
            json!({"text": "fox", "vector": [1, 0], "distance_metric": "dot_product", "vector_weight": 1}),
        ),
    ] {
        let route = format!("/v1/namespaces/ns/{route}");
        let body = with(&body, &json!({"filter": {"$not": {"n": {"$gte": 400, "$lt": 450}}}}));
        let mut all = with(&body, &json!({"top_k": 600}));
        if route.ends_with("hybrid") {
            all["candidates"] = json!(600);
        }
        let whole = server.post(&route, all).await.ok();
        let whole: Vec<&Value> = whole["results"].as_array().unwrap().iter().collect();
        assert_eq!(whole.len(), 550, "{route} {body}");
        let cut = json!({"top_k": 20, "offset": 2, "group_by": {"field": "genre", "limit": 4}});
        let request = with(&body, &cut);
        let answer = server.post(&route, request.clone()).await.ok();
        let found: Vec<&Value> = answer["results"].as_array().unwrap().iter().collect();
        assert_eq!(found, part(&whole, &cut), "{route} {request}");
        assert_eq!(found.len(), 20, "{route} {request}");
    }
}

#[tokio::test]
async fn a_hybrid_search_takes_as_many_candidates_as_it_says() {
    let server = Server::new();
    let row = |n: usize| {
        // Both sides find the same rows, so that what is 0 of their scores depends on how many these are.
        let angle = n as f64 * 0.001;
        let metadata = json!({"text": "fox", "genre": n % 5});
        json!({"id": format!("r{n:04}"), "values": [angle.cos(), angle.sin()], "metadata": metadata})
    };
    server.upsert("ns", (0..2500).map(row).collect()).await;
    server.put("/v1/namespaces/ns/indexes/fulltext", json!({})).await.ok();
    let route = "/v1/namespaces/ns/hybrid";
    let body = json!({"text": "fox", "vector": [1, 0]});
    for (cut, candidates) in [
        (json!({"top_k": 10}), 100),
        (json!({"top_k": 20, "offset": 30}), 200),
        (json!({"top_k": 2, "group_by": {"field": "genre"}}), 1000),
        (json!({"top_k": 300, "group_by": {"field": "genre", "limit": 100}}), 1200),
    ] {
        let request = with(&body, &cut);
        let answer = server.post(route, request.clone()).await.ok();
        let same = server.post(route, with(&request, &json!({"candidates": candidates}))).await.ok();
        assert_eq!(answer["results"], same["results"], "{cut}");
        let fewer = server.post(route, with(&request, &json!({"candidates": candidates / 2}))).await.ok();
        assert_ne!(answer["results"], fewer["results"], "{cut}");
    }
    let few = with(&body, &json!({"top_k": 30, "offset": 20, "candidates": 49}));
    let error = server.post(route, few).await.error(400, "INVALID_REQUEST");
    assert_eq!(error["details"]["field"], "candidates", "{error}");
}

#[tokio::test]
async fn rows_that_differ_are_cut_and_ordered_too() {
    let server = seeded().await;
    let route = "/v1/namespaces/ns/multi-vector";
    let body = json!({"positive_vectors": [[0.3, 0.9]], "enable_mmr": true, "mmr_lambda": 0.6});
    let whole = server.post(route, with(&body, &json!({"top_k": 12}))).await.ok();
    let whole: Vec<&Value> = whole["results"].as_array().unwrap().iter().collect();
    for cut in
        [json!({"top_k": 9, "offset": 3}), json!({"top_k": 7, "offset": 5, "order_by": ["year", "desc"]})]
    {
        let answer = server.post(route, with(&body, &cut)).await.ok();
        let found: Vec<&Value> = answer["results"].as_array().unwrap().iter().collect();
        assert_eq!(found, part(&whole, &cut), "{cut}");
        let mut bare = with(&body, &cut);
        bare["include_metadata"] = json!(false);
        let bare = server.post(route, bare).await.ok();
        for (bare, hit) in bare["results"].as_array().unwrap().iter().zip(&found) {
            assert_eq!((&bare["id"], &bare["mmr_score"]), (&hit["id"], &hit["mmr_score"]));
            assert!(bare.get("metadata").is_none() && bare.get("vector").is_none());
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_part_is_said() {
    let server = seeded().await;
    for (route, body) in [
        ("query", json!({"vector": [1, 0]})),
        ("multi-vector", json!({"positive_vectors": [[1, 0]]})),
        ("unified-query", json!({"rank_by": ["ANN", [1, 0]]})),
        ("fulltext/search", json!({"query": "fox"})),
        ("hybrid", json!({"text": "fox", "vector": [1, 0]})),
    ] {
        let route = format!("/v1/namespaces/ns/{route}");
        for (wrong, code, field) in [
            (json!({"top_k": 0}), "INVALID_REQUEST", "top_k"),
            (json!({"offset": 9_991}), "LIMIT_EXCEEDED", "offset"),
            (json!({"group_by": {"field": "a..b"}}), "INVALID_REQUEST", "group_by.field"),
            (json!({"group_by": {"field": "a", "limit": 0}}), "INVALID_REQUEST", "group_by.limit"),
            (json!({"order_by": ["year", "up"]}), "INVALID_REQUEST", "order_by"),
            (json!({"score_threshold": 1e39}), "INVALID_REQUEST", "score_threshold"),
        ] {
            let request = with(&body, &wrong);
            let error = server.post(&route, request.clone()).await.error(400, code);
            assert_eq!(error["details"]["field"], field, "{route} {request}");
        }
    }
}
