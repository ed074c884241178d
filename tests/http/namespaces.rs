use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn create_describe_list_delete_and_create_again_empty() {
    let server = Server::new();
    let created =
        server.post("/v1/namespaces", json!({"name": "a", "dimension": 3, "distance": "euclidean"})).await;
    assert_eq!(created.status, 201);
    let body = created.json();
    assert_eq!((&body["name"], &body["namespace"]), (&json!("a"), &json!("a")));
    assert_eq!(
        (&body["dimension"], &body["distance"], &body["created"]),
        (&json!(3), &json!("euclidean"), &json!(true))
    );

    server.upsert("a", json!([{"id": "x", "values": [1, 2, 3]}])).await;
    let info = server.get("/namespaces/a").await.ok();
    assert_eq!((&info["vector_count"], &info["count"]), (&json!(1), &json!(1)));
    for time in ["created_at", "updated_at"] {
        assert!(info[time].as_str().unwrap().starts_with("2027-01-15T"), "{info}");
    }
    assert!(info["storage_bytes"].as_u64().unwrap() > 0 && info["log"]["bytes"].as_u64().unwrap() > 0);
    assert!(info["log"]["head_seq"].as_u64().unwrap() >= 1 && info["tail"]["rows"] == 1);

    let deleted = server.delete("/v1/namespaces/a").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    server.get("/v1/namespaces/a").await.error(404, "NAMESPACE_NOT_FOUND");
    server.delete("/v1/namespaces/a").await.error(404, "NAMESPACE_NOT_FOUND");

    assert_eq!(server.post("/v1/namespaces", json!({"name": "a"})).await.status, 201);
    let info = server.get("/v1/namespaces/a").await.ok();
    assert_eq!(
        (&info["count"], &info["dimension"], &info["distance"]),
        (&json!(0), &json!(null), &json!("cosine"))
    );
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let server = Server::new();
    server.post("/v1/namespaces", json!({"name": "a", "dimension": 3})).await.ok();
    let error =
        server.post("/v1/namespaces", json!({"name": "a", "dimension": 3})).await.error(409, "CONFLICT");
    assert_eq!(error["details"]["namespace"], "a");
}

#[tokio::test]
async fn put_is_idempotent_and_refuses_what_disagrees() {
    let server = Server::new();
    let first = server.put("/v1/namespaces/a", json!({"dimension": 3, "distance": "dot_product"})).await;
    assert_eq!((first.status, &first.json()["created"]), (201, &json!(true)));
    for same in [json!({"dimension": 3, "distance": "dot_product"}), json!({"dimension": 3}), json!({})] {
        let again = server.put("/v1/namespaces/a", same).await;
        assert_eq!((again.status, &again.json()["created"]), (200, &json!(false)));
        assert_eq!(again.json()["distance"], "dot_product");
    }
    server.put("/v1/namespaces/a", json!({"dimension": 4})).await.error(409, "CONFLICT");
    server.put("/v1/namespaces/a", json!({"distance": "cosine"})).await.error(409, "CONFLICT");
    assert_eq!(server.get("/v1/namespaces/a").await.ok()["dimension"], 3);
}

#[tokio::test]
async fn the_first_upsert_creates_and_fixes_the_dimension() {
    let server = Server::new();
    server.upsert("a", json!([{"id": "x", "values": [1, 2]}])).await;
    assert_eq!(server.get("/v1/namespaces/a").await.ok()["dimension"], 2);
    let body = json!({"vectors": [{"id": "y", "values": [1, 2, 3]}]});
    let error = server.post("/v1/namespaces/a/vectors", body).await.error(400, "DIMENSION_MISMATCH");
    assert_eq!((&error["details"]["expected"], &error["details"]["actual"]), (&json!(2), &json!(3)));
    assert_eq!(server.count("a").await, 1);
}

#[tokio::test]
async fn lists_by_prefix_in_pages() {
    let server = Server::new();
    for name in ["b.1", "a", "b.3", "b.2", "c"] {
        server.post("/v1/namespaces", json!({ "name": name })).await.ok();
    }
    let all = server.get("/v1/namespaces").await.ok();
    assert_eq!(all, json!({"namespaces": ["a", "b.1", "b.2", "b.3", "c"], "next_cursor": null}));

    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            server.get(&format!("/v1/namespaces?prefix=b.&limit=2{cursor}&unknown=ignored")).await.ok();
        let page_names = page["namespaces"].as_array().unwrap().clone();
        assert!(page_names.len() <= 2);
        names.extend(page_names);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["b.1", "b.2", "b.3"]);
    assert_eq!(server.get("/v1/namespaces?prefix=zz").await.ok()["namespaces"], json!([]));
}

#[tokio::test]
async fn names_that_are_none_are_refused_everywhere() {
    let server = Server::new();
    let long = "x".repeat(129);
    for bad in ["", ".", "..", "a/b", "../x", "a b", "é", "a\n", "a%2f", &long] {
        let error = server.post("/v1/namespaces", json!({ "name": bad })).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], "name");
    }
    for bad in ["%2E%2E", "a%2Fb", "%2E%2E%2Fx", "a%00", "a%0A", "%C3%A9", "%FF", &long] {
        let paths = ["", "/vectors", "/indexes", "/vectors/x", "/indexes/pq/blob"];
        for path in paths {
            server.get(&format!("/v1/namespaces/{bad}{path}")).await.error(400, "INVALID_REQUEST");
        }
        server.put(&format!("/v1/namespaces/{bad}"), json!({})).await.error(400, "INVALID_REQUEST");
    }
    assert_eq!(server.get("/v1/namespaces").await.ok()["namespaces"], json!([]));
}

#[tokio::test]
async fn the_dimension_has_a_limit() {
    let server = Server::with(|config| config.limits.dimension = 4);
    server.post("/v1/namespaces", json!({"name": "a", "dimension": 4})).await.ok();
    let error = server
        .post("/v1/namespaces", json!({"name": "b", "dimension": 5}))
        .await
        .error(400, "LIMIT_EXCEEDED");
    let expected = json!({"field": "dimension", "limit": "limits.dimension", "max": 4, "actual": 5});
    assert_eq!(error["details"], expected);
    server.post("/v1/namespaces", json!({"name": "b", "dimension": 0})).await.error(400, "INVALID_REQUEST");
}

#[tokio::test]
async fn segments_are_merged_into_one_on_demand() {
    let server = Server::with(|config| config.compaction.background = false);
    let path = "/v1/namespaces/ns/compact";
    for id in ["a", "b", "c"] {
        server.upsert("ns", json!([{"id": id, "values": [1]}])).await;
        server.post(path, json!({})).await.ok();
    }
    let segments = async || server.get("/v1/namespaces/ns").await.ok()["segments"]["count"].clone();
    assert_eq!(segments().await, 3, "three are too few of like size");
    let done = server.post(path, json!({"full": true})).await.ok();
    assert_eq!((&done["merges"], &done["rows_written"]), (&json!(1), &json!(3)));
    assert_eq!((segments().await, server.count("ns").await), (json!(1), 3));
    assert_eq!(server.post(path, json!({"full": true})).await.ok()["rows_written"], 0);
    server.post(path, json!({"fill": true})).await.error(422, "UNPROCESSABLE_CONTENT");
    assert_eq!(server.call("POST", path, "", &[]).await.status, 200, "without a body");
}
