//! Admission: at most `server.max_concurrent_requests` at once.
//!
//! What an orchestrator asks to decide whether to kill or to route around this process is let
//! through: a busy server is neither dead nor unready.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::route_of;
use crate::{
    api::{Gate, auth::Access},
    error::Result,
};

pub(super) async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Result<Response> {
    let route = route_of(&request);
    if route == Some("/metrics") || gate.access.of(request.method(), route) == Access::Public {
        return Ok(next.run(request).await);
    }
    let _slot = gate.state.admission.admit()?;
    Ok(next.run(request).await)
}
