use axum::body::Body;
use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn health_tells_life_from_readiness() {
    let server = Server::new();
    for path in ["/health", "/health/live"] {
        let body = server.get(path).await.ok();
        assert_eq!(body, json!({"status": "healthy", "version": env!("CARGO_PKG_VERSION")}));
    }
    let ready = server.get("/v1/health/ready").await.ok();
    assert_eq!((&ready["ready"], &ready["checks"]["storage"]["ok"]), (&json!(true), &json!(true)));

    server.state.start_draining();
    let answer = server.get("/health/ready").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    let body = answer.json();
    assert_eq!((&body["ready"], &body["checks"]["draining"]["ok"]), (&json!(false), &json!(false)));
    assert_eq!(body["checks"]["storage"]["ok"], true);
    server.get("/health/live").await.ok();
    server.get("/v1/namespaces").await.ok();
}

#[tokio::test]
async fn a_store_that_is_away_makes_the_node_unready_and_not_dead() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    let server = Server::with(|config| {
        config.storage.backend = quiver::config::BackendConfig::Fs { root: root.clone() };
    });
    server.post("/v1/namespaces", json!({"name": "a"})).await.ok();
    server.get("/health/ready").await.ok();
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::write(&root, "not a directory").unwrap();
    let answer = server.get("/health/ready").await;
    assert_eq!(answer.status, 503, "{:?}", answer.json());
    let storage = &answer.json()["checks"]["storage"];
    assert!(storage["ok"] == false && storage["message"].as_str().is_some_and(|message| !message.is_empty()));
    assert_eq!(server.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_path() {
    let server = Server::new();
    server.upsert("secret-name", json!([{"id": "a", "values": [1]}])).await;
    for path in
        ["/v1/namespaces/secret-name", "/namespaces/secret-name", "/v1/namespaces/none", "/no/such/route"]
    {
        server.get(path).await;
    }
    let answer = server.get("/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    for line in [
        r#"quiver_http_requests_total{route="/namespaces/{ns}",method="GET",status="200"} 2"#,
        r#"quiver_http_requests_total{route="/namespaces/{ns}",method="GET",status="404"} 1"#,
        r#"quiver_http_requests_total{route="/namespaces/{ns}/vectors",method="POST",status="200"} 1"#,
        r#"quiver_http_requests_total{route="(none)",method="GET",status="404"} 1"#,
        r#"quiver_http_request_duration_seconds_count{route="/namespaces/{ns}",method="GET"} 3"#,
        "quiver_http_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("secret-name"));
    assert!(server.metric("quiver_http_request_body_bytes_total").unwrap() > 20.0);
    assert!(server.metric("quiver_http_response_body_bytes_total").unwrap() > 100.0);
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_and_does_not_leak() {
    let server = Server::new();
    let never = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let call =
        server.call("POST", "/v1/namespaces/ns/vectors", never, &[("content-type", "application/json")]);
    let left = tokio::time::timeout(std::time::Duration::from_millis(20), call).await;
    assert!(left.is_err());
    assert_eq!(server.metric("quiver_http_requests_in_flight"), Some(0.0));
    let series = r#"quiver_http_requests_total{route="/namespaces/{ns}/vectors",method="POST",status="499"}"#;
    assert_eq!(server.metric(series), Some(1.0));
}

#[tokio::test]
async fn the_documentation_page_loads_nothing_from_elsewhere() {
    let server = Server::new();
    for prefix in ["", "/v1"] {
        let redirect = server.get(&format!("{prefix}/docs")).await;
        assert_eq!((redirect.status, redirect.header("location")), (307, Some("docs/index.html")));
        let page = server.get(&format!("{prefix}/docs/index.html")).await;
        assert_eq!(page.status, 200);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("http"));
        let html = String::from_utf8(page.body.to_vec()).unwrap();
        let parts = html.split(['"', '\'']).filter(|part| part.starts_with("./") || part.starts_with("http"));
        let mut loaded = 0;
        for part in parts {
            let file = part.strip_prefix("./").unwrap_or_else(|| panic!("{part} is elsewhere"));
            assert_eq!(server.get(&format!("{prefix}/docs/{file}")).await.status, 200, "{file}");
            loaded += 1;
        }
        assert!(loaded >= 3, "{html}");
        let setup = server.get(&format!("{prefix}/docs/swagger-initializer.js")).await;
        let setup = String::from_utf8(setup.body.to_vec()).unwrap();
        assert!(setup.contains("../openapi.json") && setup.contains("\"validatorUrl\": \"none\""), "{setup}");
    }
    server.get("/docs/nothing.js").await.error(404, "ROUTE_NOT_FOUND");
    server.get("/docs/..%2F..%2Fetc%2Fpasswd").await.error(404, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn the_page_is_in_the_binary_and_loads_nothing_from_elsewhere() {
    let server = Server::new();
    for prefix in ["", "/v1"] {
        let redirect = server.get(&format!("{prefix}/ui")).await;
        assert_eq!((redirect.status, redirect.header("location")), (307, Some("ui/index.html")));
        let mut open = vec!["index.html".to_owned()];
        let mut loaded = std::collections::BTreeSet::new();
        while let Some(file) = open.pop() {
            if !loaded.insert(file.clone()) {
                continue;
            }
            let found = server.get(&format!("{prefix}/ui/{file}")).await;
            assert_eq!(found.status, 200, "{file}");
            let policy = found.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
            assert!(found.header("content-type").is_some_and(|media| media.contains('/')));
            let text = String::from_utf8(found.body.to_vec()).unwrap();
            let namespace = "http://www.w3.org/2000/svg";
            assert!(!text.replace(namespace, "").contains("//www."), "{file} names another host");
            let quoted = text.split('"').map(|part| part.strip_prefix("./").unwrap_or(part));
            let ends = [".js", ".css", ".svg"];
            let files = quoted.filter(|part| ends.iter().any(|end| part.ends_with(end)));
            open.extend(files.map(str::to_owned));
        }
        assert_eq!(loaded.len(), 12, "{loaded:?}");
    }
    server.get("/ui/nothing.js").await.error(404, "ROUTE_NOT_FOUND");
    server.get("/ui/..%2F..%2Fetc%2Fpasswd").await.error(404, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn capabilities_are_those_of_this_server() {
    let server = Server::with(|config| config.limits.top_k = 77);
    let body = server.get("/v1/capabilities").await.ok();
    assert_eq!((&body["backend"], &body["limits"]["top_k"]), (&json!("memory"), &json!(77)));
    assert_eq!(body["distance_metrics"], json!(["cosine", "dot_product", "euclidean"]));
    assert_eq!(body["index_kinds"], json!(["hnsw", "pq", "ivf", "spfresh", "fulltext", "attributes"]));
}
