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
            Binary, BulkDeleteRequest, BulkDeleteResponse, BulkUpdateRequest, BulkUpdateResponse,
            ConditionParams, CountRequest, CountResponse, DeleteRequest, DeleteResponse, ExportRequest,
            FetchRequest, FetchResponse, PageParams, RowList, SampleRequest, UpsertColumnsRequest,
            UpsertRequest, UpsertResponse, Vector, delete_condition, filter,
        },
        extract::{Json, Namespace, OptionalJson, Params, RowPath},
    },
    engine::{Consistency, Precondition, Projection},
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
/// With `mode` or `if` only those rows are written for which that holds, right before the request is committed:
/// no other write comes between the look and the change. The others are told of in the answer. Both stand in a JSON
/// body or, for every form of the rows, in the query string.
///
/// As NDJSON a body is one row a line. As an Arrow IPC stream it has the columns `id` (utf8),
/// `values` (a list or fixed-size list of float16, float32 or float64), and optionally `metadata`
/// (utf8, the JSON text of an object) and `ttl_seconds` (an integer); buffers are not compressed.
#[utoipa::path(post, path = "/namespaces/{ns}/vectors", operation_id = "upsert_vectors", tag = "vectors",
    security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"), ConditionParams),
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
    Upsert(rows, condition): Upsert,
) -> Result<Json<UpsertResponse>> {
    upsert_rows(&state, &name, rows, condition).await
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
    Json(mut columns): Json<Columns>,
) -> Result<Json<UpsertResponse>> {
    let condition = columns.condition(&state.limits)?;
    let rows = columns.into_rows(&state.limits)?;
    upsert_rows(&state, &name, rows, condition).await
}

async fn upsert_rows(
    state: &AppState,
    name: &NamespaceName,
    rows: Rows,
    condition: Precondition,
) -> Result<Json<UpsertResponse>> {
    let conditional = !condition.is_nothing();
    let done = state.engine.upsert_if(name, rows, condition).await?;
    Ok(Json(UpsertResponse::new(done, conditional)))
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
    Ok(Json(RowList::new(sample, projection, state.now())).respond().await)
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
    Ok(Json(RowList::new(page, projection, state.now())).respond().await)
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
    Ok(Json(Vector::new(row, projection, state.now())))
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
        deleted_count => Ok(Json(DeleteResponse::of(deleted_count))),
    }
}

/// Delete rows
///
/// By id, or all of them. All disappear together. With `if` only those that match when they are deleted.
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
    let ids = match (&request.ids, request.delete_all, &request.condition) {
        (Some(ids), false, _) => parse_ids(&state.limits, "ids", ids)?,
        (None, true, None) => {
            return Ok(Json(DeleteResponse::of(state.engine.delete_all(&name).await?)));
        }
        (None, true, Some(_)) => {
            return Err(Error::invalid("if", "give ids; bulk-delete deletes all rows that match"));
        }
        (None, false, _) => return Err(Error::invalid("ids", "give ids, or delete_all: true")),
        (Some(_), true, _) => return Err(Error::invalid("delete_all", "give either ids or delete_all")),
    };
    let condition = delete_condition(request.condition.as_deref(), &state.limits)?;
    if condition.is_nothing() {
        return Ok(Json(DeleteResponse::of(state.engine.delete(&name, ids).await?)));
    }
    Ok(Json(state.engine.delete_if(&name, ids, condition).await?.into()))
}

/// Delete the rows that match a filter
///
/// Those that match when they are deleted. As many as one entry of the log holds (100,000, and
/// `log.entry_bytes` of ids) disappear together, more in several steps in the order of their ids, each on the rows
/// that match then. `next_cursor` says where to go on if `limit` or time ended the request before all were
/// deleted. Without a `limit` a request may be repeated as it is; with one, that deletes further rows.
#[utoipa::path(post, path = "/namespaces/{ns}/vectors/bulk-delete", operation_id = "bulk_delete_vectors",
    tag = "vectors", security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = BulkDeleteRequest,
    responses((status = 200, description = "They do not exist any more.", body = BulkDeleteResponse)))]
pub(in crate::api) async fn bulk_delete(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<BulkDeleteRequest>,
) -> Result<Json<BulkDeleteResponse>> {
    let bulk = request.into_bulk(&state.limits, state.server.request_timeout)?;
    Ok(Json(state.engine.delete_matching(&name, bulk).await?.into()))
}

/// Change the metadata of the rows that match a filter
///
/// Those that match when they are changed; vectors and times to live stay. As many as one entry of the log holds
/// (100,000, and `log.entry_bytes` with their vectors) change together, more in several steps in the order of their
/// ids, each on the rows that match then. `next_cursor` says where to go on if `limit` or time ended the request
/// before all were looked at. A request may be repeated as it is: it changes nothing twice.
#[utoipa::path(post, path = "/namespaces/{ns}/vectors/bulk-update", operation_id = "bulk_update_vectors",
    tag = "vectors", security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = BulkUpdateRequest,
    responses((status = 200, description = "Their metadata is durable.", body = BulkUpdateResponse)))]
pub(in crate::api) async fn bulk_update(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<BulkUpdateRequest>,
) -> Result<Json<BulkUpdateResponse>> {
    let (bulk, patch) = request.into_bulk(&state.limits, state.server.request_timeout)?;
    let edit = move |metadata: Option<&str>| patch.apply(metadata);
    Ok(Json(state.engine.update_matching(&name, bulk, edit).await?.into()))
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
    let asked = request.projection();
    let rows = state.engine.fetch(&name, &ids, request.consistency(), asked).await?;
    let now = state.now();
    let vectors = rows.into_iter().map(|row| Vector::new(row, asked, now)).collect();
    Ok(Json(FetchResponse { vectors }).respond().await)
}
