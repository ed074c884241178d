//! Parts of rankings, and rankings of every kind.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::Server;

/// What a row is to score, by its id.
type Expected<'a> = &'a dyn Fn(&str) -> f64;

const QUERY: &str = "/v1/namespaces/ns/query";
const UNIFIED: &str = "/v1/namespaces/ns/unified-query";
const GENRES: [&str; 3] = ["a", "b", "c"];

/// Twelve rows, half of which are folded. Their dot products with [1, 0] are 12 to 1.
async fn seeded() -> Server {
    let server = Server::new();
    let body = json!({"name": "ns", "dimension": 2, "distance": "dot_product"});
    server.post("/v1/namespaces", body).await.ok();
    let row = |n: i32| {
        let metadata = match n {
            11 => json!({"year": null}),
            10 => json!({}),
            n => {
                json!({"year": 2000 + n % 4, "genre": GENRES[n as usize % 3], "n": n, "tags": [n % 2, n % 3]})
            }
        };
        json!({"id": format!("r{n:02}"), "values": [12 - n, n], "metadata": metadata})
    };
    server.upsert("ns", (0..6).map(row).collect()).await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", (6..12).map(row).collect()).await;
    server
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

fn scores(answer: &Value) -> Vec<f64> {
    answer["results"].as_array().unwrap().iter().map(|hit| hit["score"].as_f64().unwrap()).collect()
}

#[tokio::test]
async fn offset_and_threshold_cut_the_ranking() {
    let server = seeded().await;
    for (cut, expected) in [
        (json!({"top_k": 3}), vec!["r00", "r01", "r02"]),
        (json!({"top_k": 3, "offset": 2}), vec!["r02", "r03", "r04"]),
        (json!({"top_k": 3, "offset": 10}), vec!["r10", "r11"]),
        (json!({"top_k": 3, "offset": 12}), vec![]),
        (json!({"top_k": 9, "score_threshold": 10}), vec!["r00", "r01", "r02"]),
        (json!({"top_k": 9, "score_threshold": 10, "offset": 1}), vec!["r01", "r02"]),
        (json!({"top_k": 2, "score_threshold": 10, "offset": 0}), vec!["r00", "r01"]),
    ] {
        let mut body = cut.clone();
        body["vector"] = json!([1, 0]);
        let answer = server.post(QUERY, body.clone()).await.ok();
        assert_eq!(ids(&answer), expected, "{cut}");
        let batch = server
            .post("/v1/namespaces/ns/batch-query", json!({"queries": [{"vector": [0, 1]}, body]}))
            .await
            .ok();
        assert_eq!(ids(&batch["results"][1]), expected, "in a batch: {cut}");
        let mut body = cut.clone();
        body["positive_vectors"] = json!([[1, 0]]);
        let answer = server.post("/v1/namespaces/ns/multi-vector", body).await.ok();
        assert_eq!(ids(&answer), expected, "by examples: {cut}");
        let mut body = cut.clone();
        body["rank_by"] = json!(["kNN", [1, 0]]);
        assert_eq!(ids(&server.post(UNIFIED, body).await.ok()), expected, "ranked: {cut}");
        let mut body = cut.clone();
        body["rank_by"] = json!(["Sum", [["kNN", [0.5, 0]], ["kNN", [0.5, 0]]]]);
        assert_eq!(ids(&server.post(UNIFIED, body).await.ok()), expected, "as a sum: {cut}");
    }
    let body =
        json!({"positive_vectors": [[1, 0]], "top_k": 2, "offset": 1, "enable_mmr": true, "mmr_lambda": 1.0});
    let answer = server.post("/v1/namespaces/ns/multi-vector", body).await.ok();
    assert_eq!(ids(&answer), ["r01", "r02"]);
}

#[tokio::test]
async fn groups_have_so_many_rows_each() {
    let server = seeded().await;
    for (group, expected) in [
        (json!({"field": "genre"}), vec!["r00", "r01", "r02", "r10"]),
        (json!({"field": "genre", "limit": 2}), vec!["r00", "r01", "r02", "r03", "r04", "r05", "r10", "r11"]),
        // null and missing are one group.
        (json!({"field": "year"}), vec!["r00", "r01", "r02", "r03", "r10"]),
        // A row counts for each of its values.
        (json!({"field": "tags"}), vec!["r00", "r01", "r10"]),
        (json!({"field": "tags", "limit": 3}), vec!["r00", "r01", "r02", "r03", "r05", "r10", "r11"]),
        (json!({"field": "nothing"}), vec!["r00"]),
    ] {
        let body = json!({"vector": [1, 0], "top_k": 12, "group_by": group});
        let answer = server.post(QUERY, body).await.ok();
        assert_eq!(ids(&answer), expected, "{group}");
        // Few rows at a time: those of full groups must not use them up.
        for offset in 0..expected.len() {
            let body = json!({"vector": [1, 0], "top_k": 1, "offset": offset, "group_by": group});
            assert_eq!(
                ids(&server.post(QUERY, body).await.ok()),
                expected[offset..][..1],
                "{group} from {offset}"
            );
            let body = json!({"rank_by": ["Product", 2, ["kNN", [1, 0]]], "top_k": 1, "offset": offset, "group_by": group});
            assert_eq!(
                ids(&server.post(UNIFIED, body).await.ok()),
                expected[offset..][..1],
                "{group} from {offset}"
            );
        }
    }
    let body =
        json!({"vector": [1, 0], "top_k": 2, "group_by": {"field": "genre"}, "filter": {"n": {"$gte": 3}}});
    assert_eq!(ids(&server.post(QUERY, body).await.ok()), ["r03", "r04"]);
    let body = json!({"positive_vectors": [[1, 0]], "top_k": 2, "group_by": {"field": "year"}, "offset": 1});
    assert_eq!(ids(&server.post("/v1/namespaces/ns/multi-vector", body).await.ok()), ["r01", "r02"]);
    let body = json!({"rank_by": ["n", "desc"], "top_k": 5, "group_by": {"field": "genre"}});
    assert_eq!(ids(&server.post(UNIFIED, body).await.ok()), ["r09", "r08", "r07", "r10"]);
}

/// Against a count by hand, where most rows are left out.
#[tokio::test]
async fn a_group_that_nearly_all_rows_are_in_costs_the_others_nothing() {
    let server = Server::new();
    let genre = |n: usize| if n % 97 == 96 { json!(n) } else { json!(GENRES[n / 3 % 2]) };
    for part in 0..4 {
        let row = |n: usize| json!({"id": format!("r{n:04}"), "values": [2000 - n, 1], "metadata": {"g": genre(n)}});
        server.upsert("ns", (part * 500..(part + 1) * 500).map(row).collect()).await;
        if part == 1 {
            server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
        }
    }
    let (mut counts, mut expected) = (HashMap::new(), Vec::new());
    for n in 0..2000 {
        let count: &mut usize = counts.entry(genre(n).to_string()).or_default();
        *count += 1;
        if *count <= 2 && expected.len() < 12 {
            expected.push(format!("r{n:04}"));
        }
    }
    let body = json!({"vector": [1, 0], "distance_metric": "dot_product", "top_k": 12, "group_by": {"field": "g", "limit": 2}});
    let answer = server.post("/v1/namespaces/ns/query", body.clone()).await.ok();
    assert_eq!(ids(&answer), expected);
    // Rows that were ranked again, by a filter, were looked at as well.
    let explained = server.post("/v1/namespaces/ns/explain", body).await.ok();
    let looked_at = |kind: &str| explained["candidates"][kind].as_u64().unwrap();
    assert!(looked_at("scanned") > 2000 && looked_at("metadata_read") >= 2000, "{explained}");
}

/// The order of the rows of an answer, which is no other answer.
#[tokio::test]
async fn the_rows_that_are_found_come_in_the_order_of_fields() {
    let server = seeded().await;
    for (cut, expected) in [
        (
            json!({"top_k": 6, "order_by": [["genre", "desc"], ["n", "asc"]]}),
            ["r02", "r05", "r01", "r04", "r00", "r03"],
        ),
        (json!({"top_k": 6, "order_by": ["n", "desc"]}), ["r05", "r04", "r03", "r02", "r01", "r00"]),
        (
            json!({"top_k": 6, "order_by": ["n", "desc"], "offset": 2}),
            ["r07", "r06", "r05", "r04", "r03", "r02"],
        ),
        // Rows without the field come last, equal ones by id.
        (
            json!({"top_k": 6, "offset": 6, "order_by": ["year", "asc"]}),
            ["r08", "r09", "r06", "r07", "r10", "r11"],
        ),
        (
            json!({"top_k": 6, "score_threshold": 7, "order_by": ["n", "desc"]}),
            ["r05", "r04", "r03", "r02", "r01", "r00"],
        ),
    ] {
        let mut body = cut.clone();
        (body["vector"], body["include_metadata"]) = (json!([1, 0]), json!(false));
        let answer = server.post(QUERY, body.clone()).await.ok();
        assert_eq!(ids(&answer), expected, "{cut}");
        assert!(answer["results"][0].get("metadata").is_none());
        let batch = json!({"queries": [{"vector": [0, 1]}, body]});
        let answer = server.post("/v1/namespaces/ns/batch-query", batch).await.ok();
        assert_eq!(ids(&answer["results"][1]), expected, "in a batch: {cut}");
        for rank_by in [json!(["kNN", [1, 0]]), json!(["Sum", [["kNN", [0.5, 0]], ["kNN", [0.5, 0]]]])] {
            let mut body = cut.clone();
            body["rank_by"] = rank_by;
            assert_eq!(ids(&server.post(UNIFIED, body).await.ok()), expected, "ranked: {cut}");
        }
    }
    let body =
        json!({"vector": [1, 0], "top_k": 3, "group_by": {"field": "genre"}, "order_by": ["genre", "desc"]});
    let answer = server.post(QUERY, body).await.ok();
    assert_eq!((ids(&answer), scores(&answer)), (vec!["r02", "r01", "r00"], vec![10.0, 11.0, 12.0]));
    for (order_by, field) in [
        (json!([]), "order_by"),
        (json!("year"), "order_by"),
        (json!(["year", "up"]), "order_by"),
        (json!(["ANN", [1, 0]]), "order_by"),
        (json!([["year", "asc"], ["a..b", "asc"]]), "order_by[1][0]"),
    ] {
        let query = json!({"vector": [1, 0], "order_by": order_by});
        let error = server.post(QUERY, query.clone()).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{order_by}");
        let batch = json!({"queries": [query]});
        let error = server.post("/v1/namespaces/ns/batch-query", batch).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], format!("queries[0].{field}"), "{order_by}");
    }
}

