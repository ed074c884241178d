//! Namespaces.

use axum::{Extension, http::StatusCode};

use super::State;
use crate::{
    api::{
        auth::Caller,
        cursor,
        dto::{
            CompactRequest, CompactResponse, CopyRequest, CreateNamespaceRequest, ListParams,
            Namespace as Described, NamespaceList, PutNamespaceRequest, PutNamespaceResponse, WarmRequest,
            WarmResponse,
        },
        extract::{Json, Namespace, OptionalJson, Params, Reply},
    },
    engine::IfExists,
    error::Result,
    service::page_rows,
    types::NamespaceName,
};

/// List namespaces
///
/// Names in order, those that the API key covers.
#[utoipa::path(get, path = "/namespaces", operation_id = "list_namespaces", tag = "namespaces",
    security(("bearer" = ["read"]), ("api_key" = ["read"])), params(ListParams),
    responses((status = 200, description = "A page of names.", body = NamespaceList)))]
pub(in crate::api) async fn list(
    state: State,
    Extension(caller): Extension<Caller>,
    Params(params): Params<ListParams>,
) -> Result<Json<NamespaceList>> {
    let limit = page_rows(&state.limits, "limit", params.limit, 1000)?;
    let after = cursor::decode(params.cursor.as_deref())?;
    let (names, more) = state.engine.list_namespaces(&params.prefix, after.as_deref(), limit).await?;
    let next_cursor = names.last().filter(|_| more).map(|last| cursor::encode(last.as_str()));
    let covered = names.into_iter().filter(|name| caller.covers(name.as_str()));
    Ok(Json(NamespaceList { namespaces: covered.map(|name| name.to_string()).collect(), next_cursor }))
}

/// Create a namespace
///
/// A namespace that does not exist is also created by its first upsert.
#[utoipa::path(post, path = "/namespaces", operation_id = "create_namespace", tag = "namespaces",
    security(("bearer" = ["admin"]), ("api_key" = ["admin"])), request_body = CreateNamespaceRequest,
    responses(
        (status = 201, description = "It was created.", body = PutNamespaceResponse),
        (status = 409, description = "A namespace of that name exists.", body = crate::api::dto::ErrorBody),
    ))]
pub(in crate::api) async fn create(
    state: State,
    Extension(caller): Extension<Caller>,
    Json(request): Json<CreateNamespaceRequest>,
) -> Result<Reply<PutNamespaceResponse>> {
    let name = NamespaceName::parse(&request.name, "name")?;
    caller.check_namespace(name.as_str())?;
    let spec = request.spec(state.limits.dimension)?;
    let (info, created) = state.engine.create_namespace(&name, spec, IfExists::Fail).await?;
    Ok((StatusCode::CREATED, Json(PutNamespaceResponse { created, namespace: info.into() })))
}

/// Create a namespace unless it exists
///
/// Where it exists, it has to have the dimension and the distance that are given.
#[utoipa::path(put, path = "/namespaces/{ns}", operation_id = "put_namespace", tag = "namespaces",
    security(("bearer" = ["admin"]), ("api_key" = ["admin"])), request_body = PutNamespaceRequest,
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    responses(
        (status = 200, description = "It existed.", body = PutNamespaceResponse),
        (status = 201, description = "It was created.", body = PutNamespaceResponse),
        (status = 409, description = "It exists with another dimension or distance.",
            body = crate::api::dto::ErrorBody),
    ))]
pub(in crate::api) async fn put(
    state: State,
    Namespace(name): Namespace,
    Json(request): Json<PutNamespaceRequest>,
) -> Result<Reply<PutNamespaceResponse>> {
    let spec = request.spec(state.limits.dimension)?;
    let (info, created) = state.engine.create_namespace(&name, spec, IfExists::Return).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(PutNamespaceResponse { created, namespace: info.into() })))
}

