use axum::{
    body::{Body, Bytes},
    http::Request,
};
use quiver::config::{ApiKeyConfig, Config, Scope};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::Server;

fn key(name: &str, scope: Scope, namespaces: &[&str]) -> ApiKeyConfig {
    ApiKeyConfig {
        name: name.into(),
        sha256: Sha256::digest(secret(name)).iter().map(|byte| format!("{byte:02x}")).collect(),
        scope,
        namespaces: namespaces.iter().map(|glob| (*glob).into()).collect(),
    }
}

fn secret(name: &str) -> String {
    format!("{name}-0123456789abcdef0123456789abcdef")
}

fn keys(config: &mut Config) {
    config.auth.keys = vec![
        key("reader", Scope::Read, &["*"]),
        key("writer", Scope::Write, &["*"]),
        key("admin", Scope::Admin, &["*"]),
        key("team", Scope::Admin, &["team-*", "shared"]),
    ];
}

async fn call(
    server: &Server,
    caller: &str,
    method: &str,
    path: &str,
    body: &'static str,
) -> crate::support::Answer {
    let bearer = format!("Bearer {}", secret(caller));
    let content_type = if path.ends_with("/blob") { "application/octet-stream" } else { "application/json" };
    server.call(method, path, body, &[("authorization", &bearer), ("content-type", content_type)]).await
}

