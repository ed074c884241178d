//! Searching.

use std::time::Instant;

use axum::response::Response;

use super::State;
use crate::{
    api::{
        dto::{BatchQueryRequest, BatchQueryResponse, QueryRequest, QueryResponse},
        extract::{Json, Namespace},
    },
    error::{Error, Result},
    service::{check_queries, check_query},
    telemetry::metered,
};

/// Search near a vector
///
/// The `top_k` rows with the highest scores, exactly.
#[utoipa::path(post, path = "/namespaces/{ns}/query", operation_id = "query", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = QueryRequest,
    responses((status = 200, description = "The rows found.", body = QueryResponse)))]
pub(in crate::api) async fn query(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<QueryRequest>,
) -> Result<Json<QueryResponse>> {
    let consistency = request.consistency();
    let query = request.into_query("")?;
    check_query(&state.limits, "", &query)?;
    let (results, usage) = metered(state.engine.query(&name, vec![query], consistency)).await;
    let result = results?.pop().ok_or_else(|| Error::internal("one query had no answer"))?;
    Ok(Json(QueryResponse::new(result, usage)))
}

/// Search near several vectors
///
/// Every query is answered on the same state of the namespace.
#[utoipa::path(post, path = "/namespaces/{ns}/batch-query", operation_id = "batch_query", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = BatchQueryRequest,
    responses((status = 200, description = "One answer per query, in their order.", body = BatchQueryResponse)))]
pub(in crate::api) async fn batch_query(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<BatchQueryRequest>,
) -> Result<Response> {
    let consistency = request.consistency();
    let queries = request.into_queries()?;
    check_queries(&state.limits, "queries", &queries)?;
    let start = Instant::now();
    let (results, usage) = metered(state.engine.query(&name, queries, consistency)).await;
    Ok(Json(BatchQueryResponse::new(results?, start.elapsed(), usage)).respond().await)
}