/// Describe a namespace
#[utoipa::path(get, path = "/namespaces/{ns}", operation_id = "get_namespace", tag = "namespaces",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    responses((status = 200, description = "The namespace.", body = Described)))]
pub(in crate::api) async fn describe(state: State, Namespace(name): Namespace) -> Result<Json<Described>> {
    Ok(Json(state.engine.describe(&name).await?.into()))
}

/// Compact a namespace
///
/// Folds the log into a segment and merges segments until there is nothing to do, which otherwise
/// happens in the background; `full` merges all of them into as few as fit. Reads and writes go on meanwhile. If the request times out, the work goes
/// on: repeat it to wait for the end.
#[utoipa::path(post, path = "/namespaces/{ns}/compact", operation_id = "compact_namespace", tag = "namespaces",
    security(("bearer" = ["write"]), ("api_key" = ["write"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    request_body = CompactRequest,
    responses((status = 200, description = "There is nothing left to do.", body = CompactResponse)))]
pub(in crate::api) async fn compact(
    state: State,
    Namespace(name): Namespace,
    OptionalJson(request): OptionalJson<CompactRequest>,
) -> Result<Json<CompactResponse>> {
    let done = match request.full {
        true => state.engine.compact_fully(&name).await?,
        false => state.engine.compact(&name).await?,
    };
    Ok(Json(done.into()))
}

/// Warm the cache
///
/// Brings the namespace into the cache of the node that answers, so that the next query there waits
/// for nothing. What is over the budgets of the cache does not stay.
#[utoipa::path(post, path = "/namespaces/{ns}/cache/warm", operation_id = "warm_cache", tag = "namespaces",
    security(("bearer" = ["read"]), ("api_key" = ["read"])), request_body = WarmRequest,
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    responses((status = 200, description = "It is warm, or is being warmed.", body = WarmResponse)))]
pub(in crate::api) async fn warm(
    state: State,
    Namespace(name): Namespace,
    OptionalJson(request): OptionalJson<WarmRequest>,
) -> Result<Json<WarmResponse>> {
    if !request.background {
        return Ok(Json(request.answer(Some(state.engine.warm(&name).await?))));
    }
    let engine = state.engine.clone();
    tokio::spawn(async move {
        if let Err(error) = engine.warm(&name).await {
            tracing::warn!(namespace = %name, %error, "warming failed");
        }
    });
    Ok(Json(request.answer(None)))
}

/// Copy a namespace
///
/// By reference: the copy shares the segments of its origin, so that it takes a moment and no space
/// however many rows there are. Both are independent of each other from then on. Uploaded indexes are
/// not copied.
#[utoipa::path(post, path = "/namespaces/{ns}/copy", operation_id = "copy_namespace", tag = "namespaces",
    security(("bearer" = ["admin"]), ("api_key" = ["admin"])), request_body = CopyRequest,
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    responses(
        (status = 201, description = "The copy.", body = Described),
        (status = 409, description = "A namespace of that name exists.", body = crate::api::dto::ErrorBody),
    ))]
pub(in crate::api) async fn copy(
    state: State,
    Namespace(name): Namespace,
    Extension(caller): Extension<Caller>,
    Json(request): Json<CopyRequest>,
) -> Result<Reply<Described>> {
    let to = NamespaceName::parse(&request.to, "to")?;
    caller.check_namespace(to.as_str())?;
    Ok((StatusCode::CREATED, Json(state.engine.copy_namespace(&name, &to).await?.into())))
}

/// Delete a namespace
///
/// With all its rows and indexes. A namespace of the same name can be created at once, and is empty.
#[utoipa::path(delete, path = "/namespaces/{ns}", operation_id = "delete_namespace", tag = "namespaces",
    security(("bearer" = ["admin"]), ("api_key" = ["admin"])),
    params(("ns" = String, Path, description = "The namespace", pattern = "^[A-Za-z0-9._-]{1,128}$")),
    responses((status = 204, description = "It does not exist any more.")))]
pub(in crate::api) async fn delete(state: State, Namespace(name): Namespace) -> Result<StatusCode> {
    state.engine.delete_namespace(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