/// A field may be named like a function: in an array of orders, where no function can be.
#[tokio::test]
async fn fields_that_are_named_like_functions_order_too() {
    let server = Server::new();
    let row = |id: &str, n: i32| json!({"id": id, "values": [1], "metadata": {"Sum": n, "BM25": -n}});
    server.upsert("ns", json!([row("a", 2), row("b", 1), row("c", 3)])).await;
    for (rank_by, expected) in
        [(json!([["Sum", "asc"]]), ["b", "a", "c"]), (json!([["BM25", "asc"]]), ["c", "a", "b"])]
    {
        assert_eq!(ids(&server.post(UNIFIED, json!({"rank_by": rank_by})).await.ok()), expected);
    }
    let body = json!({"vector": [1], "order_by": ["Sum", "desc"]});
    assert_eq!(ids(&server.post(QUERY, body).await.ok()), ["c", "a", "b"]);
    server.post(UNIFIED, json!({"rank_by": ["Sum", "asc"]})).await.error(400, "INVALID_REQUEST");
}

#[tokio::test]
async fn rows_come_in_the_order_of_fields() {
    let server = seeded().await;
    let by_year = ["r00", "r04", "r08", "r01", "r05", "r09", "r02", "r06", "r03", "r07", "r10", "r11"];
    for (rank_by, filter, expected) in [
        (json!(["year", "asc"]), json!({}), by_year.to_vec()),
        (
            json!(["year", "desc"]),
            json!({}),
            vec!["r03", "r07", "r02", "r06", "r01", "r05", "r09", "r00", "r04", "r08", "r10", "r11"],
        ),
        (
            json!([["genre", "desc"], ["n", "desc"]]),
            json!({"n": {"$lte": 6}}),
            vec!["r05", "r02", "r04", "r01", "r06", "r03", "r00"],
        ),
        (json!(["n", "desc"]), json!({"genre": "b"}), vec!["r07", "r04", "r01"]),
    ] {
        let body = json!({"rank_by": rank_by, "filter": filter, "top_k": 20});
        let answer = server.post(UNIFIED, body).await.ok();
        assert_eq!((ids(&answer), &answer["next_cursor"]), (expected.clone(), &Value::Null), "{rank_by}");
        assert!(answer["results"].as_array().unwrap().iter().all(|hit| hit.get("score").is_none()));
        // By pages and by offsets it is the same.
        let (mut cursor, mut found) = (Value::Null, Vec::new());
        loop {
            let body = json!({"rank_by": rank_by, "filter": filter, "top_k": 2, "cursor": cursor});
            let page = server.post(UNIFIED, body).await.ok();
            found.extend(ids(&page).iter().map(ToString::to_string));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(found, expected, "{rank_by}");
        for offset in 0..expected.len() {
            let body = json!({"rank_by": rank_by, "filter": filter, "top_k": 1, "offset": offset});
            assert_eq!(ids(&server.post(UNIFIED, body).await.ok()), expected[offset..][..1], "{rank_by}");
        }
    }
}

/// A cursor is a position, not a row: it holds when rows are written meanwhile.
#[tokio::test]
async fn a_cursor_outlasts_its_row() {
    let server = seeded().await;
    let body = json!({"rank_by": ["n", "asc"], "top_k": 3});
    let page = server.post(UNIFIED, body.clone()).await.ok();
    assert_eq!(ids(&page), ["r00", "r01", "r02"]);
    server.post("/v1/namespaces/ns/vectors/delete", json!({"ids": ["r02", "r03"]})).await.ok();
    server.upsert("ns", json!([{"id": "new", "values": [1, 1], "metadata": {"n": 2}}])).await;
    let mut body = body;
    body["cursor"] = page["next_cursor"].clone();
    assert_eq!(ids(&server.post(UNIFIED, body.clone()).await.ok()), ["r04", "r05", "r06"]);
    for other in [json!([["n", "asc"], ["year", "asc"]]), json!(["n", "desc"]), json!(["year", "asc"])] {
        body["rank_by"] = other;
        let error = server.post(UNIFIED, body.clone()).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], "cursor");
    }
    body["rank_by"] = json!(["n", "asc"]);
    body["group_by"] = json!({"field": "year"});
    let error = server.post(UNIFIED, body).await.error(400, "INVALID_REQUEST");
    assert_eq!(error["details"]["field"], "cursor");
}

