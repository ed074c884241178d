use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Server, odd_ids, percent};

#[tokio::test]
async fn upsert_get_update_delete_keep_the_count_exact() {
    let server = Server::new();
    let rows = json!([
        {"id": "a", "values": [1, 0], "metadata": {"n": 1}},
        {"id": "b", "values": [0, 1]},
        {"id": "a", "values": [2, 0], "metadata": {"n": 2}}
    ]);
    let done = server.upsert("ns", rows).await;
    assert_eq!(done, json!({"upserted_count": 2, "inserted_count": 2}));
    let row = server.get("/v1/namespaces/ns/vectors/a").await.ok();
    let expected = json!({"id": "a", "values": [2.0, 0.0], "metadata": {"n": 2}, "ttl_seconds": null, "expires_at": null});
    assert_eq!(row, expected, "the last of a repeated id wins");

    let done =
        server.upsert("ns", json!([{"id": "b", "values": [5, 5]}, {"id": "c", "values": [1, 1]}])).await;
    assert_eq!(done, json!({"upserted_count": 2, "inserted_count": 1}));
    assert_eq!(server.count("ns").await, 3);

    let deleted =
        server.post("/v1/namespaces/ns/vectors/delete", json!({"ids": ["b", "none", "b"]})).await.ok();
    assert_eq!(deleted, json!({"deleted_count": 1}));
    server.get("/v1/namespaces/ns/vectors/b").await.error(404, "VECTOR_NOT_FOUND");
    assert_eq!(server.delete("/v1/namespaces/ns/vectors/c").await.ok(), json!({"deleted_count": 1}));
    let error = server.delete("/v1/namespaces/ns/vectors/c").await.error(404, "VECTOR_NOT_FOUND");
    assert_eq!(error["details"], json!({"namespace": "ns", "id": "c"}));
    assert_eq!(error["resource"], "vector");
    assert_eq!(server.count("ns").await, 1);

    let deleted = server.post("/v1/namespaces/ns/vectors/delete", json!({"delete_all": true})).await.ok();
    assert_eq!(deleted, json!({"deleted_count": 1}));
    assert_eq!(server.count("ns").await, 0);
    assert_eq!(server.get("/v1/namespaces/ns").await.ok()["dimension"], 2);
}

#[tokio::test]
async fn a_delete_says_what_it_is_for() {
    let server = Server::new();
    server.upsert("ns", json!([{"id": "a", "values": [1]}])).await;
    for bad in [json!({}), json!({"delete_all": false}), json!({"ids": ["a"], "delete_all": true})] {
        server.post("/v1/namespaces/ns/vectors/delete", bad).await.error(400, "INVALID_REQUEST");
    }
    assert_eq!(
        server.post("/v1/namespaces/ns/vectors/delete", json!({"ids": []})).await.ok()["deleted_count"],
        0
    );
    assert_eq!(server.count("ns").await, 1);
}

