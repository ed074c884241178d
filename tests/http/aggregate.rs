//! Counts, sums and groups.

use serde_json::{Value, json};

use crate::support::Server;

const AGGREGATE: &str = "/v1/namespaces/ns/aggregate";

async fn with_rows(metadata: &[Value]) -> Server {
    let server = Server::new();
    for (number, metadata) in metadata.iter().enumerate() {
        let row = json!({"id": format!("r{number}"), "values": [number, 1], "metadata": metadata});
        server.upsert("ns", json!([row])).await;
        // Some rows are folded, others are in the log.
        if number == metadata.to_string().len() % 3 {
            server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
        }
    }
    server
}

async fn books() -> Server {
    with_rows(&[
        json!({"genre": "novel", "year": 2001, "price": 9.5, "tags": ["a", "b"]}),
        json!({"genre": "novel", "year": 2003, "price": 0.1, "tags": ["a"]}),
        json!({"genre": "poetry", "year": 2005, "price": 0.2, "tags": []}),
        json!({"genre": "novel", "year": "unknown", "price": 0.3}),
        json!({"year": 1999, "details": {"pages": [10, 20]}}),
    ])
    .await
}

#[tokio::test]
async fn all_rows_are_one_group() {
    let server = books().await;
    let body = json!({"aggregate_by": {
        "rows": ["Count"], "years": ["Sum", "year"], "mean": ["Avg", "year"],
        "first": ["Min", "year"], "last": ["Max", "year"],
        "prices": ["Sum", "price"], "pages": ["Sum", "details.pages"], "nothing": ["Avg", "none"], "none": ["Sum", "none"],
    }});
    let expected = json!({"aggregations": {
        "rows": 5, "years": 8008, "mean": 2002.0, "first": 1999, "last": 2005,
        "prices": 10.1, "pages": 30, "nothing": null, "none": 0,
    }});
    assert_eq!(server.post(AGGREGATE, body.clone()).await.ok(), expected);
    server.post("/v1/namespaces/ns/compact", json!({})).await.ok();
    assert_eq!(server.post(AGGREGATE, body).await.ok(), expected, "of folded rows");
}

#[tokio::test]
async fn rows_are_grouped_by_the_values_of_fields() {
    let server = books().await;
    let body = json!({"aggregate_by": {"rows": ["Count"], "last": ["Max", "year"]}, "group_by": ["genre"]});
    let expected = json!([
        {"genre": "novel", "rows": 3, "last": 2003},
        {"genre": null, "rows": 1, "last": 1999},
        {"genre": "poetry", "rows": 1, "last": 2005},
    ]);
    let answer = server.post(AGGREGATE, body).await.ok();
    assert_eq!((&answer["aggregation_groups"], &answer["group_count"]), (&expected, &json!(3)));

    let body = json!({"aggregate_by": {"rows": ["Count"]}, "group_by": ["tags", "genre"],
        "filter": {"genre": {"$exists": true}}, "limit": 2});
    let expected = json!([
        {"tags": "a", "genre": "novel", "rows": 2},
        {"tags": null, "genre": "novel", "rows": 1},
    ]);
    let answer = server.post(AGGREGATE, body).await.ok();
    assert_eq!((&answer["aggregation_groups"], &answer["group_count"]), (&expected, &json!(4)), "{answer}");
}

#[tokio::test]
async fn numbers_are_exact_and_equal_ones_are_one_group() {
    let server = with_rows(&[
        json!({"n": 9_223_372_036_854_775_807_i64, "g": 1}),
        json!({"n": 9_223_372_036_854_775_807_i64, "g": 1.0}),
        json!({"n": 1, "g": 2}),
        json!({"n": -1e300, "g": 3}),
        json!({"n": 1e300, "g": 3}),
    ])
    .await;
    let body = json!({"aggregate_by": {"sum": ["Sum", "n"]}, "group_by": ["g"]});
    let answer = server.post(AGGREGATE, body).await.ok();
    let sums: Vec<&Value> =
        answer["aggregation_groups"].as_array().unwrap().iter().map(|group| &group["sum"]).collect();
    assert_eq!(sums, [&json!(18_446_744_073_709_551_614_u64), &json!(0.0), &json!(1)], "{answer}");
}

