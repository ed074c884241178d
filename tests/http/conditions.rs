//! Upserts and deletes of rows for which something holds.

use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field};
use serde_json::{Value, json};

use crate::support::Server;

const VECTORS: &str = "/v1/namespaces/ns/vectors";
const DELETE: &str = "/v1/namespaces/ns/vectors/delete";

/// Row `a` is folded, `b` is in the log, and `c` is not there.
async fn seeded() -> Server {
    let server = Server::new();
    server.upsert("ns", json!([{"id": "a", "values": [1], "metadata": {"version": 1}}])).await;
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    server.upsert("ns", json!([{"id": "b", "values": [1], "metadata": {"version": 2}}])).await;
    server
}

/// The three rows, which differ from what is stored.
fn rows() -> Value {
    let row = |id: &str| json!({"id": id, "values": [7], "metadata": {"version": 9}});
    json!([row("a"), row("b"), row("c")])
}

async fn written(server: &Server) -> Vec<String> {
    let found = server.post("/v1/namespaces/ns/fetch", json!({"ids": ["a", "b", "c"]})).await.ok();
    let rows = found["vectors"].as_array().unwrap().iter().filter(|row| row["values"] == json!([7.0]));
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn only_rows_for_which_it_holds_are_written() {
    for (condition, inserted, expected) in [
        (json!({"mode": "insert"}), 1, vec!["c"]),
        (json!({"mode": "update"}), 0, vec!["a", "b"]),
        (json!({"if": {"version": 1}}), 0, vec!["a"]),
        (json!({"if": {"version": {"$gte": 1}}}), 0, vec!["a", "b"]),
        // What is not stored is like a row without metadata.
        (json!({"if": {"$not": {"version": {"$gte": 2}}}}), 1, vec!["a", "c"]),
        (json!({"if": {"$not": {"version": {"$gte": 2}}}, "mode": "update"}), 0, vec!["a"]),
        (json!({"if": {"version": {"$exists": false}}}), 1, vec!["c"]),
        (json!({"if": {"version": 8}}), 0, vec![]),
    ] {
        let server = seeded().await;
        let mut body = condition.clone();
        body["vectors"] = rows();
        let answer = server.post(VECTORS, body).await.ok();
        let skipped: Vec<&str> = ["a", "b", "c"].into_iter().filter(|id| !expected.contains(id)).collect();
        let answered = json!({
            "upserted_count": expected.len(), "inserted_count": inserted,
            "skipped_count": skipped.len(), "skipped_ids": skipped
        });
        assert_eq!(answer, answered, "{condition}");
        assert_eq!(written(&server).await, expected, "{condition}");

        let server = seeded().await;
        let mut body = condition.clone();
        body["ids"] = json!(["a", "b", "c"]);
        body["vectors"] = json!([[7], [7], [7]]);
        let answer = server.post("/v1/namespaces/ns/upsert-columns", body).await.ok();
        assert_eq!(answer, answered, "in columns: {condition}");
        assert_eq!(written(&server).await, expected, "in columns: {condition}");
    }
    let server = seeded().await;
    let body = json!({"vectors": rows(), "mode": "upsert", "if": {}});
    assert_eq!(server.post(VECTORS, body).await.ok(), json!({"upserted_count": 3, "inserted_count": 1}));
}

/// The three rows as lines, and as an Arrow stream.
fn forms() -> [(&'static str, Vec<u8>); 2] {
    let lines: String = rows().as_array().unwrap().iter().map(|row| format!("{row}\n")).collect();
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let values: ArrayRef =
        Arc::new(FixedSizeListArray::new(item, 1, Arc::new(Float32Array::from(vec![7.0; 3])), None));
    let metadata: ArrayRef = Arc::new(StringArray::from(vec![r#"{"version":9}"#; 3]));
    let batch =
        RecordBatch::try_from_iter([("id", ids), ("values", values), ("metadata", metadata)]).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    [
        ("application/x-ndjson", lines.into_bytes()),
        ("application/vnd.apache.arrow.stream", writer.into_inner().unwrap()),
    ]
}

/// The path with parameters, of which braces and quotes are escaped.
fn with(parameters: &str) -> String {
    format!("{VECTORS}?{}", parameters.replace('{', "%7B").replace('}', "%7D").replace('"', "%22"))
}

#[tokio::test]
async fn rows_in_other_forms_have_their_conditions_in_the_query_string() {
    for (parameters, inserted, expected) in [
        ("mode=insert", 1, vec!["c"]),
        ("mode=update", 0, vec!["a", "b"]),
        (r#"if={"version":1}"#, 0, vec!["a"]),
        (r#"mode=update&if={"version":{"$ne":1}}"#, 0, vec!["b"]),
        (r#"mode=upsert&if={"version":{"$ne":1}}&unknown=1"#, 1, vec!["b", "c"]),
    ] {
        let json = json!({"vectors": rows()}).to_string().into_bytes();
        for (form, body) in forms().into_iter().chain([("application/json", json)]) {
            let server = seeded().await;
            let answer = server.call("POST", &with(parameters), body, &[("content-type", form)]).await.ok();
            let skipped: Vec<&str> =
                ["a", "b", "c"].into_iter().filter(|id| !expected.contains(id)).collect();
            let answered = json!({
                "upserted_count": expected.len(), "inserted_count": inserted,
                "skipped_count": skipped.len(), "skipped_ids": skipped
            });
            assert_eq!(answer, answered, "{form}: {parameters}");
            assert_eq!(written(&server).await, expected, "{form}: {parameters}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_in_the_query_string_is_named() {
    let server = seeded().await;
    for (form, body) in forms() {
        for (parameters, field) in [
            ("mode=replace", "mode"),
            (r#"if={"version":{"$eqq":1}}"#, "if.version.$eqq"),
            ("if=version", "if"),
            ("if=", "if"),
            (r#"if={"version":1}&mode=insert"#, "if"),
        ] {
            let headers = [("content-type", form)];
            let answer = server.call("POST", &with(parameters), body.clone(), &headers).await;
            assert_eq!(
                answer.error(400, "INVALID_REQUEST")["details"]["field"],
                field,
                "{form}: {parameters}"
            );
        }
    }
    // Each of them is said once.
    for (parameters, body, field) in [
        ("mode=insert", json!({"vectors": rows(), "mode": "insert"}), "mode"),
        (r#"if={"version":1}"#, json!({"vectors": rows(), "if": {"version": 1}}), "if"),
    ] {
        let error = server.post(&with(parameters), body).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{parameters}");
    }
    assert_eq!(written(&server).await, [""; 0]);
    let body = json!({"vectors": rows(), "if": {"version": {"$gte": 1}}});
    assert_eq!(server.post(&with("mode=update"), body).await.ok()["upserted_count"], 2);
}

#[tokio::test]
async fn a_row_that_expired_is_not_there() {
    let server = seeded().await;
    server
        .upsert("ns", json!([{"id": "c", "values": [1], "metadata": {"version": 3}, "ttl_seconds": 5}]))
        .await;
    let insert = json!({"vectors": [{"id": "c", "values": [7]}], "mode": "insert"});
    assert_eq!(server.post(VECTORS, insert.clone()).await.ok()["upserted_count"], 0);
    server.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(server.post(VECTORS, insert).await.ok()["inserted_count"], 1);
}

#[tokio::test]
async fn deletes_have_conditions_too() {
    let server = seeded().await;
    let body = json!({"ids": ["a", "b", "c", "a"], "if": {"version": {"$lt": 2}}});
    let answer = server.post(DELETE, body.clone()).await.ok();
    assert_eq!(answer, json!({"deleted_count": 1, "skipped_count": 1, "skipped_ids": ["b"]}));
    let answer = server.post(DELETE, body).await.ok();
    assert_eq!(answer, json!({"deleted_count": 0, "skipped_count": 1, "skipped_ids": ["b"]}));
    assert_eq!(server.count("ns").await, 1);
    let body = json!({"ids": ["b"], "if": {}});
    assert_eq!(server.post(DELETE, body).await.ok(), json!({"deleted_count": 1}));
}

#[tokio::test]
async fn a_namespace_is_created_only_for_rows_that_may_be_inserted() {
    for (condition, creates) in [
        (json!({"mode": "insert"}), true),
        (json!({"if": {"version": {"$exists": false}}}), true),
        (json!({"mode": "update"}), false),
        (json!({"if": {"version": 1}}), false),
    ] {
        let server = Server::new();
        let mut body = condition.clone();
        body["vectors"] = rows();
        let answer = server.post(VECTORS, body).await;
        if creates {
            assert_eq!(answer.ok()["inserted_count"], 3, "{condition}");
        } else {
            answer.error(404, "NAMESPACE_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn rows_that_are_not_written_fix_no_dimension() {
    let server = Server::new();
    server.post("/v1/namespaces", json!({"name": "ns"})).await.ok();
    let body = json!({"vectors": [{"id": "a", "values": [1, 2]}], "mode": "update"});
    assert_eq!(server.post(VECTORS, body).await.ok()["skipped_count"], 1);
    server.upsert("ns", json!([{"id": "a", "values": [1, 2, 3]}])).await;
    let body = json!({"vectors": [{"id": "b", "values": [1, 2]}], "mode": "update"});
    server.post(VECTORS, body).await.error(400, "DIMENSION_MISMATCH");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = seeded().await;
    for (body, field) in [
        (json!({"vectors": rows(), "if": {"version": {"$eqq": 1}}}), "if.version.$eqq"),
        (json!({"vectors": rows(), "if": []}), "if"),
        (json!({"vectors": rows(), "if": {"version": 1}, "mode": "insert"}), "if"),
    ] {
        let error = server.post(VECTORS, body.clone()).await.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{body}");
    }
    for (body, field) in [
        (json!({"vectors": rows(), "mode": "replace"}), "mode"),
        (json!({"vectors": rows(), "iff": {}}), "iff"),
    ] {
        let error = server.post(VECTORS, body.clone()).await.error(422, "UNPROCESSABLE_CONTENT");
        assert_eq!(error["details"]["field"], field, "{body}");
    }
    let body = r#"{"if":{},"vectors":[],"if":{}}"#;
    let answer = server.call("POST", VECTORS, body, &[("content-type", "application/json")]).await;
    assert_eq!(answer.error(422, "UNPROCESSABLE_CONTENT")["details"]["field"], "if");
    let body = json!({"delete_all": true, "if": {"version": 1}});
    assert_eq!(server.post(DELETE, body).await.error(400, "INVALID_REQUEST")["details"]["field"], "if");
    assert_eq!(written(&server).await, [""; 0]);
    assert_eq!(server.count("ns").await, 2);
}
