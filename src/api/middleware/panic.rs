//! A bug in a handler is one failed request, not a closed connection.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::error::Error;

/// The panic's own words go to the log only: they may quote data.
pub(super) fn answer(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no message)");
    tracing::error!(panic = message, "a handler panicked");
    Error::internal("the request met a bug; see the server's log").into_response()
}
