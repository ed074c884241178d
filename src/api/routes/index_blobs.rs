//! Indexes that clients built: bytes that the server keeps and does not look into.

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::State;
use crate::{
    api::{
        bodies::{index_blob_limit, read_body},
        dto::{Binary, IndexBlob},
        extract::{IndexPath, Json},
    },
    error::{Error, Result},
};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Upload an index
///
/// Replaces the one of the same type.
#[utoipa::path(put, path = "/namespaces/{ns}/indexes/{type}/blob", operation_id = "put_index_blob",
    tag = "indexes", security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("type" = crate::types::IndexType, Path, description = "The index type"),
    ),
    request_body(description = "The bytes.",
        content((Binary = "application/octet-stream", example = json!("(binary)")))),
    responses((status = 200, description = "The bytes are durable.", body = IndexBlob)))]
pub(in crate::api) async fn put(
    state: State,
    IndexPath(name, index_type): IndexPath,
    request: Request,
) -> Result<Json<IndexBlob>> {
    let bytes = read_body(request, &state, index_blob_limit(&state)).await?;
    let size_bytes = bytes.len() as u64;
    state.engine.put_index_blob(&name, index_type, bytes).await?;
    Ok(Json(IndexBlob { index_type, size_bytes }))
}

/// Download an index
#[utoipa::path(get, path = "/namespaces/{ns}/indexes/{type}/blob", operation_id = "get_index_blob",
    tag = "indexes", security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("type" = crate::types::IndexType, Path, description = "The index type"),
    ),
    responses((status = 200, description = "The bytes, as they were uploaded.", body = Binary,
        content_type = "application/octet-stream")))]
pub(in crate::api) async fn get(state: State, IndexPath(name, index): IndexPath) -> Result<Response> {
    let bytes = state.engine.get_index_blob(&name, index).await?;
    Ok(([(header::CONTENT_TYPE, OCTETS)], bytes).into_response())
}

/// Size of an index
#[utoipa::path(head, path = "/namespaces/{ns}/indexes/{type}/blob", operation_id = "head_index_blob",
    tag = "indexes", security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("type" = crate::types::IndexType, Path, description = "The index type"),
    ),
    responses((status = 200, description = "It exists; its size is in Content-Length.",
        headers(("Content-Length" = u64, description = "Bytes")))))]
pub(in crate::api) async fn head(state: State, IndexPath(name, index): IndexPath) -> Result<Response> {
    let size = state.engine.index_blob_size(&name, index).await?;
    let headers = [(header::CONTENT_TYPE, OCTETS), (header::CONTENT_LENGTH, HeaderValue::from(size))];
    Ok(headers.into_response())
}

/// Delete an index
#[utoipa::path(delete, path = "/namespaces/{ns}/indexes/{type}/blob", operation_id = "delete_index_blob",
    tag = "indexes", security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(
        ("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$"),
        ("type" = crate::types::IndexType, Path, description = "The index type"),
    ),
    responses((status = 204, description = "It does not exist any more.")))]
pub(in crate::api) async fn delete(state: State, IndexPath(name, index): IndexPath) -> Result<StatusCode> {
    if state.engine.delete_index_blob(&name, index).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Error::IndexNotFound { namespace: name.to_string(), index: index.as_str() })
}
