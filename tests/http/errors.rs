//! Errors that need no namespace; the others stand beside what they are about. The whole map from
//! errors to statuses and codes is tested where it is (`api::error`).

use axum::body::Body;
use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn unknown_routes_and_wrong_methods_answer_in_our_shape() {
    let server = Server::new();
    for path in
        ["/", "/v1", "/v1/", "/nothing", "/v1/namespaces/ns/nothing", "/v2/namespaces", "/namespaces/", "//"]
    {
        let error = server.get(path).await.error(404, "ROUTE_NOT_FOUND");
        assert_eq!(error["resource"], "route");
    }
    for (method, path) in [
        ("PATCH", "/v1/namespaces"),
        ("DELETE", "/namespaces"),
        ("POST", "/v1/namespaces/ns"),
        ("PUT", "/v1/namespaces/ns/vectors/x"),
        ("GET", "/v1/namespaces/ns/query"),
        ("POST", "/health"),
        ("OPTIONS", "/v1/namespaces"),
        ("BREW", "/v1/namespaces"),
    ] {
        let answer = server.call(method, path, Body::empty(), &[]).await;
        answer.error(405, "METHOD_NOT_ALLOWED");
        assert!(answer.header("allow").is_some_and(|allow| !allow.is_empty()), "{method} {path}");
    }
}

#[tokio::test]
async fn no_other_origin_is_let_in() {
    let server = Server::new();
    let headers = [("origin", "https://elsewhere.example"), ("access-control-request-method", "POST")];
    for method in ["OPTIONS", "GET"] {
        let answer = server.call(method, "/v1/namespaces", Body::empty(), &headers).await;
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
}

#[tokio::test]
async fn a_request_id_is_kept_or_made() {
    let server = Server::new();
    let answer = server.call("GET", "/health", Body::empty(), &[("x-request-id", "my-id-1")]).await;
    assert_eq!(answer.header("x-request-id"), Some("my-id-1"));
    let made = server.call("GET", "/nothing", Body::empty(), &[("x-request-id", "two words")]).await;
    assert_eq!(made.header("x-request-id").map(str::len), Some(36));
}

#[tokio::test]
async fn paths_that_are_not_text_are_refused() {
    let server = Server::new();
    server.post("/v1/namespaces", json!({"name": "ns"})).await.ok();
    for path in ["/v1/namespaces/ns/vectors/%FF", "/v1/namespaces/%C3%28/vectors", "/docs/%FF"] {
        server.get(path).await.error(400, "INVALID_REQUEST");
    }
}
