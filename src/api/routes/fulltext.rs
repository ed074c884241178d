//! Searching by words, and by words and a vector at once.

use super::State;
use crate::{
    api::{
        dto::{
            DeleteResponse, DocumentIds, FulltextSearchRequest, FulltextSearchResponse, FulltextStats,
            HybridRequest, HybridResponse, IndexDocumentsRequest, IndexDocumentsResponse,
        },
        extract::{Json, Namespace},
    },
    engine::Consistency,
    error::Result,
    service::parse_ids,
    telemetry::metered,
};

/// Search by words
///
/// The `top_k` rows whose texts match best (BM25), of those that match the `filter`. The namespace has to have an
/// index of type `fulltext`; rows are found from the moment on at which they are written.
#[utoipa::path(post, path = "/namespaces/{ns}/fulltext/search", operation_id = "search_fulltext",
    tag = "search", security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = FulltextSearchRequest,
    responses((status = 200, description = "The rows found.", body = FulltextSearchResponse)))]
pub(in crate::api) async fn search(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<FulltextSearchRequest>,
) -> Result<Json<FulltextSearchResponse>> {
    let consistency = request.consistency();
    let search = request.into_search(&state.limits)?;
    let (result, usage) = metered(state.engine.search_texts(&name, search, consistency)).await;
    Ok(Json(FulltextSearchResponse::new(result?, usage)))
}

/// Search by words and a vector
///
/// Rows that are near the vector, rows whose texts match, and one ranking of both. Without a vector, or with a
/// weight of 0 or 1, one of the two alone counts, and scores are its scores.
#[utoipa::path(post, path = "/namespaces/{ns}/hybrid", operation_id = "search_hybrid", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = HybridRequest,
    responses((status = 200, description = "The rows found.", body = HybridResponse)))]
pub(in crate::api) async fn hybrid(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<HybridRequest>,
) -> Result<Json<HybridResponse>> {
    let consistency = request.consistency();
    let search = request.into_search(&state.limits)?;
    let (result, usage) = metered(state.engine.search_hybrid(&name, search, consistency)).await;
    Ok(Json(HybridResponse::new(result?, usage)))
}

/// Count texts
///
/// Exact, over the rows that are there now: what scores depend on beyond the row.
#[utoipa::path(get, path = "/namespaces/{ns}/fulltext/stats", operation_id = "fulltext_stats", tag = "search",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    responses((status = 200, description = "Documents, terms and lengths.", body = FulltextStats)))]
pub(in crate::api) async fn stats(state: State, Namespace(name): Namespace) -> Result<Json<FulltextStats>> {
    let (params, counted) = state.engine.text_statistics(&name, Consistency::Strong).await?;
    Ok(Json(FulltextStats::new(&params, &counted)))
}

/// Index documents
///
/// Gives rows texts: each is what the first field of the full-text index holds from then on, and is found at once.
/// A row keeps its vector and its other metadata; where there is no row, one without a vector begins, which words
/// and filters find and vectors do not. All documents become visible together, or none does. A namespace, and a
/// full-text index with default parameters, are created if they are missing.
///
/// An upsert of a row replaces all of it, its text as well.
#[utoipa::path(post, path = "/namespaces/{ns}/fulltext/index", operation_id = "index_documents", tag = "search",
    security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = IndexDocumentsRequest,
    responses((status = 200, description = "The documents are durable.", body = IndexDocumentsResponse)))]
pub(in crate::api) async fn index(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<IndexDocumentsRequest>,
) -> Result<Json<IndexDocumentsResponse>> {
    let documents = request.into_documents(&state.limits)?;
    Ok(Json(state.engine.index_documents(&name, documents).await?.into()))
}

/// Delete documents
///
/// A document is a row: it goes with its vector and its metadata. Answers how many there were.
#[utoipa::path(post, path = "/namespaces/{ns}/fulltext/delete", operation_id = "delete_documents",
    tag = "search", security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = DocumentIds,
    responses((status = 200, description = "How many there were.", body = DeleteResponse)))]
pub(in crate::api) async fn delete(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<DocumentIds>,
) -> Result<Json<DeleteResponse>> {
    let ids = parse_ids(&state.limits, "ids", &request.ids)?;
    Ok(Json(DeleteResponse::of(state.engine.delete(&name, ids).await?)))
}
