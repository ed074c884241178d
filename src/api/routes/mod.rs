//! One file per resource. A handler converts, calls once, and converts.
//!
//! `security` says what an operation needs, and is enforced (see [`super::auth`]). Responses other
//! than the successful ones are added to every operation in [`super::openapi`].

pub(super) mod aggregate;
pub(super) mod batch;
pub(super) mod fulltext;
pub(super) mod health;
pub(super) mod index_blobs;
pub(super) mod indexes;
pub(super) mod namespaces;
pub(super) mod search;
pub(super) mod system;
pub(super) mod ui;
pub(super) mod vectors;

use std::sync::Arc;

use super::AppState;

/// The shared state, as handlers take it.
type State = axum::extract::State<Arc<AppState>>;
