//! Deleting and changing the rows that match a filter.

use bytesize::ByteSize;
use serde_json::{Value, json};

use crate::support::Server;

const DELETE: &str = "/v1/namespaces/ns/vectors/bulk-delete";
const UPDATE: &str = "/v1/namespaces/ns/vectors/bulk-update";

/// Ten rows, the first five of which are folded; their years are 2000 to 2009.
async fn seeded() -> Server {
    let server = Server::new();
    let row = |n: u32| {
        let metadata = json!({"year": 2000 + n, "tags": ["x"], "o": {"n": n}});
        json!({"id": format!("r{n}"), "values": [10 - n, 1], "metadata": metadata, "ttl_seconds": 600})
    };
    server.upsert("ns", (0..5).map(row).collect()).await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", (5..10).map(row).collect()).await;
    server
}

async fn row(server: &Server, id: &str) -> Value {
    server.get(&format!("/v1/namespaces/ns/vectors/{id}")).await.ok()
}

async fn entries(server: &Server) -> u64 {
    server.get("/v1/namespaces/ns").await.ok()["log"]["head_seq"].as_u64().unwrap()
}

#[tokio::test]
async fn metadata_is_patched_and_nothing_else_changes() {
    let server = seeded().await;
    let before = row(&server, "r3").await;
    let at = entries(&server).await;
    let body = json!({
        "filter": {"year": {"$gte": 2003, "$lte": 2006}},
        "update": {"tags": null, "o": {"x": [1.50]}, "year": 1}
    });
    let answer = server.post(UPDATE, body.clone()).await.ok();
    let expected = json!({"matched": 4, "updated": 4, "failed": 0, "errors": [], "next_cursor": null});
    assert_eq!(answer, expected);
    assert_eq!(entries(&server).await, at + 1, "rows of the segment and of the log, together");
    let after = row(&server, "r3").await;
    assert_eq!(after["metadata"], json!({"year": 1, "o": {"n": 3, "x": [1.50]}}));
    for field in ["values", "ttl_seconds", "expires_at"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(row(&server, "r7").await["metadata"]["tags"], json!(["x"]));
    // Nothing matches any more, and where something does but is so already, nothing is written.
    assert_eq!(server.post(UPDATE, body).await.ok()["matched"], 0);
    let body = json!({"filter": {"year": {"$in": [1, 2009]}}, "update": {"year": 1}});
    let answer = server.post(UPDATE, body).await.ok();
    assert_eq!((&answer["matched"], &answer["updated"]), (&json!(5), &json!(1)));
    assert_eq!(entries(&server).await, at + 2);
    assert_eq!(server.count("ns").await, 10);
}

#[tokio::test]
async fn rows_that_match_are_deleted() {
    let server = seeded().await;
    let body = json!({"filter": {"$or": [{"o.n": {"$lt": 2}}, {"year": 2009}]}});
    let answer = server.post(DELETE, body.clone()).await.ok();
    assert_eq!(answer, json!({"deleted": 3, "failed": 0, "errors": [], "next_cursor": null}));
    assert_eq!(server.count("ns").await, 7);
    for gone in ["r0", "r1", "r9"] {
        server.get(&format!("/v1/namespaces/ns/vectors/{gone}")).await.error(404, "VECTOR_NOT_FOUND");
    }
    assert_eq!(server.post(DELETE, body).await.ok()["deleted"], 0);
    assert_eq!(server.post(DELETE, json!({"filter": {}})).await.ok()["deleted"], 7);
    assert_eq!(server.count("ns").await, 0);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let server = seeded().await;
    for (path, body, place) in [
        (DELETE, json!({"filter": {"a": {"$x": 1}}}), "filter.a.$x"),
        (DELETE, json!({"filter": []}), "filter"),
        (DELETE, json!({"filter": {}, "limit": 0}), "limit"),
        (DELETE, json!({"filter": {}, "cursor": "*"}), "cursor"),
        (UPDATE, json!({"filter": {"a": {"$regex": "("}}, "update": {}}), "filter.a.$regex"),
    ] {
        let error = server.post(path, body.clone()).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], place, "{body}");
    }
    for (path, body) in [
        (DELETE, json!({})),
        (UPDATE, json!({"filter": {}})),
        (UPDATE, json!({"filter": {}, "update": [1]})),
        (UPDATE, json!({"filter": {}, "update": null})),
        (UPDATE, json!({"filter": {}, "update": {}, "set": 1})),
    ] {
        server.post(path, body).await.error(422, "UNPROCESSABLE_CONTENT");
    }
    let body = json!({"filter": {}});
    server.post(&DELETE.replace("/ns/", "/no/"), body).await.error(404, "NAMESPACE_NOT_FOUND");
    assert_eq!(server.count("ns").await, 10);
}

