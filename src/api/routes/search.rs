//! Searching.

use std::time::Instant;

use axum::response::Response;

use super::State;
use crate::{
    api::{
        dto::{
            BatchQueryRequest, BatchQueryResponse, ExplainResponse, MultiVectorRequest, MultiVectorResponse,
            QueryRequest, QueryResponse, RecallRequest, RecallResponse, UnifiedQueryRequest,
            UnifiedQueryResponse,
        },
        extract::{Json, Namespace, OptionalJson},
    },
    error::{Error, Result},
    service::{check_queries, check_query},
    telemetry::metered,
};

/// Search near a vector
///
/// The `top_k` rows with the highest scores among those that match the `filter`, or all of these if there are
/// fewer: at least `recall_target` of them on average, or exactly those if `exact` is asked for. Scores are
/// exact in any case.
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
    let query = request.into_query(&state.limits)?;
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
    let queries = request.into_queries(&state.limits)?;
    check_queries(&state.limits, "queries", &queries)?;
    let start = Instant::now();
    let (results, usage) = metered(state.engine.query(&name, queries, consistency)).await;
    Ok(Json(BatchQueryResponse::new(results?, start.elapsed(), usage)).respond().await)
}

/// Search near several vectors and away from others
///
/// For the cosine and the dot product, a row's score is the weighted mean of its scores to all vectors, those
/// to negative ones with the opposite sign.
#[utoipa::path(post, path = "/namespaces/{ns}/multi-vector", operation_id = "multi_vector", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = MultiVectorRequest,
    responses((status = 200, description = "The rows found.", body = MultiVectorResponse)))]
pub(in crate::api) async fn multi_vector(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<MultiVectorRequest>,
) -> Result<Json<MultiVectorResponse>> {
    let consistency = request.consistency();
    let search = request.into_search(&state.limits)?;
    Ok(Json(state.engine.query_by_examples(&name, search, consistency).await?.into()))
}

/// Rank rows
///
/// Near a vector, by scores that are made of several, or in the order of fields of the metadata, among the rows that
/// match the `filter`. A score that is made of several is exact for each row of the answer; if no part of it searches
/// approximately, so is the answer, and otherwise the rows are the best of those that each part finds on its own.
#[utoipa::path(post, path = "/namespaces/{ns}/unified-query", operation_id = "unified_query", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = UnifiedQueryRequest,
    responses((status = 200, description = "The first rows.", body = UnifiedQueryResponse)))]
pub(in crate::api) async fn unified_query(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<UnifiedQueryRequest>,
) -> Result<Response> {
    let consistency = request.consistency();
    let ranking = request.into_ranking(&state.limits)?;
    let (listing, usage) = metered(state.engine.rank(&name, ranking, consistency)).await;
    Ok(Json(UnifiedQueryResponse::new(listing?, usage)).respond().await)
}

/// Explain a query
///
/// Answers it and tells how: which parts of the namespace were searched in which way, what was looked
/// at, and what took how long.
#[utoipa::path(post, path = "/namespaces/{ns}/explain", operation_id = "explain", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = QueryRequest,
    responses((status = 200, description = "How it was answered.", body = ExplainResponse)))]
pub(in crate::api) async fn explain(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<QueryRequest>,
) -> Result<Json<ExplainResponse>> {
    let consistency = request.consistency();
    let query = request.into_query(&state.limits)?;
    check_query(&state.limits, "", &query)?;
    let (explanation, usage) = metered(state.engine.explain(&name, query, consistency)).await;
    Ok(Json(ExplainResponse::new(explanation?, usage)))
}

/// Measure recall
///
/// Compares answers as they are given with exact ones, for vectors that are sent or for rows of the
/// namespace, and tells which share of the exact answer they have. Exact answers look at every row.
#[utoipa::path(post, path = "/namespaces/{ns}/recall", operation_id = "measure_recall", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = RecallRequest,
    responses((status = 200, description = "The recall, and what it costs.", body = RecallResponse)))]
pub(in crate::api) async fn recall(
    state: State,
    Namespace(name): Namespace,
    OptionalJson(request): OptionalJson<RecallRequest>,
) -> Result<Json<RecallResponse>> {
    let plan = request.checked(&state.limits)?;
    let recall = state.engine.measure_recall(&name, plan.vectors, plan.samples, &plan.like).await?;
    Ok(Json(RecallResponse::new(recall, plan.like.top_k)))
}