/// Every operation but the public ones, with what it needs.
const OPERATIONS: &[(&str, &str, &str, &str)] = &[
    ("read", "GET", "/metrics", ""),
    ("read", "GET", "/capabilities", ""),
    ("read", "GET", "/namespaces", ""),
    ("read", "GET", "/namespaces/team-a", ""),
    ("read", "HEAD", "/namespaces/team-a", ""),
    ("read", "POST", "/namespaces/team-a/query", r#"{"vector":[1]}"#),
    ("read", "POST", "/namespaces/team-a/batch-query", r#"{"queries":[]}"#),
    ("read", "POST", "/namespaces/team-a/explain", r#"{"vector":[1]}"#),
    ("read", "POST", "/namespaces/team-a/unified-query", r#"{"rank_by":["ANN",[1]]}"#),
    ("read", "POST", "/namespaces/team-a/recall", "{}"),
    ("read", "POST", "/namespaces/team-a/fetch", r#"{"ids":[]}"#),
    ("read", "POST", "/namespaces/team-a/export", "{}"),
    ("read", "POST", "/namespaces/team-a/sample", "{}"),
    ("read", "POST", "/namespaces/team-a/batch", r#"{"requests":[]}"#),
    ("read", "POST", "/namespaces/team-a/vectors/count", "{}"),
    ("read", "GET", "/namespaces/team-a/vectors", ""),
    ("read", "GET", "/namespaces/team-a/vectors/delete", ""),
    ("read", "GET", "/namespaces/team-a/vectors/x", ""),
    ("read", "GET", "/namespaces/team-a/indexes", ""),
    ("read", "GET", "/namespaces/team-a/indexes/spfresh", ""),
    ("read", "HEAD", "/namespaces/team-a/indexes/spfresh", ""),
    ("read", "GET", "/namespaces/team-a/indexes/pq/blob", ""),
    ("read", "HEAD", "/namespaces/team-a/indexes/pq/blob", ""),
    ("read", "POST", "/namespaces/team-a/fulltext/search", r#"{"query":"a"}"#),
    ("read", "GET", "/namespaces/team-a/fulltext/stats", ""),
    ("read", "POST", "/namespaces/team-a/hybrid", r#"{"text":"a"}"#),
    ("write", "POST", "/namespaces/team-a/fulltext/index", r#"{"documents":[]}"#),
    ("write", "POST", "/namespaces/team-a/fulltext/delete", r#"{"ids":[]}"#),
    ("write", "POST", "/namespaces/team-a/vectors", r#"{"vectors":[{"id":"x","values":[1]}]}"#),
    ("write", "POST", "/namespaces/team-a/upsert-columns", r#"{"ids":[],"vectors":[]}"#),
    ("write", "POST", "/namespaces/team-a/vectors/delete", r#"{"ids":[]}"#),
    ("write", "POST", "/namespaces/team-a/vectors/bulk-delete", r#"{"filter":{"a":1}}"#),
    ("write", "POST", "/namespaces/team-a/vectors/bulk-update", r#"{"filter":{"a":1},"update":{}}"#),
    ("write", "DELETE", "/namespaces/team-a/vectors/x", ""),
    ("write", "DELETE", "/namespaces/team-a/vectors/count", ""),
    ("write", "PUT", "/namespaces/team-a/indexes/spfresh", "{}"),
    ("write", "DELETE", "/namespaces/team-a/indexes/spfresh", ""),
    ("write", "PUT", "/namespaces/team-a/indexes/pq/blob", "x"),
    ("write", "DELETE", "/namespaces/team-a/indexes/pq/blob", ""),
    ("admin", "POST", "/namespaces", r#"{"name":"team-b"}"#),
    ("admin", "PUT", "/namespaces/team-a", "{}"),
    ("admin", "DELETE", "/namespaces/team-b", ""),
];

#[tokio::test]
async fn each_operation_needs_its_scope_and_no_more() {
    let rank = |scope| ["read", "write", "admin"].iter().position(|name| *name == scope).unwrap();
    for (needed, method, path, body) in OPERATIONS {
        let server = Server::with(keys);
        call(&server, "admin", "PUT", "/namespaces/team-a", "{}").await.ok();
        for prefix in ["", "/v1"] {
            let path = format!("{prefix}{path}");
            let bare = server.call(method, &path, *body, &[]).await;
            let wrong = server.call(method, &path, *body, &[("x-api-key", "wrong")]).await;
            assert_eq!((bare.status, wrong.status), (401, 401), "{method} {path}");
            if *method != "HEAD" {
                bare.error(401, "AUTHENTICATION_REQUIRED");
                wrong.error(401, "INVALID_API_KEY");
            }
            assert_eq!(bare.header("www-authenticate"), Some("Bearer"));
            for (caller, scope) in [("reader", "read"), ("writer", "write"), ("admin", "admin")] {
                let answer = call(&server, caller, method, &path, body).await;
                let allowed = rank(scope) >= rank(needed);
                assert_eq!(answer.status == 403, !allowed, "{caller} {method} {path}: {}", answer.status);
                assert_ne!(answer.status, 401, "{caller} {method} {path}");
                if !allowed && *method != "HEAD" {
                    assert_eq!(
                        answer.error(403, "INSUFFICIENT_SCOPE")["details"],
                        json!({ "scope": needed })
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_key_reaches_only_the_namespaces_that_it_covers() {
    let server = Server::with(keys);
    for name in ["team-a", "team-b", "shared", "other"] {
        call(&server, "admin", "PUT", &format!("/v1/namespaces/{name}"), "{}").await.ok();
    }
    for (_, method, path, body) in OPERATIONS.iter().filter(|(_, _, path, _)| path.contains("/team-a")) {
        let path = path.replace("/team-a", "/other");
        let answer = call(&server, "team", method, &path, body).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        if *method != "HEAD" {
            let error = answer.error(403, "NAMESPACE_ACCESS_DENIED");
            assert_eq!(error["details"]["namespace"], "other");
        }
    }
    call(&server, "team", "GET", "/v1/namespaces/shared", "").await.ok();
    call(&server, "team", "POST", "/v1/namespaces", r#"{"name":"team-c"}"#).await.ok();
    call(&server, "team", "POST", "/v1/namespaces", r#"{"name":"mine"}"#)
        .await
        .error(403, "NAMESPACE_ACCESS_DENIED");
    call(&server, "admin", "GET", "/v1/namespaces/mine", "").await.error(404, "NAMESPACE_NOT_FOUND");
    let listed = call(&server, "team", "GET", "/v1/namespaces", "").await.ok();
    assert_eq!(listed["namespaces"], json!(["shared", "team-a", "team-b", "team-c"]));
    let first = call(&server, "team", "GET", "/v1/namespaces?limit=1", "").await.ok();
    assert_eq!(first["namespaces"], json!([]), "`other` is not shown");
    assert!(first["next_cursor"].is_string());
}

#[tokio::test]
async fn the_percent_encoded_name_is_the_one_that_is_checked() {
    let server = Server::with(keys);
    call(&server, "admin", "PUT", "/v1/namespaces/other", "{}").await.ok();
    call(&server, "team", "GET", "/v1/namespaces/%6Fther", "").await.error(403, "NAMESPACE_ACCESS_DENIED");
    call(&server, "team", "GET", "/v1/namespaces/%74eam-a", "").await.error(404, "NAMESPACE_NOT_FOUND");
}

#[tokio::test]
async fn what_tells_nothing_about_data_is_public() {
    let server = Server::with(keys);
    for path in
        ["/health", "/health/live", "/health/ready", "/openapi.json", "/docs/index.html", "/ui/index.html"]
    {
        assert_eq!(server.get(path).await.status, 200, "{path}");
        assert_eq!(server.get(&format!("/v1{path}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_route_is_not_told_to_strangers() {
    let server = Server::with(keys);
    server.get("/nothing").await.error(401, "AUTHENTICATION_REQUIRED");
    call(&server, "reader", "GET", "/nothing", "").await.error(404, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn both_headers_carry_a_key() {
    let server = Server::with(keys);
    for (name, value) in [
        ("authorization", format!("Bearer {}", secret("reader"))),
        ("authorization", format!("bearer {}", secret("reader"))),
        ("x-api-key", secret("reader")),
    ] {
        server.call("GET", "/v1/namespaces", Body::empty(), &[(name, &value)]).await.ok();
    }
    let basic = [("authorization", "Basic eDp5")];
    server.call("GET", "/v1/namespaces", Body::empty(), &basic).await.error(401, "AUTHENTICATION_REQUIRED");
}

/// A body that fails the test when anybody asks for it.
fn untouchable() -> Body {
    let touched = futures::stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
        panic!("the body was read before the request was authorised")
    });
    Body::from_stream(touched)
}

#[tokio::test]
async fn no_byte_of_the_body_is_read_before_the_sender_is_known() {
    let server = Server::with(keys);
    let post = |path: &str, caller: Option<&str>| {
        let mut request = Request::post(path).header("content-type", "application/json");
        if let Some(caller) = caller {
            request = request.header("x-api-key", secret(caller));
        }
        server.send(request.body(untouchable()).unwrap())
    };
    post("/v1/namespaces/team-a/vectors", None).await.error(401, "AUTHENTICATION_REQUIRED");
    post("/v1/namespaces/team-a/vectors", Some("reader")).await.error(403, "INSUFFICIENT_SCOPE");
    post("/v1/namespaces/other/vectors", Some("team")).await.error(403, "NAMESPACE_ACCESS_DENIED");
}

#[tokio::test]
async fn a_digest_that_is_none_stops_the_server_from_starting() {
    let mut config = Config::default();
    config.storage.backend = quiver::config::BackendConfig::Memory {};
    keys(&mut config);
    config.auth.keys[2].sha256 = "abc".into();
    let metrics = std::sync::Arc::new(quiver::telemetry::Metrics::default());
    let clock = quiver::clock::SystemClock::shared();
    let store = quiver::storage::Store::open(&config.storage, metrics.clone()).unwrap();
    let engine =
        quiver::engine::Engine::new(store, clock.clone(), &config, metrics.clone()).expect("threads");
    let error = quiver::api::AppState::new(engine, &config, metrics, clock).unwrap_err();
    assert!(error.to_string().starts_with("auth.keys[2].sha256: must be 64"), "{error}");
}
