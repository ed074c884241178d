//! The deadline of a request, from the moment its body has been read.
//!
//! Reading the body has a time limit of its own, per piece: an upload that makes progress may take
//! longer than any request. Dropping a write half way would leave its fate open, and then the
//! answer has to say so; the engine's own bound on that (`log.settle_timeout`) is shorter by
//! default, so this one is the last resort.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use tokio::sync::oneshot;

use super::{route_of, tracked_body::TrackedBody};
use crate::{
    api::{Gate, auth::Access},
    config::Scope,
    error::{Error, Result},
};

pub(super) async fn deadline(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let after = gate.state.server.request_timeout;
    let writes = is_write(gate.access.of(request.method(), route_of(&request)), request.method());
    let (until_read, read) = oneshot::channel::<()>();
    let received = gate.state.metrics.http.received.clone();
    let request = request.map(|body| Body::new(TrackedBody::new(body, received).until(until_read)));

    let response = next.run(request);
    tokio::pin!(response);
    tokio::select! {
        response = &mut response => return Ok(response),
        // The sender goes with the body: read to its end, or given up.
        _ = read => {}
    }
    tokio::time::timeout(after, response).await.map_err(|_| {
        if writes {
            let reason = format!("the write took longer than server.request_timeout = {after:?}");
            Error::OutcomeUnknown { reason }
        } else {
            Error::DeadlineExceeded { after }
        }
    })
}

fn is_write(access: Access, method: &Method) -> bool {
    !method.is_safe() && matches!(access, Access::Needs(scope) if scope >= Scope::Write)
}
