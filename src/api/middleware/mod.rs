//! What every request passes on its way to a handler, outermost first: observation, the end of
//! connections while draining, panics, response compression, authorisation, admission, request
//! encodings, the deadline.

mod admit;
mod close;
mod deadline;
mod encoding;
mod observe;
mod panic;
mod tracked_body;

use std::sync::Arc;

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::Method,
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    decompression::RequestDecompressionLayer,
};

use super::{Gate, auth};

/// Below this many bytes a compressed response is not smaller by enough to be worth the time.
const COMPRESS_ABOVE: u64 = 1024;

/// Puts everything in front of the routes.
pub(super) fn around(router: Router, gate: &Arc<Gate>) -> Router {
    let worth_compressing =
        SizeAbove::new(COMPRESS_ABOVE).and(NotForContentType::const_new("application/octet-stream"));
    router
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn_with_state(Arc::clone(gate), deadline::deadline))
        .layer(from_fn(encoding::known_encodings))
        .layer(from_fn_with_state(Arc::clone(gate), admit::admit))
        .layer(from_fn_with_state(Arc::clone(gate), auth::authorize))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_compressing))
        .layer(CatchPanicLayer::custom(panic::answer))
        .layer(from_fn_with_state(Arc::clone(gate), close::close_when_draining))
        .layer(from_fn_with_state(Arc::clone(gate), observe::observe))
}

/// The template of the operation that a request is for, such as `/namespaces/{ns}/query`, the same
/// with and without `/v1`.
pub(super) fn route_of(request: &Request) -> Option<&str> {
    let matched = request.extensions().get::<MatchedPath>()?.as_str();
    let route = matched.strip_prefix("/v1").unwrap_or(matched);
    let on_a_row = matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE);
    // See `routes::vectors::with_row_methods`: an id may be spelled like one of these actions.
    if on_a_row && matches!(route, "/namespaces/{ns}/vectors/delete" | "/namespaces/{ns}/vectors/count") {
        return Some("/namespaces/{ns}/vectors/{id}");
    }
    Some(route)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{
        body::Body,
        http::StatusCode,
        routing::{get, post},
    };
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        api::{AppState, auth::AccessTable, openapi},
        clock::SystemClock,
        config::{BackendConfig, Config},
        engine::Engine,
        storage::Store,
        telemetry::Metrics,
    };

    fn gate() -> Arc<Gate> {
        let mut config = Config::default();
        config.storage.backend = BackendConfig::Memory {};
        config.server.request_timeout = Duration::from_millis(30);
        let metrics = Arc::new(Metrics::default());
        let clock = SystemClock::shared();
        let store = Store::open(&config.storage, metrics.clone()).unwrap();
        let engine = Engine::new(store, clock.clone(), &config, metrics.clone()).expect("threads");
        let state = Arc::new(AppState::new(engine, &config, metrics, clock).unwrap());
        Arc::new(Gate { state, access: AccessTable::read(&openapi()) })
    }

    /// Sends a request to `router`, which stands behind all of the middleware.
    async fn send(router: Router, request: Request) -> (StatusCode, serde_json::Value) {
        let response = around(router, &gate()).oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn too_slow(request: Request) {
        let _ = request.into_body().collect().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    #[tokio::test]
    async fn a_read_past_its_deadline_did_nothing_and_a_writes_fate_is_open() {
        let router = || {
            Router::new()
                .route("/namespaces/{ns}/query", post(too_slow))
                .route("/namespaces/{ns}/vectors", post(too_slow).get(too_slow))
                .route("/namespaces", post(too_slow))
        };
        for (method, path, status, code) in [
            ("POST", "/namespaces/a/query", 504, "DEADLINE_EXCEEDED"),
            ("GET", "/namespaces/a/vectors", 504, "DEADLINE_EXCEEDED"),
            ("POST", "/namespaces/a/vectors", 503, "OUTCOME_UNKNOWN"),
            ("POST", "/namespaces", 503, "OUTCOME_UNKNOWN"),
        ] {
            let request = Request::builder().method(method).uri(path).body(Body::from("x")).unwrap();
            let (answered, body) = send(router(), request).await;
            assert_eq!((answered.as_u16(), &body["code"]), (status, &code.into()), "{method} {path}");
        }
    }

    #[tokio::test]
    async fn a_bug_in_a_handler_is_one_failed_request() {
        async fn buggy() {
            panic!("secret detail");
        }
        let router = Router::new().route("/health", get(buggy));
        let (status, body) = send(router, Request::get("/health").body(Body::empty()).unwrap()).await;
        assert_eq!((status.as_u16(), &body["code"]), (500, &"INTERNAL_ERROR".into()));
        assert!(!body.to_string().contains("secret detail"));
    }
}