#[tokio::test]
async fn odd_ids_round_trip_through_every_route() {
    let server = Server::new();
    let ids = odd_ids();
    let rows: Vec<Value> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| json!({"id": id, "values": [n], "metadata": {"n": n}}))
        .collect();
    assert_eq!(server.upsert("ns", json!(rows)).await["inserted_count"], ids.len());

    for (n, id) in ids.iter().enumerate() {
        let row = server.get(&format!("/v1/namespaces/ns/vectors/{}", percent(id))).await.ok();
        assert_eq!((&row["id"], &row["metadata"]["n"]), (&json!(id), &json!(n)));
    }
    let fetched = server.post("/v1/namespaces/ns/fetch", json!({ "ids": ids })).await.ok();
    let fetched: Vec<_> =
        fetched["vectors"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(json!(fetched), json!(ids));

    let mut sorted = ids.clone();
    sorted.sort();
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/namespaces/ns/vectors?limit=1{cursor}")).await.ok();
        listed.extend(page["vectors"].as_array().unwrap().iter().map(|row| row["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(json!(listed), json!(sorted), "in id order, each once");

    for (left, id) in (0..ids.len()).rev().zip(&ids) {
        server.delete(&format!("/v1/namespaces/ns/vectors/{}", percent(id))).await.ok();
        assert_eq!(server.count("ns").await, left as u64, "{id:?}");
    }
}

#[tokio::test]
async fn an_id_spelled_like_an_action_is_an_id() {
    let server = Server::new();
    server.upsert("ns", json!([{"id": "delete", "values": [1]}, {"id": "count", "values": [2]}])).await;
    assert_eq!(server.get("/v1/namespaces/ns/vectors/delete").await.ok()["id"], "delete");
    assert_eq!(server.get("/namespaces/ns/vectors/count").await.ok()["id"], "count");
    server.delete("/v1/namespaces/ns/vectors/delete").await.ok();
    assert_eq!(server.count("ns").await, 1);
}

#[tokio::test]
async fn fetch_gives_what_exists_in_the_order_asked() {
    let server = Server::new();
    server
        .upsert("ns", json!([{"id": "a", "values": [1], "metadata": {"k": 1}}, {"id": "b", "values": [2]}]))
        .await;
    let fetch = |body| server.post("/v1/namespaces/ns/fetch", body);
    let rows = fetch(json!({"ids": ["b", "none", "a"]})).await.ok();
    let ids: Vec<_> = rows["vectors"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, ["b", "a"]);
    let bare = fetch(json!({"ids": ["a"], "include_values": false, "include_metadata": false})).await.ok();
    assert_eq!(
        bare["vectors"][0],
        json!({"id": "a", "metadata": null, "ttl_seconds": null, "expires_at": null})
    );
    let alias = fetch(json!({"ids": ["a"], "include_vectors": false})).await.ok();
    assert_eq!(
        (alias["vectors"][0].get("values"), &alias["vectors"][0]["metadata"]),
        (None, &json!({"k": 1}))
    );
    for level in ["strong", "eventual", "bounded_staleness"] {
        let rows = fetch(json!({"ids": ["a"], "consistency": level})).await.ok();
        assert_eq!(rows["vectors"].as_array().unwrap().len(), 1, "{level}");
    }
}

#[tokio::test]
async fn export_pages_through_everything() {
    let server = Server::new();
    let rows: Vec<Value> = (0..25).map(|n| json!({"id": format!("{n:02}"), "values": [n, 0.5]})).collect();
    server.upsert("ns", json!(rows)).await;
    let (mut ids, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let body = json!({"cursor": cursor, "top_k": 10, "include_vectors": true, "filter": null});
        let page = server.post("/v1/namespaces/ns/export", body).await.ok();
        assert_eq!(page["total_count"], 25);
        let vectors = page["vectors"].as_array().unwrap();
        assert_eq!(page["returned_count"], vectors.len());
        assert!(vectors.iter().all(|row| row["values"][1] == 0.5));
        ids.extend(vectors.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        pages += 1;
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!((ids.len(), pages), (25, 3));
    assert!(ids.is_sorted());
    let bare =
        server.post("/v1/namespaces/ns/export", json!({"limit": 1, "include_vectors": false})).await.ok();
    assert_eq!(bare["vectors"][0].get("values"), None);
    let no_body = server.call("POST", "/v1/namespaces/ns/export", "", &[]).await.ok();
    assert_eq!(no_body["returned_count"], 25);
}

#[tokio::test]
async fn a_row_is_invisible_once_its_time_is_up() {
    let server = Server::new();
    let rows = json!([
        {"id": "short", "values": [1], "ttl_seconds": 60},
        {"id": "long", "values": [1], "ttl_seconds": 3600},
        {"id": "ever", "values": [1]}
    ]);
    server.upsert("ns", rows).await;
    let row = server.get("/v1/namespaces/ns/vectors/short").await.ok();
    assert_eq!((&row["ttl_seconds"], row["expires_at"].is_string()), (&json!(60), true));
    server.clock.advance(Duration::from_millis(59_500));
    assert_eq!(server.get("/v1/namespaces/ns/vectors/short").await.ok()["ttl_seconds"], 1);
    assert_eq!(server.count("ns").await, 3);

    server.clock.advance(Duration::from_millis(500));
    server.get("/v1/namespaces/ns/vectors/short").await.error(404, "VECTOR_NOT_FOUND");
    assert_eq!(server.count("ns").await, 2);
    assert_eq!(server.get("/v1/namespaces/ns").await.ok()["count"], 2);
    let page = server.get("/v1/namespaces/ns/vectors").await.ok();
    assert_eq!((&page["total_count"], &page["returned_count"]), (&json!(2), &json!(2)));
    let found = server.post("/v1/namespaces/ns/query", json!({"vector": [1]})).await.ok();
    assert_eq!(found["results"].as_array().unwrap().len(), 2);
    let fetched = server.post("/v1/namespaces/ns/fetch", json!({"ids": ["short", "long"]})).await.ok();
    assert_eq!(fetched["vectors"].as_array().unwrap().len(), 1);
    server.delete("/v1/namespaces/ns/vectors/short").await.error(404, "VECTOR_NOT_FOUND");
    let done = server.upsert("ns", json!([{"id": "short", "values": [1]}])).await;
    assert_eq!(done["inserted_count"], 1);
}

#[tokio::test]
async fn columns_are_rows() {
    let server = Server::new();
    let body = json!({
        "ids": ["a", "b"], "vectors": [[1, 2], [3, 4]], "ttl_seconds": 60, "dimension": 2,
        "attributes": {"title": ["A", null], "year": [1, 2]}
    });
    let done = server.post("/v1/namespaces/ns/upsert-columns", body).await.ok();
    assert_eq!(done["upserted_count"], 2);
    let row = server.get("/v1/namespaces/ns/vectors/b").await.ok();
    assert_eq!(
        (&row["values"], &row["metadata"], &row["ttl_seconds"]),
        (&json!([3.0, 4.0]), &json!({"year": 2}), &json!(60))
    );
    let wrong = json!({"ids": ["c"], "vectors": [[1, 2]], "dimension": 3});
    server.post("/v1/namespaces/ns/upsert-columns", wrong).await.error(400, "DIMENSION_MISMATCH");
}

#[tokio::test]
async fn a_refused_batch_leaves_nothing() {
    let server = Server::new();
    server.upsert("ns", json!([{"id": "a", "values": [1, 2]}])).await;
    for bad in [
        json!([{"id": "b", "values": [1, 2]}, {"id": "c", "values": [1]}]),
        json!([{"id": "b", "values": [1, 2]}, {"id": "", "values": [1, 2]}]),
        json!([{"id": "b", "values": [1, 2]}, {"id": "c", "values": [1, 2], "ttl_seconds": 0}]),
        json!([{"id": "b", "values": [1, 2, 3]}, {"id": "c", "values": [1, 2, 3]}]),
    ] {
        let answer = server.post("/v1/namespaces/ns/vectors", json!({ "vectors": bad })).await;
        assert_eq!(answer.status, 400);
    }
    assert_eq!(server.count("ns").await, 1);
    server
        .post("/v1/namespaces/new/vectors", json!({"vectors": [{"id": "", "values": [1]}]}))
        .await
        .error(400, "INVALID_REQUEST");
    server.get("/v1/namespaces/new").await.error(404, "NAMESPACE_NOT_FOUND");
    assert_eq!(server.upsert("ns", json!([])).await, json!({"upserted_count": 0, "inserted_count": 0}));
}
