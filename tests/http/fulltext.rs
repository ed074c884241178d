//! Searching by words, and by words and a vector.

use serde_json::{Value, json};

use crate::support::Server;

const SEARCH: &str = "/v1/namespaces/ns/fulltext/search";
const HYBRID: &str = "/v1/namespaces/ns/hybrid";
const DOCUMENTS: &str = "/v1/namespaces/ns/fulltext/index";
const INDEX: &str = "/v1/namespaces/ns/indexes/fulltext";

/// Some rows in a segment, some in the log.
async fn seeded() -> Server {
    let server = Server::new();
    let row = |(id, text, values): (&str, &str, [f64; 2])| json!({"id": id, "values": values, "metadata": {"text": text, "id": id}});
    let folded = [
        ("fox", "The quick brown fox jumps over the lazy dog", [1.0, 0.0]),
        ("dog", "A dog sleeps & dreams; dogs do", [0.9, 0.1]),
        ("cafe", "Crème brûlée at the café", [0.0, 1.0]),
    ];
    let fresh = [
        ("tokyo", "東京都は大きい", [0.1, 0.9]),
        ("foxes", "foxes and <b>hounds</b>", [-1.0, 0.0]),
        ("none", "", [0.5, 0.5]),
    ];
    server.upsert("ns", folded.map(row).to_vec().into()).await;
    server.put(INDEX, json!({})).await.ok();
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", fresh.map(row).to_vec().into()).await;
    server
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

/// The rows that are found.
async fn found(server: &Server, body: Value) -> Vec<String> {
    let answer = server.post(SEARCH, body).await.ok();
    ids(&answer).into_iter().map(String::from).collect()
}

#[tokio::test]
async fn rows_are_found_by_their_words_wherever_they_lie() {
    let server = seeded().await;
    for (query, expected) in [
        ("fox", vec!["foxes", "fox"]),
        ("dogs", vec!["dog", "fox"]),
        ("\"brown fox\"", vec!["fox"]),
        ("creme brulee", vec!["cafe"]),
        ("東京", vec!["tokyo"]),
        ("fox -lazy", vec!["foxes"]),
        ("houn*", vec!["foxes"]),
        ("quikc~", vec!["fox"]),
        ("dog AND fox", vec!["fox"]),
        ("the", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(found(&server, json!({"query": query})).await, expected, "{query}");
    }
    let plain = json!({"query": "fox -lazy (", "syntax": "plain", "top_k": 1});
    assert_eq!(found(&server, plain).await, ["fox"]);
    let filtered = json!({"query": "fox dog", "filter": {"id": {"$ne": "fox"}}});
    assert_eq!(found(&server, filtered).await, ["dog", "foxes"]);
}

#[tokio::test]
async fn answers_show_texts_and_what_was_found_in_them() {
    let server = seeded().await;
    let answer = server.post(SEARCH, json!({"query": "hound"})).await.ok();
    let hit = &answer["results"][0];
    assert_eq!(hit["content"], "foxes and <b>hounds</b>");
    assert_eq!(hit["highlights"], json!(["foxes and &lt;b&gt;<em>hounds</em>&lt;/b&gt;"]));
    assert_eq!(hit["metadata"], json!({"text": "foxes and <b>hounds</b>", "id": "foxes"}));
    assert!(hit["score"].as_f64().unwrap() > 0.0 && hit.get("vector").is_none());
    assert!(answer["search_time_ms"].is_number() && answer["usage"].is_object());

    let style = json!({"pre_tag": "[", "post_tag": "]", "fragment_bytes": 10, "fragments": 1});
    let body = json!({"query": "fox dog", "highlight_style": style, "filter": {"id": "fox"}});
    let answer = server.post(SEARCH, body).await.ok();
    assert_eq!(answer["results"][0]["highlights"], json!(["…[fox]…"]));

    let bare =
        json!({"query": "hound", "highlight": false, "include_metadata": false, "include_vectors": true});
    let answer = server.post(SEARCH, bare).await.ok();
    let hit = answer["results"][0].as_object().unwrap();
    assert_eq!(hit.keys().collect::<Vec<_>>(), ["id", "score", "vector"]);
}

/// Documents for rows with vectors and for none, in a segment and in the log.
async fn with_documents() -> Server {
    let server = Server::new();
    let index = |documents: Value| json!({ "documents": documents });
    let folded = json!([{"id": "fox", "text": "the quick brown fox"}, {"id": "dog", "content": "a lazy dog", "metadata": {"n": 1}}]);
    let answer = server.post(DOCUMENTS, index(folded)).await.ok();
    assert_eq!(answer, json!({"indexed_count": 2, "inserted_count": 2}));
    let row =
        |id: &str, values: Value| json!({"id": id, "values": values, "metadata": {"n": 7, "keep": 1.50}});
    let rows =
        json!([row("cat", json!([1.0, 0.0])), row("cow", json!([0.0, 1.0])), row("bare", Value::Null)]);
    server.upsert("ns", rows).await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    let fresh = json!([
        {"id": "cat", "text": "a cat & a fox", "metadata": {"n": 8}},
        {"id": "fox", "text": "another fox", "metadata": {"n": 2}},
        {"id": "cat", "text": "two foxes", "metadata": {"m": 3}},
        {"id": "owl", "text": "an owl"},
    ]);
    let answer = server.post(DOCUMENTS, index(fresh)).await.ok();
    assert_eq!(answer, json!({"indexed_count": 4, "inserted_count": 1}));
    server
}

#[tokio::test]
async fn documents_are_rows_with_or_without_vectors() {
    let server = with_documents().await;
    assert_eq!(found(&server, json!({"query": "fox"})).await, ["cat", "fox"]);
    assert_eq!(found(&server, json!({"query": "quick brown cat"})).await, [""; 0], "texts are replaced");
    assert_eq!(found(&server, json!({"query": "dog owl", "filter": {"n": 1}})).await, ["dog"]);
    // A row keeps its vector and what the document does not name.
    let rows = server.post("/v1/namespaces/ns/fetch", json!({"ids": ["cat", "fox", "bare"]})).await.ok();
    let row = |at: usize| (&rows["vectors"][at]["values"], rows["vectors"][at]["metadata"].clone());
    assert_eq!(row(0), (&json!([1.0, 0.0]), json!({"n": 8, "keep": 1.5, "text": "two foxes", "m": 3})));
    assert_eq!(row(1), (&Value::Null, json!({"text": "another fox", "n": 2})));
    assert_eq!(row(2), (&Value::Null, json!({"n": 7, "keep": 1.5})));
    for compact in [false, true] {
        if compact {
            server.post("/v1/namespaces/ns/compact", json!({"full": true})).await.ok();
        }
        // Vectors find rows that have one, filters and counts all.
        for extra in [json!({}), json!({"exact": true}), json!({"filter": {"n": {"$gt": 0}}})] {
            let mut body = json!({"vector": [1.0, 0.1], "top_k": 10});
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let answer = server.post("/v1/namespaces/ns/query", body).await.ok();
            assert_eq!(ids(&answer), ["cat", "cow"]);
        }
        let count = server.post("/v1/namespaces/ns/vectors/count", json!({"filter": {"n": 7}})).await.ok();
        assert_eq!(count["count"], 2);
        // Both kinds are in one ranking.
        let body = json!({"text": "fox owl", "vector": [1.0, 0.0], "top_k": 10});
        let answer = server.post(HYBRID, body).await.ok();
        let mut all = ids(&answer);
        all.sort_unstable();
        assert_eq!(all, ["cat", "cow", "fox", "owl"]);
        let fox = answer["results"].as_array().unwrap().iter().find(|hit| hit["id"] == "fox").unwrap();
        assert!(fox.get("vector_score").is_none_or(Value::is_null), "{fox}");
        for (rank_by, expected) in [
            (
                json!(["Sum", [["kNN", [1.0, 0.0]], ["Product", 100, ["text", "BM25", "owl"]]]]),
                vec!["owl", "cat", "cow"],
            ),
            (json!(["Sum", [["kNN", [1.0, 0.0]]]]), vec!["cat", "cow"]),
            (json!(["ANN", [1.0, 0.0]]), vec!["cat", "cow"]),
            (json!(["n", "desc"]), vec!["cat", "bare", "cow", "fox", "dog", "owl"]),
        ] {
            let body = json!({"rank_by": rank_by, "top_k": 10});
            let answer = server.post("/v1/namespaces/ns/unified-query", body).await.ok();
            assert_eq!(ids(&answer), expected, "{rank_by}");
        }
        let recall = server.post("/v1/namespaces/ns/recall", json!({"queries": 10})).await.ok();
        assert_eq!(recall["query_count"], 2, "rows without vectors are no queries");
    }
}

#[tokio::test]
async fn a_namespace_may_have_texts_alone() {
    let server = Server::new();
    let documents: Vec<Value> =
        (0..300).map(|n| json!({"id": format!("d{n}"), "text": format!("word{n} all")})).collect();
    server.post(DOCUMENTS, json!({"documents": documents})).await.ok();
    for _ in 0..2 {
        assert_eq!(found(&server, json!({"query": "word7"})).await, ["d7"]);
        assert_eq!(found(&server, json!({"query": "all", "top_k": 1000})).await.len(), 300);
        let info = server.get("/v1/namespaces/ns").await.ok();
        assert_eq!((&info["dimension"], &info["vector_count"]), (&Value::Null, &json!(300)));
        let body = json!({"vector": [1.0, 2.0, 3.0], "top_k": 5});
        assert_eq!(server.post("/v1/namespaces/ns/query", body).await.ok()["results"], json!([]));
        server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    }
    // The first vector fixes the dimension, and the rows before it stay.
    server.upsert("ns", json!([{"id": "v", "values": [1.0, 0.0]}])).await;
    let body = json!({"vector": [1.0, 0.0], "top_k": 5});
    assert_eq!(ids(&server.post("/v1/namespaces/ns/query", body).await.ok()), ["v"]);
    server.post("/v1/namespaces/ns/compact", json!({"full": true})).await.ok();
    assert_eq!(found(&server, json!({"query": "word299"})).await, ["d299"]);
    let explained = server.post("/v1/namespaces/ns/explain", json!({"vector": [1.0, 0.0]})).await.ok();
    assert_eq!(explained["index_selection"].as_array().unwrap().len(), 1, "{explained}");
}

#[tokio::test]
async fn documents_go_into_the_first_field_of_the_index() {
    let server = Server::new();
    server
        .upsert("ns", json!([{"id": "a", "values": [1.0], "metadata": {"doc": {"lang": "en", "body": 1}}}]))
        .await;
    server.put(INDEX, json!({"fields": ["doc.body", "title"]})).await.ok();
    let documents = json!([
        {"id": "a", "text": "one", "metadata": {"doc": {"body": "other"}, "title": "two"}},
        {"id": "b", "text": "three \"quoted\"", "metadata": null}
    ]);
    server.post(DOCUMENTS, json!({"documents": documents})).await.ok();
    let rows = server.post("/v1/namespaces/ns/fetch", json!({"ids": ["a", "b"]})).await.ok();
    assert_eq!(rows["vectors"][0]["metadata"], json!({"doc": {"lang": "en", "body": "one"}, "title": "two"}));
    assert_eq!(rows["vectors"][1]["metadata"], json!({"doc": {"body": "three \"quoted\""}}));
    assert_eq!(found(&server, json!({"query": "two three", "top_k": 5})).await.len(), 2);
}

#[tokio::test]
async fn what_is_wrong_with_documents_is_said_and_nothing_is_written() {
    let server = Server::new();
    let long = "x".repeat(70_000);
    for (documents, status, code, says) in [
        (
            json!([{"id": "a", "text": "t"}, {"id": "", "text": "t"}]),
            400,
            "INVALID_REQUEST",
            "documents[1].id",
        ),
        (
            json!([{"id": "a", "text": "t"}, {"id": "b", "text": long}]),
            400,
            "LIMIT_EXCEEDED",
            "documents[1]: ",
        ),
        (json!([{"id": "a"}]), 422, "UNPROCESSABLE_CONTENT", "text"),
        (
            json!([{"id": "a", "text": "t", "metadata": []}]),
            422,
            "UNPROCESSABLE_CONTENT",
            "documents[0].metadata",
        ),
        (json!([{"id": "a", "text": "t", "vector": [1]}]), 422, "UNPROCESSABLE_CONTENT", "vector"),
        (
            json!(vec![json!({"id": "a", "text": "t"}); 10_001]),
            400,
            "LIMIT_EXCEEDED",
            "limits.batch_rows = 10000",
        ),
    ] {
        let answer = server.post(DOCUMENTS, json!({"documents": documents})).await.error(status, code);
        assert!(answer["error"].as_str().unwrap().contains(says), "{says}: {answer}");
    }
    assert_eq!(server.post(DOCUMENTS, json!({"documents": []})).await.ok()["indexed_count"], 0);
    let count = server.post("/v1/namespaces/ns/vectors/count", json!({})).await;
    assert!(count.status == 404 || count.ok()["count"] == 0, "nothing is half-applied");
}

#[tokio::test]
async fn what_is_wrong_with_a_search_is_said() {
    let server = seeded().await;
    for (body, field, about) in [
        (json!({"query": "(fox"}), "query", ""),
        (
            json!({"query": "é title:fox"}),
            "query",
            "character 3: \"title\" is not a field of the index, which is over text",
        ),
        (
            json!({"query": "text:é text:ü title:fox"}),
            "query",
            "character 15: \"title\" is not a field of the index, which is over text",
        ),
        (json!({"query": "fox", "fields": ["title"]}), "fields[0]", "the index is over text"),
        (json!({"query": "fox", "fields": []}), "fields", ""),
        (json!({"query": "fox", "top_k": 0}), "top_k", "at least 1"),
        (json!({"query": "fox", "highlight_style": {"fragments": 0}}), "highlight_style.fragments", "from 1"),
        (
            json!({"query": "fox", "highlight_style": {"pre_tag": "x".repeat(257)}}),
            "highlight_style.pre_tag",
            "256",
        ),
        (json!({"query": "fox", "filter": {"a": {"$gt": null}}}), "filter.a.$gt", ""),
    ] {
        let error = server.post(SEARCH, body.clone()).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{body}");
        assert!(error["error"].as_str().unwrap().contains(about), "{error}");
    }
    for body in [
        json!({}),
        json!({"query": 1}),
        json!({"query": "a", "quer": "b"}),
        json!({"query": "a", "syntax": "lucene"}),
    ] {
        server.post(SEARCH, body).await.error(422, "UNPROCESSABLE_CONTENT");
    }
    server
        .post("/v1/namespaces/none/fulltext/search", json!({"query": "a"}))
        .await
        .error(404, "NAMESPACE_NOT_FOUND");
    server.delete(INDEX).await.ok();
    let error = server.post(SEARCH, json!({"query": "fox"})).await.error(404, "INDEX_NOT_FOUND");
    assert!(error["error"].as_str().unwrap().contains("fulltext"), "{error}");
    server.get("/v1/namespaces/ns/fulltext/stats").await.error(404, "INDEX_NOT_FOUND");
    server.post(HYBRID, json!({"text": "fox"})).await.error(404, "INDEX_NOT_FOUND");
}

#[tokio::test]
async fn queries_have_limits() {
    let server = Server::with(|config| {
        config.limits.text_query_bytes = 40;
        config.limits.text_query_depth = 2;
        config.limits.text_query_terms = 4;
        config.limits.text_expansions = 2;
    });
    let row = |number: usize| json!({"id": format!("{number}"), "values": [1], "metadata": {"text": format!("word{number}")}});
    server.upsert("ns", (0..5).map(row).collect()).await;
    server.put(INDEX, json!({"language": "none"})).await.ok();
    for (query, limit) in [
        ("x".repeat(41), "limits.text_query_bytes"),
        ("(((a)))".into(), "limits.text_query_depth"),
        ("a b c d e".into(), "limits.text_query_terms"),
        ("word*".into(), "limits.text_expansions"),
    ] {
        let error = server.post(SEARCH, json!({"query": query})).await.error(400, "LIMIT_EXCEEDED");
        assert_eq!(
            (&error["details"]["limit"], &error["details"]["field"]),
            (&json!(limit), &json!("query"))
        );
        let error =
            server.post(HYBRID, json!({"text": query, "syntax": "query"})).await.error(400, "LIMIT_EXCEEDED");
        assert_eq!((&error["details"]["limit"], &error["details"]["field"]), (&json!(limit), &json!("text")));
    }
    let limits = &server.get("/capabilities").await.ok()["limits"];
    assert_eq!((&limits["text_query_bytes"], &limits["text_expansions"]), (&json!(40), &json!(2)));
}

#[tokio::test]
async fn the_index_is_chosen_by_its_parameters() {
    let server = seeded().await;
    let index = server.get(INDEX).await.ok();
    assert_eq!(index["type"], "fulltext");
    assert_eq!(
        (&index["parameters"]["fields"], &index["parameters"]["language"]),
        (&json!(["text"]), &json!("english"))
    );
    let chosen = json!({"fields": ["title", "text"], "weights": {"title": 100}, "language": "none", "k1": 0.9, "b": 0.4,
        "stemming": false, "stop_words": false, "ascii_folding": false, "case_sensitive": true});
    let index = server.put(INDEX, chosen.clone()).await.ok();
    for (name, value) in chosen.as_object().unwrap() {
        let got = &index["parameters"][name];
        match (got.as_f64(), value.as_f64()) {
            (Some(got), Some(value)) => assert_eq!(got, value, "{name}"),
            _ if name == "weights" => assert_eq!(got["title"].as_f64(), Some(100.0)),
            _ => assert_eq!(got, value, "{name}"),
        }
    }
    assert_eq!(found(&server, json!({"query": "dog"})).await, ["dog", "fox"]);
    assert_eq!(found(&server, json!({"query": "Dog the"})).await, ["cafe", "fox"]);
    server
        .upsert("ns", json!([{"id": "t", "values": [1, 1], "metadata": {"title": "dog", "text": "cat"}}]))
        .await;
    assert_eq!(found(&server, json!({"query": "dog"})).await[0], "t");
    assert_eq!(found(&server, json!({"query": "dog", "fields": ["title"]})).await, ["t"]);
    assert_eq!(found(&server, json!({"query": "text:dog"})).await, ["dog", "fox"]);
    for (body, field) in [
        (json!({"fields": []}), "fields"),
        (json!({"fields": ["a", "a"]}), "fields[1]"),
        (json!({"weights": {"title": 2}}), "weights"),
        (json!({"weights": {"text": -1}}), "weights.text"),
        (json!({"k1": 101}), "k1"),
        (json!({"b": 1.5}), "b"),
        (json!({"m": 16}), "m"),
    ] {
        let error = server.put(INDEX, body.clone()).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{body}");
    }
    server.put(INDEX, json!({"language": "klingon"})).await.error(422, "UNPROCESSABLE_CONTENT");
    let error = server
        .put("/v1/namespaces/ns/indexes/hnsw", json!({"fields": ["a"]}))
        .await
        .error(400, "INVALID_REQUEST");
    assert_eq!(error["details"]["field"], "fields");
}

#[tokio::test]
async fn texts_are_counted_and_documents_deleted() {
    let server = seeded().await;
    let stats = server.get("/v1/namespaces/ns/fulltext/stats").await.ok();
    assert_eq!(stats["document_count"], 5, "a row without a word is none");
    let before = stats["unique_terms"].as_u64().unwrap();
    assert_eq!(stats["fields"][0]["field"], "text");
    let answer =
        server.post("/v1/namespaces/ns/fulltext/delete", json!({"ids": ["tokyo", "gone"]})).await.ok();
    assert_eq!(answer, json!({"deleted_count": 1}));
    let stats = server.get("/v1/namespaces/ns/fulltext/stats").await.ok();
    assert_eq!(stats["document_count"], 4);
    assert!(stats["unique_terms"].as_u64().unwrap() < before);
    assert!(stats["avg_doc_length"].as_f64().unwrap() > 1.0);
    assert_eq!(server.count("ns").await, 5);
    server.post("/v1/namespaces/ns/fulltext/delete", json!({})).await.error(422, "UNPROCESSABLE_CONTENT");
}

#[tokio::test]
async fn a_hybrid_search_has_one_ranking_of_both() {
    let server = seeded().await;
    let body = json!({"text": "a fox?", "vector": [0, 1], "top_k": 3});
    let answer = server.post(HYBRID, body.clone()).await.ok();
    // Both that have the word, however far, and the row that is nearest.
    assert_eq!(answer["results"].as_array().unwrap().len(), 3);
    let by_text = server.post(SEARCH, json!({"query": "fox"})).await.ok();
    let by_vector = server.post("/v1/namespaces/ns/query", json!({"vector": [0, 1]})).await.ok();
    let score = |answer: &Value, id: &str| {
        let hits = answer["results"].as_array().unwrap();
        hits.iter().find(|hit| hit["id"] == id).map(|hit| hit["score"].clone())
    };
    for hit in answer["results"].as_array().unwrap() {
        let id = hit["id"].as_str().unwrap();
        assert_eq!(hit.get("text_score").cloned(), score(&by_text, id), "{hit}");
        assert_eq!(hit.get("vector_score").cloned(), score(&by_vector, id), "{hit}");
        assert!(hit["content"].is_string() && hit.get("highlights").is_none());
    }
    // One of the two alone.
    let only = |weight: f64| json!({"text": "fox", "vector": [0, 1], "vector_weight": weight, "top_k": 10});
    let answer = server.post(HYBRID, only(1.0)).await.ok();
    assert_eq!(ids(&answer), ids(&by_vector));
    assert!(answer["results"][0].get("text_score").is_none());
    assert_eq!(answer["results"][0]["score"], by_vector["results"][0]["score"]);
    for body in [only(0.0), json!({"text": "fox", "highlight": true})] {
        let answer = server.post(HYBRID, body).await.ok();
        assert_eq!(ids(&answer), ids(&by_text));
        assert_eq!(answer["results"][0]["score"], by_text["results"][0]["score"]);
        assert!(answer["results"][0].get("vector_score").is_none());
    }
    // A filter holds for both.
    let filtered = json!({"text": "fox", "vector": [0, 1], "filter": {"id": {"$nin": ["foxes", "cafe"]}}});
    let answer = server.post(HYBRID, filtered).await.ok();
    assert_eq!(ids(&answer).len(), 4, "{answer}");
    assert!(!ids(&answer).contains(&"foxes") && !ids(&answer).contains(&"cafe"));
    // Ranks instead of scores.
    let ranks = json!({"text": "fox", "vector": [0, 1], "fusion": "rrf", "vector_weight": 0.5, "top_k": 1});
    let answer = server.post(HYBRID, ranks).await.ok();
    assert_eq!(ids(&answer), ["foxes"], "first by the words, last by the vector: {answer}");
    let expected = 0.5 / 61.0 + 0.5 / 65.0;
    assert!((answer["results"][0]["score"].as_f64().unwrap() - expected).abs() < 1e-6, "{answer}");
}

#[tokio::test]
async fn what_is_wrong_with_a_hybrid_search_is_said() {
    let server = seeded().await;
    for (body, field) in [
        (json!({"text": "a", "vector_weight": 1.5}), "vector_weight"),
        (json!({"text": "a", "vector": [1, 2], "vector_weight": 1, "fields": ["nonsense"]}), "fields[0]"),
        (json!({"text": "a", "vector": [1, 2], "vector_weight": -0.1}), "vector_weight"),
        (json!({"text": "b:a", "syntax": "query", "vector": [1, 2], "vector_weight": 1}), "text"),
        (json!({"text": "(", "syntax": "query"}), "text"),
        (json!({"text": "a", "top_k": 0}), "top_k"),
        (json!({"text": "a", "candidates": 0}), "candidates"),
        (json!({"text": "a", "fields": ["b"]}), "fields[0]"),
        (json!({"text": "a", "exact": true, "effort": 0.5}), "exact"),
    ] {
        let error = server.post(HYBRID, body.clone()).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{body}");
    }
    for weight in [0.0, 0.5, 1.0] {
        let body = json!({"text": "a", "vector": [1], "vector_weight": weight});
        let error = server.post(HYBRID, body).await.error(400, "DIMENSION_MISMATCH");
        assert_eq!(error["details"]["field"], "vector");
    }
    server.post(HYBRID, json!({"text": "a", "vector": []})).await.error(400, "EMPTY_VECTOR");
    server.post(HYBRID, json!({"text": "a", "candidates": 10001})).await.error(400, "LIMIT_EXCEEDED");
    server.post(HYBRID, json!({"vector": [1, 2]})).await.error(422, "UNPROCESSABLE_CONTENT");
    // Of an empty namespace there is nothing to find.
    server.put("/v1/namespaces/empty", json!({"dimension": 2})).await.ok();
    server.put("/v1/namespaces/empty/indexes/fulltext", json!({})).await.ok();
    let answer =
        server.post("/v1/namespaces/empty/hybrid", json!({"text": "a", "vector": [1, 2]})).await.ok();
    assert_eq!(answer["results"], json!([]));
}