#[tokio::test]
async fn scores_stay_numbers() {
    let server = seeded().await;
    let great = json!(["Product", 3e38, ["kNN", [12, 0]]]);
    let less = json!(["Product", 3e38, ["kNN", [-12, 0]]]);
    for (rank_by, best) in [(great.clone(), f32::MAX), (json!(["Sum", [great, less]]), 0.0)] {
        let answer = server.post(UNIFIED, json!({"rank_by": rank_by, "top_k": 1})).await.ok();
        assert_eq!(scores(&answer)[0] as f32, best, "{rank_by}");
    }
    let many = vec![json!(0); 100_000];
    let error = server.post(UNIFIED, json!({ "rank_by": many })).await.error(400, "INVALID_REQUEST");
    assert_eq!(error["details"]["field"], "rank_by");
}

#[tokio::test]
async fn scores_are_made_of_several() {
    let server = seeded().await;
    // Of a row: a = 12 - n and b = n.
    for (rank_by, expected, score) in [
        (json!(["ANN", [1, 0]]), ["r00", "r01"], 12.0),
        (json!(["kNN", [0, 1]]), ["r11", "r10"], 11.0),
        (json!(["vector", "ANN", [0, 1]]), ["r11", "r10"], 11.0),
        (json!(["Product", 0.5, ["kNN", [1, 0]]]), ["r00", "r01"], 6.0),
        (json!(["Sum", [["kNN", [1, 0]], ["Product", 3, ["kNN", [0, 1]]]]]), ["r11", "r10"], 34.0),
        (json!(["Sum", [["ANN", [1, 0]], ["Product", 3, ["ANN", [0, 1]]]]]), ["r11", "r10"], 34.0),
        (json!(["Max", [["kNN", [1, 0]], ["kNN", [0, 1]]]]), ["r00", "r01"], 12.0),
        (json!(["Max", [["kNN", [1, 0]], ["Product", 2, ["ANN", [0, 1]]]]]), ["r11", "r10"], 22.0),
        // Equal scores come in id order.
        (json!(["Sum", [["kNN", [1, 0]], ["kNN", [0, 1]]]]), ["r00", "r01"], 12.0),
    ] {
        let answer = server.post(UNIFIED, json!({"rank_by": rank_by, "top_k": 2})).await.ok();
        assert_eq!((ids(&answer), scores(&answer)[0]), (expected.to_vec(), score), "{rank_by}");
        assert_eq!(answer["results"][0]["$dist"], answer["results"][0]["score"]);
        let body = json!({"rank_by": rank_by, "top_k": 12, "filter": {"n": {"$in": [3, 4]}}});
        let mut among = ids(&server.post(UNIFIED, body).await.ok()).join(" ");
        among = if among.starts_with("r04") { "r03 r04".into() } else { among };
        assert_eq!(among, "r03 r04", "{rank_by}");
    }
    let body = json!({"rank_by": ["Sum", [["ANN", [1, 0]], ["kNN", [1, 0]]]], "top_k": 1, "include_vectors": true, "include_metadata": false});
    let answer = server.post(UNIFIED, body).await.ok();
    assert_eq!(
        answer["results"][0],
        json!({"id": "r00", "score": 24.0, "$dist": 24.0, "vector": [12.0, 0.0]})
    );
    // By another metric.
    let body =
        json!({"rank_by": ["Product", 2, ["kNN", [1, 11]]], "top_k": 1, "distance_metric": "euclidean"});
    let answer = server.post(UNIFIED, body).await.ok();
    assert_eq!((ids(&answer), scores(&answer)), (vec!["r11"], vec![0.0]));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = seeded().await;
    for (body, field) in [
        (json!({"rank_by": ["Sum", [["ANN", [1, 0]], ["year", "asc"]]]}), "rank_by[1][1]"),
        (json!({"rank_by": ["year", "up"]}), "rank_by"),
        (json!({"rank_by": ["ANN", [1, 0]], "cursor": "YQ"}), "cursor"),
        (json!({"rank_by": ["year", "asc"], "cursor": "YQ"}), "cursor"),
        (json!({"rank_by": ["year", "asc"], "score_threshold": 1}), "score_threshold"),
        (json!({"rank_by": ["year", "asc"], "order_by": ["n", "asc"]}), "order_by"),
        (json!({"rank_by": ["year", "asc"], "distance_metric": "cosine"}), "distance_metric"),
        (json!({"rank_by": ["year", "asc"], "exact": true}), "exact"),
        (json!({"rank_by": ["year", "asc"], "recall_target": 0.9}), "recall_target"),
        (json!({"rank_by": ["year", "asc"], "effort": 0.5}), "effort"),
        (json!({"rank_by": [["year", "asc"]], "index": "flat"}), "index"),
        (json!({"rank_by": ["year", "asc"], "group_by": {"field": "a..b"}}), "group_by.field"),
        (json!({"rank_by": ["year", "asc"], "group_by": {"field": "a", "limit": 0}}), "group_by.limit"),
        (json!({"rank_by": ["year", "asc"], "filter": {"a": {"$x": 1}}}), "filter.a.$x"),
        (json!({"rank_by": ["year", "asc"], "top_k": 0}), "top_k"),
    ] {
        let error = server.post(UNIFIED, body.clone()).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{body}");
    }
    for (rank_by, field) in [
        (json!(["ANN", [1]]), "rank_by[1]"),
        (json!(["Max", [["kNN", [1, 0]], ["vector", "kNN", [1, 2, 3]]]]), "rank_by[1][1][2]"),
    ] {
        let error = server.post(UNIFIED, json!({"rank_by": rank_by})).await.error(400, "DIMENSION_MISMATCH");
        assert_eq!(error["details"]["field"], field, "{rank_by}");
    }
    for body in [
        json!({"rank_by": ["ANN", [1, 0]], "top_k": 9_000, "offset": 1_001}),
        json!({"rank_by": ["year", "asc"], "offset": 10_000}),
    ] {
        let error = server.post(UNIFIED, body).await.error(400, "LIMIT_EXCEEDED");
        assert_eq!(
            (&error["details"]["field"], &error["details"]["limit"]),
            (&json!("offset"), &json!("limits.top_k"))
        );
    }
    let error =
        server.post(QUERY, json!({"vector": [1, 0], "offset": 10_000})).await.error(400, "LIMIT_EXCEEDED");
    assert_eq!(error["details"]["field"], "offset");
    for rank_by in [json!(["BM25", "x"]), json!(["Sum", [["ANN", [1, 0]], ["text", "BM25", "x"]]])] {
        let answer = server.post(UNIFIED, json!({"rank_by": rank_by})).await;
        answer.error(404, "INDEX_NOT_FOUND");
    }
    // What is said by default is no wish.
    let body = json!({"rank_by": ["year", "asc"], "exact": false, "effort": null, "index": "auto"});
    server.post(UNIFIED, body).await.ok();
    server.post(UNIFIED, json!({"rank_by": {}})).await.error(400, "INVALID_REQUEST");
    server.post(UNIFIED, json!({})).await.error(422, "UNPROCESSABLE_CONTENT");
    server
        .post("/v1/namespaces/no/unified-query", json!({"rank_by": ["ANN", [1]]}))
        .await
        .error(404, "NAMESPACE_NOT_FOUND");
}

