use std::collections::BTreeSet;

use axum::body::Body;
use serde_json::{Value, json};

use crate::support::Server;

fn document() -> Value {
    serde_json::from_str(&quiver::api::openapi_json()).unwrap()
}

/// Every operation as (method, path, operation).
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
    });
    operations.collect()
}

#[test]
fn the_checked_in_document_is_the_one_that_the_routes_make() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    let checked_in = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        checked_in == quiver::api::openapi_json(),
        "openapi/openapi.json is out of date: run `make openapi`"
    );
}

#[test]
fn every_operation_is_complete() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeSet::new();
    let known_tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{at} has no operationId"));
        assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{at}: {id}");
        assert!(ids.insert(id.to_owned()), "{at}: {id} is used twice");
        let tags = operation["tags"].as_array().unwrap();
        assert!(tags.len() == 1 && known_tags.contains(&&tags[0]), "{at}: {tags:?}");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{at}");
        assert!(operation["security"].is_array(), "{at} does not declare what it needs");

        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2') || status.starts_with('3')), "{at}");
        for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
            let response = match response["$ref"].as_str() {
                Some(reference) => {
                    &document["components"]["responses"][reference.rsplit('/').next().unwrap()]
                }
                None => response,
            };
            let schema = response["content"]["application/json"]["schema"]["$ref"].as_str();
            let expected = if at == "GET /health/ready" && status == "503" { "Readiness" } else { "Error" };
            assert_eq!(schema, Some(format!("#/components/schemas/{expected}").as_str()), "{at} {status}");
        }
        if let Some(body) = operation.get("requestBody") {
            for (media_type, content) in body["content"].as_object().unwrap() {
                assert!(
                    content["example"].is_object() || content["example"].is_string(),
                    "{at} {media_type}"
                );
                assert!(content["schema"].is_object(), "{at} {media_type}");
            }
        }
    }
    assert!(ids.len() >= 27, "{ids:?}");
}

#[test]
fn every_reference_resolves() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// The bounds that a schema or a parameter has are the limits that hold if nothing else is configured.
#[test]
fn bounds_are_the_default_limits() {
    let limits = quiver::config::LimitsConfig::default();
    let of = |property: &str, bound: &str| match (property, bound) {
        ("top_k" | "offset", "maximum") => Some(limits.top_k),
        ("dimension", "maximum") => Some(limits.dimension),
        ("values" | "vector", "maxItems") => Some(limits.dimension),
        ("ids" | "vectors" | "queries", "maxItems") => Some(limits.batch_rows),
        ("requests", "maxItems") => Some(limits.batch_requests),
        ("id", "maxLength") => Some(limits.id_bytes),
        ("query" | "text", "maxLength") => Some(limits.text_query_bytes),
        _ => None,
    };
    let document = document();
    let mut checked = BTreeSet::new();
    let mut check = |at: &str, property: &str, schema: &Value| {
        for bound in ["maximum", "maxItems", "maxLength"] {
            let Some(expected) = of(property, bound) else { continue };
            let Some(found) = schema.get(bound) else { continue };
            // Queries of a measurement have a bound of their own.
            if at != "RecallRequest" {
                assert_eq!(found.as_u64(), Some(expected as u64), "{bound} of {property} in {at}");
                checked.insert((property.to_owned(), bound));
            }
        }
    };
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
            check(name, property, schema);
        }
    }
    for (method, path, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            check(&format!("{method} {path}"), name, &parameter["schema"]);
        }
    }
    assert!(checked.len() >= 9, "{checked:?}");
}

/// The JSON examples of an operation's body: the one that stands beside it, and those of its schema.
fn examples(document: &Value, operation: &Value) -> Vec<Value> {
    let content = &operation["requestBody"]["content"]["application/json"];
    let name = content["schema"]["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    let more = name.and_then(|name| document["components"]["schemas"][name]["examples"].as_array());
    let mut all: Vec<Value> = content.get("example").cloned().into_iter().collect();
    for example in more.into_iter().flatten() {
        if !all.contains(example) {
            all.push(example.clone());
        }
    }
    all
}

/// An example that the server refuses is worse than none.
#[tokio::test]
async fn every_json_example_works() {
    let document = document();
    let mut tried = 0;
    let operations = operations(&document);
    let examples = operations.iter().flat_map(|(method, path, operation)| {
        examples(&document, operation).into_iter().map(move |example| (method, path, operation, example))
    });
    for (method, path, operation, example) in examples {
        let server = Server::new();
        if path.contains("{ns}/") {
            let upsert = &document["paths"]["/namespaces/{ns}/vectors"]["post"]["requestBody"];
            let rows = &upsert["content"]["application/json"]["example"]["vectors"];
            if path != "/namespaces/{ns}/upsert-columns" {
                server.upsert("ns", rows.clone()).await;
                server.put("/v1/namespaces/ns/indexes/fulltext", json!({})).await.ok();
            }
        }
        let answer = server
            .json(method, &path.replace("{ns}", "ns").replace("{type}", "spfresh"), example.clone())
            .await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {:?}", answer.json());
        assert!(
            operation["responses"].get(answer.status.to_string()).is_some(),
            "{method} {path}: {}",
            answer.status
        );
        tried += 1;
    }
    assert!(tried >= 20, "{tried}");
}

#[tokio::test]
async fn the_ndjson_example_works() {
    let document = document();
    let upsert = &document["paths"]["/namespaces/{ns}/vectors"]["post"]["requestBody"]["content"];
    let example = upsert["application/x-ndjson"]["example"].as_str().unwrap().to_owned();
    let server = Server::new();
    let headers = [("content-type", "application/x-ndjson")];
    let done = server.call("POST", "/v1/namespaces/ns/vectors", example, &headers).await.ok();
    assert_eq!(done["upserted_count"], 2);
}

#[tokio::test]
async fn the_document_is_served_and_every_path_in_it_exists() {
    let server = Server::new();
    for path in ["/openapi.json", "/v1/openapi.json"] {
        assert_eq!(server.get(path).await.ok(), document());
    }
    for (method, path, _) in operations(&document()) {
        let path = path
            .replace("{ns}", "ns")
            .replace("{id}", "x")
            .replace("{type}", "pq")
            .replace("{file}", "index.html");
        for prefix in ["", "/v1"] {
            let answer = server.call(&method, &format!("{prefix}{path}"), Body::empty(), &[]).await;
            assert_ne!(answer.status, 405, "{method} {path}");
            if method != "HEAD" && answer.status == 404 {
                assert_ne!(answer.json()["code"], json!("ROUTE_NOT_FOUND"), "{method} {path}");
            }
        }
    }
}