#[tokio::test]
async fn a_row_that_cannot_be_changed_is_told_of_and_the_others_are_changed() {
    let server = Server::with(|config| config.limits.metadata_bytes = 30);
    let rows = json!([
        {"id": "a", "values": [1], "metadata": {"k": 1}},
        {"id": "b", "values": [1], "metadata": {"k": 1, "text": "xxxxxxxxxxxx"}},
        {"id": "c", "values": [1]}
    ]);
    server.upsert("ns", rows).await;
    let answer = server.post(UPDATE, json!({"filter": {}, "update": {"new": "yyyy"}})).await.ok();
    assert_eq!(
        (&answer["matched"], &answer["updated"], &answer["failed"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert_eq!(answer["errors"][0]["id"], "b");
    assert!(
        answer["errors"][0]["error"].as_str().unwrap().contains("limits.metadata_bytes = 30"),
        "{answer}"
    );
    assert_eq!(row(&server, "a").await["metadata"], json!({"k": 1, "new": "yyyy"}));
    assert_eq!(row(&server, "b").await["metadata"], json!({"k": 1, "text": "xxxxxxxxxxxx"}));
    assert_eq!(row(&server, "c").await["metadata"], json!({"new": "yyyy"}));
}

async fn forty() -> Server {
    let server = Server::with(|config| config.log.entry_bytes = ByteSize::b(200));
    let row = |n: u32| json!({"id": format!("r{n:02}"), "values": [n, 1], "metadata": {"n": n}});
    server.upsert("ns", (0..20).map(row).collect()).await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", (20..40).map(row).collect()).await;
    server
}

#[tokio::test]
async fn more_than_an_entry_takes_is_changed_in_several() {
    let server = forty().await;
    let before = entries(&server).await;
    let body = json!({"filter": {"n": {"$gte": 5}}, "update": {"m": true}});
    let answer = server.post(UPDATE, body).await.ok();
    assert_eq!((&answer["updated"], &answer["next_cursor"]), (&json!(35), &json!(null)));
    assert!(entries(&server).await > before + 2);
    let count = json!({"filter": {"m": true}});
    assert_eq!(server.post("/v1/namespaces/ns/vectors/count", count.clone()).await.ok()["count"], 35);
    assert_eq!(server.post(DELETE, count).await.ok()["deleted"], 35);
    assert_eq!(server.count("ns").await, 5);
}

/// Also where what was changed matches still.
#[tokio::test]
async fn a_limit_and_a_cursor_lead_through_all_rows_once() {
    let server = forty().await;
    let (mut cursor, mut steps) = (Value::Null, Vec::new());
    loop {
        let body =
            json!({"filter": {"n": {"$exists": true}}, "update": {"n": -1}, "limit": 9, "cursor": cursor});
        let answer = server.post(UPDATE, body).await.ok();
        steps.push(answer["updated"].as_u64().unwrap());
        cursor = answer["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(steps, [9, 9, 9, 9, 4]);
    let answer = server.post(DELETE, json!({"filter": {"n": -1}, "limit": 40})).await.ok();
    assert_eq!((&answer["deleted"], &answer["next_cursor"]), (&json!(40), &json!(null)));
}

/// What was changed before the log was full is told, not the error.
#[tokio::test]
async fn a_full_log_ends_a_request_early() {
    let server = Server::with(|config| {
        config.log.entry_bytes = ByteSize::b(200);
        config.log.unfolded_bytes = ByteSize::kib(12);
        config.compaction.background = false;
    });
    let row = |n: u32| json!({"id": format!("r{n:02}"), "values": [n, 1], "metadata": {"n": n}});
    server.upsert("ns", (0..40).map(row).collect()).await;
    let body = json!({"filter": {}, "update": {"m": true}});
    let answer = server.post(UPDATE, body.clone()).await.ok();
    let updated = answer["updated"].as_u64().unwrap();
    assert!(updated > 0 && updated < 40 && answer["next_cursor"].is_string(), "{answer}");
    let count = server.post("/v1/namespaces/ns/vectors/count", json!({"filter": {"m": true}})).await.ok();
    assert_eq!(count["count"], updated);
    server.post(UPDATE, body.clone()).await.error(429, "RATE_LIMIT_EXCEEDED");
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    let mut rest = body;
    rest["cursor"] = answer["next_cursor"].clone();
    let answer = server.post(UPDATE, rest).await.ok();
    assert_eq!(answer["matched"], answer["updated"], "{answer}");
}

/// It is what the rows become that an entry has room for.
#[tokio::test]
async fn metadata_that_grows_fills_entries() {
    let server = Server::with(|config| config.log.entry_bytes = ByteSize::kib(16));
    let row = |n: u32| json!({"id": format!("r{n:02}"), "values": [n]});
    server.upsert("ns", (0..40).map(row).collect()).await;
    let before = entries(&server).await;
    let body = json!({"filter": {}, "update": {"text": "x".repeat(4000)}});
    assert_eq!(server.post(UPDATE, body).await.ok()["updated"], 40);
    assert!(entries(&server).await >= before + 8);
}

#[tokio::test]
async fn errors_of_every_part_are_told() {
    let server = Server::with(|config| {
        config.log.entry_bytes = ByteSize::b(200);
        config.limits.metadata_bytes = 40;
    });
    let row = |n: u32| {
        let metadata = if n.is_multiple_of(2) { json!({"text": "x".repeat(20)}) } else { json!({}) };
        json!({"id": format!("r{n:02}"), "values": [n], "metadata": metadata})
    };
    server.upsert("ns", (0..40).map(row).collect()).await;
    let answer = server.post(UPDATE, json!({"filter": {}, "update": {"more": "yyyyyyyy"}})).await.ok();
    assert_eq!(
        (&answer["matched"], &answer["updated"], &answer["failed"]),
        (&json!(40), &json!(20), &json!(20))
    );
    let failed: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["id"].clone()).collect();
    assert_eq!(failed, (0..40).step_by(2).map(|n| json!(format!("r{n:02}"))).collect::<Vec<_>>());
}
