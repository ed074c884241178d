//! The server itself: metrics, documentation, capabilities.

use std::sync::{Arc, LazyLock};

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use utoipa_swagger_ui::Config;

use super::State;
use crate::{
    api::{
        dto::{Capabilities, Health, limits},
        extract::Json,
    },
    error::{Error, Result},
    types::{Distance, IndexType},
};

/// The document as it is checked in.
static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(crate::api::openapi_json()));

/// The page's settings. Its validator badge would ask another host about our document.
static DOCS: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(Config::from("../openapi.json").validator_url("none").try_it_out_enabled(true))
});

/// The page may load nothing from anywhere else.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
);

/// Metrics
///
/// In the OpenMetrics text format, which Prometheus reads.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "system",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    responses((status = 200, description = "The metrics.", body = String,
        content_type = "application/openmetrics-text")))]
pub(in crate::api) async fn metrics(state: State) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], state.metrics.encode())
}

/// This document
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "system", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json")))]
pub(in crate::api) async fn openapi_json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI.clone())
}

/// This document as a page
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "system", security(()),
    responses((status = 307, description = "To the page.",
        headers(("Location" = String, description = "Where the page is")))))]
pub(in crate::api) async fn docs() -> impl IntoResponse {
    // Relative, so that it works under /v1 and behind a proxy that adds a prefix.
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "docs/index.html")])
}

/// The page and its parts
///
/// Nothing is loaded from another host.
#[utoipa::path(get, path = "/docs/{file}", operation_id = "docs_file", tag = "system", security(()),
    params(("file" = String, Path, description = "`index.html` and what it loads")),
    responses((status = 200, description = "The file.", content(
        (String = "text/html"), (String = "text/css"), (String = "text/javascript"), (String = "image/png")))))]
pub(in crate::api) async fn docs_file(
    file: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response> {
    let Path(file) = file.map_err(|rejection| Error::invalid("file", rejection.body_text()))?;
    let found = utoipa_swagger_ui::serve(&file, Arc::clone(&DOCS)).map_err(Error::internal)?;
    let found = found.ok_or_else(|| Error::RouteNotFound { path: format!("/docs/{file}") })?;
    let mut response = found.bytes.into_owned().into_response();
    let headers = response.headers_mut();
    let content_type = HeaderValue::try_from(found.content_type).map_err(Error::internal)?;
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_SECURITY_POLICY, DOCS_POLICY);
    if found.gzpipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// What this server can do
#[utoipa::path(get, path = "/capabilities", operation_id = "capabilities", tag = "system",
    security(("bearer" = ["read"]), ("api_key" = ["read"])),
    responses((status = 200, description = "What it can do.", body = Capabilities)))]
pub(in crate::api) async fn capabilities(state: State) -> Json<Capabilities> {
    Json(Capabilities {
        capabilities_version: 1,
        server_version: Health::HEALTHY.version,
        api_versions: vec!["v1"],
        backends: vec!["fs", "memory", "s3", "azblob", "gcs"],
        backend: state.backend,
        index_kinds: IndexType::ALL.to_vec(),
        distance_metrics: vec![Distance::Cosine, Distance::DotProduct, Distance::Euclidean],
        consistency_levels: vec!["strong", "eventual", "bounded_staleness"],
        upsert_media_types: vec![
            "application/json",
            "application/x-ndjson",
            "application/vnd.apache.arrow.stream",
        ],
        content_encodings: vec!["gzip", "zstd"],
        limits: limits(&state.limits),
    })
}
