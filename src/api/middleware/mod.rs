//! What every request passes on its way to a handler, outermost first: observation, panics,
//! response compression, authorisation, admission, request encodings, the deadline.

mod admit;
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