#[tokio::test]
async fn an_empty_namespace_has_nothing_to_rank() {
    let server = Server::new();
    server.put("/v1/namespaces/ns", json!({"dimension": 2})).await.ok();
    for rank_by in
        [json!(["ANN", [1, 0]]), json!(["n", "asc"]), json!(["Sum", [["kNN", [1, 0]], ["ANN", [1, 0]]]])]
    {
        let answer = server.post(UNIFIED, json!({"rank_by": rank_by, "group_by": {"field": "a"}})).await.ok();
        assert_eq!((&answer["results"], &answer["next_cursor"]), (&json!([]), &Value::Null), "{rank_by}");
    }
}

/// The best sum is that of a row which is near neither vector: only a look at all rows finds it.
#[tokio::test]
async fn exact_parts_make_an_exact_whole() {
    let server = Server::new();
    let body = json!({"name": "ns", "dimension": 2, "distance": "euclidean"});
    server.post("/v1/namespaces", body).await.ok();
    let near = |x: i32| {
        (1..=150).map(move |y| json!({"id": format!("{x}-{y}"), "values": [x, y], "metadata": {"x": x}}))
    };
    let mut rows: Vec<Value> = near(0).chain(near(1000)).collect();
    rows.push(json!({"id": "between", "values": [500, 0]}));
    server.upsert("ns", rows.into()).await;
    let sum = |name: &str| json!(["Sum", [[name, [0, 0]], [name, [1000, 0]]]]);
    let answer = server.post(UNIFIED, json!({"rank_by": sum("kNN"), "top_k": 2})).await.ok();
    assert_eq!((ids(&answer)[0], scores(&answer)[0]), ("between", -1000.0));
    let body = json!({"rank_by": sum("ANN"), "top_k": 2, "exact": true});
    assert_eq!(ids(&server.post(UNIFIED, body).await.ok())[0], "between");
    // Of what the parts find on their own, the scores are exact, too.
    let answer = server.post(UNIFIED, json!({"rank_by": sum("ANN"), "top_k": 2})).await.ok();
    assert_eq!(ids(&answer), ["0-1", "1000-1"]);
    let expected = -1.0 - 1_000_001f32.sqrt();
    assert!(scores(&answer).iter().all(|score| *score as f32 == expected), "{answer}");
    let body = json!({"rank_by": sum("kNN"), "top_k": 2, "filter": {"x": 0}});
    assert_eq!(ids(&server.post(UNIFIED, body).await.ok()), ["0-1", "0-2"]);
}

