//! The page at `/ui`: what namespaces hold, how the server fares, searches, and a map.
//!
//! Its files are part of the binary, as they stand in `src/api/ui`. Like the documentation it is open to
//! anybody: it shows nothing by itself, and asks for an API key where the server does.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::error::{Error, Result};

/// The page's files, with their media types.
macro_rules! files {
    ($($name:literal: $media:literal,)+) => {
        [$(($name, $media, include_str!(concat!("../ui/", $name)))),+]
    };
}

const FILES: [(&str, &str, &str); 12] = files! {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "app.js": "text/javascript; charset=utf-8",
    "chart.js": "text/javascript; charset=utf-8",
    "client.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "map.js": "text/javascript; charset=utf-8",
    "metrics.js": "text/javascript; charset=utf-8",
    "namespace.js": "text/javascript; charset=utf-8",
    "projection.js": "text/javascript; charset=utf-8",
    "search.js": "text/javascript; charset=utf-8",
};

/// The page runs its own scripts only, and talks to this server only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// A page to look at
#[utoipa::path(get, path = "/ui", operation_id = "ui", tag = "system", security(()),
    responses((status = 307, description = "To the page.",
        headers(("Location" = String, description = "Where the page is")))))]
pub(in crate::api) async fn ui() -> impl IntoResponse {
    // Relative, so that it works under /v1 and behind a proxy that adds a prefix.
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "ui/index.html")])
}

/// A page to look at and its parts
///
/// Nothing is loaded from another host.
#[utoipa::path(get, path = "/ui/{file}", operation_id = "ui_file", tag = "system", security(()),
    params(("file" = String, Path, description = "`index.html` and what it loads")),
    responses((status = 200, description = "The file.", content(
        (String = "text/html"), (String = "text/css"), (String = "text/javascript"), (String = "image/svg+xml")))))]
pub(in crate::api) async fn ui_file(file: Result<Path<String>, PathRejection>) -> Result<Response> {
    let Path(file) = file.map_err(|rejection| Error::invalid("file", rejection.body_text()))?;
    let found = FILES.into_iter().find(|(name, ..)| *name == file);
    let (_, media, text) = found.ok_or_else(|| Error::RouteNotFound { path: format!("/ui/{file}") })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // Another version of the server has other files under the same names.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, text).into_response())
}
