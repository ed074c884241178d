//! While the node drains, each response asks for the connection to be closed.
//!
//! So clients and balancers that keep connections open come back on new ones, to another node, and
//! none sends a request into a connection that is about to end.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, Version, header},
    middleware::Next,
    response::Response,
};

use crate::api::Gate;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

pub(super) async fn close_when_draining(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Response {
    // HTTP/2 has its own way of saying so, without a header.
    let has_header = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if has_header && gate.state.is_draining() {
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    response
}
