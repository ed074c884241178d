//! The HTTP API: routes, bodies, status codes, OpenAPI.
//!
//! One list ([`routes`]) yields the router and the OpenAPI document, and the document yields what
//! each operation needs ([`auth`]). Every route is served at `/…` and at `/v1/…`. Handlers convert,
//! call the engine once, and convert; what is wrong with a request is found in extractors and in
//! `service`, and every error leaves through the one map in [`error`].

mod auth;
mod bodies;
mod cursor;
mod dto;
mod error;
mod extract;
mod floats;
mod middleware;
mod openapi;
mod routes;
pub mod server;
mod state;

use std::sync::Arc;

use axum::{Router, extract::Request};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

use self::routes::{
    aggregate, batch, fulltext, health, index_blobs, indexes, namespaces, search, system, ui, vectors,
};
pub use self::state::AppState;
use crate::error::Error;

/// The state and what each operation needs.
#[derive(Debug)]
struct Gate {
    state: Arc<AppState>,
    access: auth::AccessTable,
}

/// Every route, once.
fn routes() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::with_openapi(openapi::document())
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(system::metrics))
        .routes(routes!(system::openapi_json))
        .routes(routes!(system::docs))
        .routes(routes!(system::docs_file))
        .routes(routes!(system::capabilities))
        .routes(routes!(ui::ui))
        .routes(routes!(ui::ui_file))
        .routes(routes!(namespaces::list, namespaces::create))
        .routes(routes!(namespaces::put, namespaces::describe, namespaces::delete))
        .routes(routes!(namespaces::compact))
        .routes(routes!(namespaces::copy))
        .routes(routes!(namespaces::warm))
        .routes(routes!(vectors::upsert, vectors::list))
        .routes(routes!(vectors::get, vectors::delete))
        .routes(routes!(vectors::delete_many).map(vectors::with_row_methods))
        .routes(routes!(vectors::count).map(vectors::with_row_methods))
        .routes(routes!(vectors::bulk_delete).map(vectors::with_row_methods))
        .routes(routes!(vectors::bulk_update).map(vectors::with_row_methods))
        .routes(routes!(vectors::upsert_columns))
        .routes(routes!(vectors::fetch))
        .routes(routes!(vectors::export))
        .routes(routes!(vectors::sample))
        .routes(routes!(search::query))
        .routes(routes!(search::batch_query))
        .routes(routes!(search::multi_vector))
        .routes(routes!(search::unified_query))
        .routes(routes!(fulltext::search))
        .routes(routes!(fulltext::stats))
        .routes(routes!(fulltext::index))
        .routes(routes!(fulltext::delete))
        .routes(routes!(fulltext::hybrid))
        .routes(routes!(batch::batch))
        .routes(routes!(search::explain))
        .routes(routes!(aggregate::aggregate))
        .routes(routes!(search::recall))
        .routes(routes!(indexes::list))
        .routes(routes!(indexes::put, indexes::get, indexes::head, indexes::delete))
        .routes(routes!(index_blobs::put, index_blobs::get, index_blobs::head, index_blobs::delete))
}

/// The server's routes, with everything that stands before them.
pub fn router(state: Arc<AppState>) -> Router {
    let (routes, document) = routes().split_for_parts();
    let gate = Arc::new(Gate { state: Arc::clone(&state), access: auth::AccessTable::read(&document) });
    let router = Router::new()
        .merge(routes.clone())
        .nest("/v1", routes)
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state);
    middleware::around(router, &gate)
}

/// The OpenAPI document of the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi::complete(routes().into_openapi())
}

/// The text of [`openapi`], as it is checked in and served.
pub fn openapi_json() -> String {
    openapi::to_json()
}

async fn no_route(request: Request) -> Error {
    Error::RouteNotFound { path: bodies::shorten(request.uri().path().to_owned()) }
}

async fn wrong_method(request: Request) -> Error {
    let path = bodies::shorten(request.uri().path().to_owned());
    Error::MethodNotAllowed { method: request.method().to_string(), path }
}
