//! Aggregations.

use super::State;
use crate::{
    api::{
        dto::{AggregateRequest, AggregateResponse},
        extract::{Json, Namespace},
    },
    error::Result,
};

/// Count, add and group rows
///
/// Computes over all rows that match, exactly: sums are rounded once, at the end, so that they do not depend
/// on where rows lie.
#[utoipa::path(post, path = "/namespaces/{ns}/aggregate", operation_id = "aggregate", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = AggregateRequest,
    responses((status = 200, description = "What was computed.", body = AggregateResponse)))]
pub(in crate::api) async fn aggregate(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<AggregateRequest>,
) -> Result<Json<AggregateResponse>> {
    let consistency = request.consistency();
    let (aggregation, names) = request.into_aggregation(&state.limits)?;
    let groups = state.engine.aggregate(&name, aggregation, consistency).await?;
    Ok(Json(AggregateResponse::new(groups, &names)))
}