#[tokio::test]
async fn an_empty_namespace_has_one_group_of_nothing_or_none() {
    let server = Server::new();
    server.put("/v1/namespaces/ns", json!({"dimension": 2})).await.ok();
    let body = json!({"aggregate_by": {"rows": ["Count"], "least": ["Min", "n"]}});
    let answer = server.post(AGGREGATE, body).await.ok();
    assert_eq!(answer, json!({"aggregations": {"rows": 0, "least": null}}));
    let body = json!({"aggregate_by": {"rows": ["Count"]}, "group_by": ["g"]});
    let answer = server.post(AGGREGATE, body).await.ok();
    assert_eq!(answer, json!({"aggregation_groups": [], "group_count": 0}));
}

#[tokio::test]
async fn what_cannot_be_computed_is_refused_by_name() {
    let server = books().await;
    let count = json!({"n": ["Count"]});
    for (body, field) in [
        (json!({"aggregate_by": {}}), "aggregate_by"),
        (json!({"aggregate_by": {"n": []}}), "aggregate_by.n"),
        (json!({"aggregate_by": {"n": ["Count", "x"]}}), "aggregate_by.n"),
        (json!({"aggregate_by": {"n": ["Median", "x"]}}), "aggregate_by.n"),
        (json!({"aggregate_by": {"n": ["Sum"]}}), "aggregate_by.n"),
        (json!({"aggregate_by": {"n": ["Sum", "a..b"]}}), "aggregate_by.n[1]"),
        (json!({"aggregate_by": count, "group_by": ["x", ""]}), "group_by[1]"),
        (json!({"aggregate_by": count, "group_by": ["n"]}), "group_by[0]"),
        (json!({"aggregate_by": count, "limit": 0}), "limit"),
        (json!({"aggregate_by": count, "filter": {"a": {"$what": 1}}}), "filter.a.$what"),
    ] {
        let answer = server.post(AGGREGATE, body.clone()).await;
        let error = answer.error(400, "INVALID_REQUEST");
        assert_eq!(error["details"]["field"], field, "{body}");
    }
}

#[tokio::test]
async fn too_many_groups_are_refused() {
    let server = Server::with(|config| config.limits.groups = 2);
    let rows = (0..3).map(|n| json!({"id": n.to_string(), "values": [1], "metadata": {"g": n}}));
    server.upsert("ns", rows.collect::<Vec<_>>().into()).await;
    let body = json!({"aggregate_by": {"n": ["Count"]}, "group_by": ["g"]});
    let error = server.post(AGGREGATE, body).await.error(400, "LIMIT_EXCEEDED");
    assert!(error["error"].as_str().unwrap().contains("limits.groups = 2"), "{error}");

    // Ten values of 32 bytes each, and of ten letters.
    let server = Server::with(|config| config.limits.answer_bytes = bytesize::ByteSize::b(420));
    let rows = |text: &str| {
        let row =
            |n: u32| json!({"id": n.to_string(), "values": [1], "metadata": {"g": [format!("{n}{text}")]}});
        (0..10).map(row).collect::<Vec<_>>().into()
    };
    let body = json!({"aggregate_by": {"n": ["Count"]}, "group_by": ["g"]});
    server.upsert("ns", rows("123456789")).await;
    server.post(AGGREGATE, body.clone()).await.ok();
    server.upsert("ns", rows("1234567890")).await;
    let error = server.post(AGGREGATE, body).await.error(400, "LIMIT_EXCEEDED");
    assert!(error["error"].as_str().unwrap().contains("limits.answer_bytes = 420"), "{error}");
}