/// The scores of a search for words, by id.
async fn words(server: &Server, query: &str) -> HashMap<String, f64> {
    let body = json!({"query": query, "syntax": "plain", "top_k": 100});
    let answer = server.post("/v1/namespaces/ns/fulltext/search", body).await.ok();
    let hits = answer["results"].as_array().unwrap().iter();
    hits.map(|hit| (hit["id"].as_str().unwrap().to_owned(), hit["score"].as_f64().unwrap())).collect()
}

#[tokio::test]
async fn words_are_a_part_of_a_score() {
    let server = Server::new();
    let body = json!({"name": "ns", "dimension": 2, "distance": "dot_product"});
    server.post("/v1/namespaces", body).await.ok();
    let text = |n: i32| ["a quick fox", "fox and fox again", "dogs sleep", "the quick dog"][n as usize % 4];
    let row =
        |n: i32| json!({"id": format!("r{n:02}"), "values": [n, 1], "metadata": {"text": text(n), "n": n}});
    server.upsert("ns", (0..10).map(row).collect()).await;
    server.put("/v1/namespaces/ns/indexes/fulltext", json!({"fields": ["text"]})).await.ok();
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", (10..20).map(row).collect()).await;
    let (fox, quick) = (words(&server, "fox").await, words(&server, "quick").await);
    assert_eq!((fox.len(), quick.len()), (10, 10));
    let of = |scores: &HashMap<String, f64>, id: &str| scores.get(id).copied().unwrap_or_default();
    let near = |id: &str| 0.01 * id[1..].parse::<f64>().unwrap();
    let all: Vec<String> = (0..20).map(|n| format!("r{n:02}")).collect();
    let sum = |id: &str| near(id) + 2.0 * of(&fox, id);
    let either = |id: &str| of(&fox, id).max(of(&quick, id));
    let both = |id: &str| of(&fox, id) + of(&quick, id);
    for name in ["ANN", "kNN"] {
        let vector = json!([name, [0.01, 0]]);
        let cases: [(Value, Expected<'_>, bool); 5] = [
            (json!(["BM25", "fox"]), &|id| of(&fox, id), true),
            (json!(["Product", 3, ["text", "BM25", "fox"]]), &|id| 3.0 * of(&fox, id), true),
            (json!(["Max", [["text", "BM25", "fox"], ["BM25", "text", "quick"]]]), &either, true),
            (json!(["Sum", [["text", "BM25", "fox"], ["BM25", "quick"]]]), &both, true),
            (json!(["Sum", [vector, ["Product", 2, ["text", "BM25", "fox"]]]]), &sum, false),
        ];
        for (rank_by, score, only_matching) in cases {
            let mut expected: Vec<(&String, f64)> = all.iter().map(|id| (id, score(id))).collect();
            expected.retain(|(_, score)| !only_matching || *score > 0.0);
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
            for top_k in [3, 20] {
                let answer = server.post(UNIFIED, json!({"rank_by": rank_by, "top_k": top_k})).await.ok();
                let found: Vec<(&str, f64)> = ids(&answer).into_iter().zip(scores(&answer)).collect();
                assert_eq!(found.len(), expected.len().min(top_k), "{rank_by}");
                for ((id, score), (expected, exact)) in found.iter().zip(&expected) {
                    assert!(
                        *id == *expected && (score - exact).abs() < 1e-5,
                        "{rank_by}: {found:?} {expected}"
                    );
                }
            }
        }
    }
    let body = json!({"rank_by": ["BM25", "fox dogs"], "filter": {"n": {"$lt": 3}}, "top_k": 9});
    assert_eq!(ids(&server.post(UNIFIED, body).await.ok()).len(), 3);
    let body = json!({"rank_by": ["BM25", "fox"], "group_by": {"field": "text"}, "top_k": 9});
    assert_eq!(ids(&server.post(UNIFIED, body).await.ok()), ["r01", "r00"]);
    let error = server.post(UNIFIED, json!({"rank_by": ["Sum", [["title", "BM25", "x"]]]})).await;
    assert_eq!(error.error(400, "INVALID_REQUEST")["details"]["field"], "rank_by[1][0]");
}

#[tokio::test]
async fn long_texts_are_refused_by_their_place() {
    let server = Server::with(|config| config.limits.text_query_bytes = 3);
    server.upsert("ns", json!([{"id": "a", "values": [1]}])).await;
    let answer = server.post(UNIFIED, json!({"rank_by": ["Max", [["BM25", "four"]]]})).await;
    assert_eq!(answer.error(400, "LIMIT_EXCEEDED")["details"]["field"], "rank_by[1][0]");
}

/// The row that is nearest has the longest text, so that a search for words does not come to it.
#[tokio::test]
async fn what_one_part_finds_is_scored_by_the_others() {
    let server = Server::new();
    let body = json!({"name": "ns", "dimension": 2, "distance": "dot_product"});
    server.post("/v1/namespaces", body).await.ok();
    let text =
        |n: usize| format!("{} {}", if n % 2 == 1 { "fox" } else { "dog" }, "word ".repeat(n / 10 + 1));
    let row = |n: usize| json!({"id": format!("r{n:03}"), "values": [n, 0], "metadata": {"text": text(n)}});
    server.upsert("ns", (0..300).map(row).collect()).await;
    server.put("/v1/namespaces/ns/indexes/fulltext", json!({})).await.ok();
    let body = json!({"query": "fox", "top_k": 300});
    let answer = server.post("/v1/namespaces/ns/fulltext/search", body).await.ok();
    let place = ids(&answer).iter().position(|id| *id == "r299").unwrap();
    assert!(place >= 100, "{place}");
    let expected = 299.0 + scores(&answer)[place];
    let rank_by = json!(["Sum", [["ANN", [1, 0]], ["BM25", "fox"]]]);
    let answer = server.post(UNIFIED, json!({"rank_by": rank_by, "top_k": 1})).await.ok();
    assert!(ids(&answer) == ["r299"] && (scores(&answer)[0] - expected).abs() < 1e-4, "{expected}: {answer}");
}
