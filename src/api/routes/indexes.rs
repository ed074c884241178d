//! Indexes that the server builds and keeps.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::State;
use crate::{
    api::{
        dto::{Index, IndexList, IndexParameters},
        extract::{IndexPath, Json, Namespace, OptionalJson},
    },
    error::{Error, Result},
};

/// List indexes
///
/// Those that the server builds, and those that clients uploaded.
#[utoipa::path(get, path = "/namespaces/{ns}/indexes", operation_id = "list_indexes", tag = "indexes",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    responses((status = 200, description = "Types and states.", body = IndexList)))]
pub(in crate::api) async fn list(state: State, Namespace(name): Namespace) -> Result<Json<IndexList>> {
    let indexes = state.engine.indexes(&name).await?;
    let blobs = state.engine.list_index_blobs(&name).await?;
    Ok(Json(IndexList::new(indexes, blobs)))
}

/// Build an index
///
/// From now on the segments of the namespace have an index of this type; it is built in the background
/// for those that are there. Repeating the request with the same parameters changes nothing; with
/// others, the index is built anew. A namespace that nobody told otherwise has `spfresh`.
#[utoipa::path(put, path = "/namespaces/{ns}/indexes/{type}", operation_id = "put_index", tag = "indexes",
    security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("type" = crate::types::IndexType, Path, description = "The index type"),
    ),
    request_body = IndexParameters,
    responses((status = 200, description = "It is there, or is being built.", body = Index)))]
pub(in crate::api) async fn put(
    state: State,
    IndexPath(name, index_type): IndexPath,
    OptionalJson(parameters): OptionalJson<IndexParameters>,
) -> Result<Json<Index>> {
    let spec = parameters.into_spec(index_type)?;
    Ok(Json(state.engine.put_index(&name, spec).await?.into()))
}

/// Describe an index
#[utoipa::path(get, path = "/namespaces/{ns}/indexes/{type}", operation_id = "get_index", tag = "indexes",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("type" = crate::types::IndexType, Path, description = "The index type"),
    ),
    responses((status = 200, description = "Its parameters, and how far it is.", body = Index)))]
pub(in crate::api) async fn get(state: State, IndexPath(name, index): IndexPath) -> Result<Json<Index>> {
    Ok(Json(state.engine.index(&name, index).await?.into()))
}

/// Is there an index?
#[utoipa::path(head, path = "/namespaces/{ns}/indexes/{type}", operation_id = "head_index", tag = "indexes",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("type" = crate::types::IndexType, Path, description = "The index type"),
    ),
    responses((status = 200, description = "The namespace has it, or is to have it.")))]
pub(in crate::api) async fn head(state: State, IndexPath(name, index): IndexPath) -> Result<Response> {
    state.engine.index(&name, index).await?;
    Ok([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_response())
}

/// Drop an index
///
/// Searches go on with the others, or exactly if there are none.
#[utoipa::path(delete, path = "/namespaces/{ns}/indexes/{type}", operation_id = "delete_index",
    tag = "indexes", security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("type" = crate::types::IndexType, Path, description = "The index type"),
    ),
    responses((status = 204, description = "The namespace has none of this type any more.")))]
pub(in crate::api) async fn delete(state: State, IndexPath(name, index): IndexPath) -> Result<StatusCode> {
    if state.engine.delete_index(&name, index).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Error::IndexNotFound { namespace: name.to_string(), index: index.as_str() })
}
