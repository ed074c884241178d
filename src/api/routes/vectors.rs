//! Rows.

use std::sync::Arc;

use axum::{response::Response, routing::MethodRouter};

use super::State;
use crate::{
    api::{
        AppState,
        bodies::{Columns, Upsert},
        cursor,
        dto::{
            Binary, CountRequest, CountResponse, DeleteRequest, DeleteResponse, ExportRequest, FetchRequest,
            FetchResponse, PageParams, RowList, SampleRequest, UpsertColumnsRequest, UpsertRequest,
            UpsertResponse, Vector, filter,
        },
        extract::{Json, Namespace, OptionalJson, Params, RowPath},
    },
    engine::{Consistency, Projection},
    error::{Error, Result},
    service::{page_rows, parse_ids},
    types::{Filter, NamespaceName, Rows},
};

/// An id may be spelled like an action of `/vectors/…`. The action is a POST, so that the other
/// methods of its path can mean the row of that id, as they do everywhere else.
pub(in crate::api) fn with_row_methods(action: MethodRouter<Arc<AppState>>) -> MethodRouter<Arc<AppState>> {
    action.get(get).delete(delete)
}

/// Upsert rows
///
/// All rows become visible together, or none does. The first upsert creates the namespace and fixes
/// its dimension.
///
/// As NDJSON a body is one row a line. As an Arrow IPC stream it has the columns `id` (utf8),
/// `values` (a list or fixed-size list of float16, float32 or float64), and optionally `metadata`
/// (utf8, the JSON text of an object) and `ttl_seconds` (an integer); buffers are not compressed.
#[utoipa::path(post, path = "/namespaces/{ns}/vectors", operation_id = "upsert_vectors", tag = "vectors",
    security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body(description = "The rows.", content(
        (UpsertRequest = "application/json"),
        (String = "application/x-ndjson",
            example = json!("{\"id\":\"a\",\"values\":[0.1,0.2]}\n{\"id\":\"b\",\"values\":[0.3,0.4]}\n")),
        (Binary = "application/vnd.apache.arrow.stream", example = json!("(binary)")),
    )),
    responses((status = 200, description = "The rows are durable.", body = UpsertResponse)))]
pub(in crate::api) async fn upsert(
    state: State,
    Namespace(name): Namespace,
    Upsert(rows): Upsert,
) -> Result<Json<UpsertResponse>> {
    upsert_rows(&state, &name, rows).await
}

/// Upsert rows, in columns
#[utoipa::path(post, path = "/namespaces/{ns}/upsert-columns", operation_id = "upsert_columns", tag = "vectors",
    security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = UpsertColumnsRequest,
    responses((status = 200, description = "The rows are durable.", body = UpsertResponse)))]
pub(in crate::api) async fn upsert_columns(
    state: State,
    Namespace(name): Namespace,
    Json(columns): Json<Columns>,
) -> Result<Json<UpsertResponse>> {
    let rows = columns.into_rows(&state.limits)?;
    upsert_rows(&state, &name, rows).await
}

async fn upsert_rows(state: &AppState, name: &NamespaceName, rows: Rows) -> Result<Json<UpsertResponse>> {
    let done = state.engine.upsert(name, rows).await?;
    Ok(Json(UpsertResponse { upserted_count: done.upserted, inserted_count: done.inserted }))
}

/// List rows
///
/// In id order.
#[utoipa::path(get, path = "/namespaces/{ns}/vectors", operation_id = "list_vectors", tag = "vectors",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"), PageParams),
    responses((status = 200, description = "A page of rows.", body = RowList)))]
pub(in crate::api) async fn list(
    state: State,
    Namespace(name): Namespace,
    Params(params): Params<PageParams>,
) -> Result<Response> {
    page(&state, &name, None, &params).await
}

/// Export rows
///
/// A page of the rows that match, in id order; follow `next_cursor` to the end. Rows that are written meanwhile
/// may or may not be part of the export.
#[utoipa::path(post, path = "/namespaces/{ns}/export", operation_id = "export_vectors", tag = "vectors",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = ExportRequest,
    responses((status = 200, description = "A page of rows.", body = RowList)))]
pub(in crate::api) async fn export(
    state: State,
    Namespace(name): Namespace,
    OptionalJson(request): OptionalJson<ExportRequest>,
) -> Result<Response> {
    let filter = filter(request.filter.as_deref(), "filter", &state.limits)?;
    page(&state, &name, filter, &request.into()).await
}

/// Sample rows
///
/// So many of the rows that match, drawn by chance, each as likely as any other and none twice; all of them if
/// there are fewer. In id order.
#[utoipa::path(post, path = "/namespaces/{ns}/sample", operation_id = "sample_vectors", tag = "vectors",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = SampleRequest,
    responses((status = 200, description = "The rows.", body = RowList)))]
