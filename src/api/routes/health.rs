//! What orchestrators and load balancers ask. Needs no key.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::State;
use crate::api::{
    dto::{Check, Health, Readiness},
    error::whole_seconds,
    extract::Json,
};

/// A store that does not answer within this is not ready to serve from.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// What a node that is not ready says about coming back.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Whether the process answers
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "system", security(()),
    responses((status = 200, description = "It does.", body = Health)))]
pub(in crate::api) async fn health() -> Json<Health> {
    Json(Health::HEALTHY)
}

/// Whether the process answers
///
/// Does not look at the object store: a process is not mended by a restart when the store is away.
#[utoipa::path(get, path = "/health/live", operation_id = "health_live", tag = "system", security(()),
    responses((status = 200, description = "It does.", body = Health)))]
pub(in crate::api) async fn live() -> Json<Health> {
    Json(Health::HEALTHY)
}

/// Whether this node should get requests
///
/// It should unless the object store cannot be reached or the node is shutting down.
#[utoipa::path(get, path = "/health/ready", operation_id = "health_ready", tag = "system", security(()),
    responses(
        (status = 200, description = "It should.", body = Readiness),
        (status = 503, description = "It should not, for now.", body = Readiness,
            headers(("Retry-After" = u64, description = "Seconds"))),
    ))]
pub(in crate::api) async fn ready(state: State) -> Response {
    let storage = tokio::time::timeout(CHECK_WITHIN, state.engine.store().check()).await;
    let storage = match storage {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {CHECK_WITHIN:?}")),
    };
    let draining = state.is_draining().then(|| "this node is shutting down".to_owned());
    let ready = storage.is_none() && draining.is_none();
    let check = |message: Option<String>| Check { ok: message.is_none(), message };
    let body = Json(Readiness {
        ready,
        status: if ready { "healthy" } else { "unavailable" },
        version: Health::HEALTHY.version,
        checks: BTreeMap::from([("storage", check(storage)), ("draining", check(draining))]),
    });
    if ready {
        return body.into_response();
    }
    let retry_after = [(header::RETRY_AFTER, whole_seconds(RETRY_AFTER))];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, body).into_response()
}
