//! A server in this process, and requests to it.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use quiver::{
    api::{AppState, router},
    clock::{ManualClock, SharedClock},
    config::{BackendConfig, Config},
    engine::Engine,
    storage::Store,
    telemetry::Metrics,
};
use serde_json::Value;
use tower::ServiceExt;

pub struct Server {
    pub router: Router,
    pub state: Arc<AppState>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<ManualClock>,
}

impl Server {
    /// With the default configuration, over the memory backend.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.storage.backend = BackendConfig::Memory {};
        configure(&mut config);
        let clock = ManualClock::starting_at(1_800_000_000_000);
        let store = Store::open(&config.storage, Arc::default()).unwrap();
        Self::over(&config, &store, &clock)
    }

    /// A new process on a store, as far as anything but the store and the clock can tell.
    pub fn over(config: &Config, store: &Store, clock: &Arc<ManualClock>) -> Self {
        let metrics = Arc::new(Metrics::default());
        let shared: SharedClock = clock.clone();
        let store = store.as_seen_by(metrics.clone(), None);
        let engine = Engine::new(store, shared.clone(), config, metrics.clone()).expect("threads");
        let state = Arc::new(AppState::new(engine, config, metrics.clone(), shared).unwrap());
        Self { router: router(state.clone()), state, metrics, clock: clock.clone() }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Body>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Body::empty(), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, Body::empty(), &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.json("POST", path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.json("PUT", path, body).await
    }

    pub async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call(method, path, body.to_string(), &[("content-type", "application/json")]).await
    }

    /// Upserts rows that have to be taken.
    pub async fn upsert(&self, namespace: &str, vectors: Value) -> Value {
        let path = format!("/v1/namespaces/{namespace}/vectors");
        self.post(&path, serde_json::json!({ "vectors": vectors })).await.ok()
    }

    pub async fn count(&self, namespace: &str) -> u64 {
        let path = format!("/v1/namespaces/{namespace}/vectors/count");
        self.post(&path, serde_json::json!({})).await.ok()["count"].as_u64().unwrap()
    }

    /// The value of a metric's first series whose line starts with `prefix`.
    pub fn metric(&self, prefix: &str) -> Option<f64> {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with(prefix))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The body of an answer that has to be a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {:?}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is an error of that status and code, in the shape that errors have; gives it.
    #[track_caller]
    pub fn error(&self, status: u16, code: &str) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        let body = self.json();
        assert_eq!(body["code"], code, "{text}");
        assert!(body["error"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
        let known = ["error", "code", "resource", "details"];
        assert!(body.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{text}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some());
        body
    }
}

/// Percent-encodes everything that could mean something in a path.
pub fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    encoded
}

/// Ids that have broken other stores.
pub fn odd_ids() -> Vec<String> {
    let odd = [
        "a/b",
        "../escape",
        "..%2f",
        "%2f",
        "..",
        ".",
        "a b",
        "\n",
        "\r\n",
        "\0",
        "🦀",
        "é",
        "e\u{301}",
        "?x=1#y",
        "delete",
        "count",
        "\\",
        "\"",
        "'",
        "\u{202e}rtl",
        "-",
        "null",
        "*",
    ];
    let mut ids: Vec<String> = odd.into_iter().map(str::to_owned).collect();
    ids.push("x".repeat(512));
    ids
}