pub(in crate::api) async fn sample(
    state: State,
    Namespace(name): Namespace,
    OptionalJson(request): OptionalJson<SampleRequest>,
) -> Result<Response> {
    let filter = filter(request.filter.as_deref(), "filter", &state.limits)?;
    let limit = page_rows(&state.limits, "limit", request.limit, 1000)?;
    let (projection, consistency) = (request.projection(), request.consistency());
    let sample = state.engine.sample(&name, filter, limit, projection, consistency).await?;
    Ok(Json(RowList::new(sample, state.now())).respond().await)
}

async fn page(
    state: &AppState,
    name: &NamespaceName,
    filter: Option<Arc<Filter>>,
    params: &PageParams,
) -> Result<Response> {
    let limit = page_rows(&state.limits, "limit", params.limit, 1000)?;
    let after = cursor::decode(params.cursor.as_deref())?;
    let (after, projection) = (after.as_deref(), params.projection());
    let page = state.engine.page_matching(name, filter, after, limit, projection).await?;
    Ok(Json(RowList::new(page, state.now())).respond().await)
}

/// Get a row
#[utoipa::path(get, path = "/namespaces/{ns}/vectors/{id}", operation_id = "get_vector", tag = "vectors",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("id" = String, Path, description = "The row's id, percent-encoded", min_length = 1, max_length = 512),
    ),
    responses((status = 200, description = "The row.", body = Vector)))]
pub(in crate::api) async fn get(state: State, RowPath(name, id): RowPath) -> Result<Json<Vector>> {
    let projection = Projection { vectors: true, metadata: true };
    let rows = state.engine.fetch(&name, std::slice::from_ref(&id), Consistency::Strong, projection).await?;
    let missing = || Error::VectorNotFound { namespace: name.to_string(), id: id.to_string() };
    let row = rows.into_iter().next().ok_or_else(missing)?;
    Ok(Json(Vector::new(row, state.now())))
}

/// Delete a row
#[utoipa::path(delete, path = "/namespaces/{ns}/vectors/{id}", operation_id = "delete_vector", tag = "vectors",
    security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("id" = String, Path, description = "The row's id, percent-encoded", min_length = 1, max_length = 512),
    ),
    responses((status = 200, description = "It does not exist any more.", body = DeleteResponse)))]
pub(in crate::api) async fn delete(state: State, RowPath(name, id): RowPath) -> Result<Json<DeleteResponse>> {
    let missing = Error::VectorNotFound { namespace: name.to_string(), id: id.to_string() };
    match state.engine.delete(&name, vec![id]).await? {
        0 => Err(missing),
        deleted_count => Ok(Json(DeleteResponse { deleted_count })),
    }
}

/// Delete rows
///
/// By id, or all of them. All disappear together.
#[utoipa::path(post, path = "/namespaces/{ns}/vectors/delete", operation_id = "delete_vectors", tag = "vectors",
    security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = DeleteRequest,
    responses((status = 200, description = "They do not exist any more.", body = DeleteResponse)))]
pub(in crate::api) async fn delete_many(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<DeleteRequest>,
) -> Result<Json<DeleteResponse>> {
    let deleted_count = match (request.ids, request.delete_all) {
        (Some(ids), false) => state.engine.delete(&name, parse_ids(&state.limits, "ids", &ids)?).await?,
        (None, true) => state.engine.delete_all(&name).await?,
        (None, false) => return Err(Error::invalid("ids", "give ids, or delete_all: true")),
        (Some(_), true) => return Err(Error::invalid("delete_all", "give either ids or delete_all")),
    };
    Ok(Json(DeleteResponse { deleted_count }))
}

/// Count rows
///
/// Those that match, exactly.
#[utoipa::path(post, path = "/namespaces/{ns}/vectors/count", operation_id = "count_vectors", tag = "vectors",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = CountRequest,
    responses((status = 200, description = "How many there are.", body = CountResponse)))]
pub(in crate::api) async fn count(
    state: State,
    Namespace(name): Namespace,
    OptionalJson(request): OptionalJson<CountRequest>,
) -> Result<Json<CountResponse>> {
    let filter = filter(request.filter.as_deref(), "filter", &state.limits)?;
    let count = state.engine.count_matching(&name, filter, request.consistency()).await?;
    Ok(Json(CountResponse { count, namespace: name.to_string() }))
}

/// Get rows by id
///
/// Those that exist, in the order of the ids.
#[utoipa::path(post, path = "/namespaces/{ns}/fetch", operation_id = "fetch_vectors", tag = "vectors",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = FetchRequest,
    responses((status = 200, description = "The rows.", body = FetchResponse)))]
pub(in crate::api) async fn fetch(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<FetchRequest>,
) -> Result<Response> {
    let ids = parse_ids(&state.limits, "ids", &request.ids)?;
    let rows = state.engine.fetch(&name, &ids, request.consistency(), request.projection()).await?;
    let now = state.now();
    let vectors = rows.into_iter().map(|row| Vector::new(row, now)).collect();
    Ok(Json(FetchResponse { vectors }).respond().await)
}
