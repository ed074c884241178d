//! Everything that can go wrong for a caller, in one enum.
//!
//! Each variant is a promise about what happened, because a client acts on it: a refused request
//! left nothing behind, [`Error::Unavailable`] had no side effect and may be repeated,
//! [`Error::OutcomeUnknown`] may or may not have taken effect, [`Error::Corrupt`] names the object
//! that can no longer be trusted. `api` holds the one exhaustive map from here to a status code.

use std::{sync::Arc, time::Duration};

/// The result of an operation a caller asked for.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[allow(missing_docs)] // The variants say what their fields are.
/// Why an operation failed. Cheap to clone, since one failed refresh answers many readers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Input that breaks a rule; `field` is the path of the offending field in the request.
    #[error("{field}: {message}")]
    Invalid { field: String, message: String },
    /// A vector without any value.
    #[error("{field}: a vector needs at least one value")]
    EmptyVector { field: String },
    /// A vector whose length differs from the namespace's dimension, or from the batch's first row.
    #[error("{field}: dimension is {actual}, but {expected} is expected here")]
    DimensionMismatch { field: String, expected: usize, actual: usize },
    /// Input over a configured limit. `limit` is the name of the setting (`limits.top_k`).
    #[error("{field}: {actual} is over the limit {limit} = {max}")]
    LimitExceeded { field: String, limit: &'static str, max: u64, actual: u64 },
    /// Rows that would take more bytes than one answer may have.
    #[error(
        "the rows found take more than {limit} = {max} bytes; ask for fewer, or without vectors or metadata"
    )]
    AnswerTooLarge { limit: &'static str, max: u64 },
    /// A body over the limit of that name, in bytes after decompression.
    #[error("the body is larger than {limit} = {max} bytes")]
    BodyTooLarge { limit: &'static str, max: u64 },
    /// A body that stopped arriving. Nothing was done.
    #[error("no piece of the request body arrived within {after:?}")]
    BodyTimeout { after: Duration },
    /// A body that parses but has the wrong shape (missing or unknown field, wrong type).
    #[error("{field}: {message}")]
    WrongShape { field: String, message: String },
    /// A body whose content type this route does not take.
    #[error("content type {actual:?} is not accepted here; send one of {accepted}")]
    UnsupportedMediaType { actual: String, accepted: &'static str },
    /// No credentials.
    #[error("{message}")]
    Unauthenticated { message: &'static str },
    /// An API key that is not among the configured ones.
    #[error("the API key is not valid")]
    InvalidApiKey,
    /// Valid credentials that do not cover the namespace.
    #[error("this key does not cover namespace {namespace:?}")]
    NamespaceDenied { namespace: String },
    /// Valid credentials without the scope that the operation needs.
    #[error("this key lacks the scope {needed} on {resource}")]
    Forbidden { needed: &'static str, resource: String },
    /// No live namespace of that name.
    #[error("namespace {namespace:?} does not exist")]
    NamespaceNotFound { namespace: String },
    /// No live row of that id.
    #[error("vector {id:?} does not exist in namespace {namespace:?}")]
    VectorNotFound { namespace: String, id: String },
    /// No index bytes of that type were uploaded.
    #[error("namespace {namespace:?} has no index of type {index}")]
    IndexNotFound { namespace: String, index: &'static str },
    /// No such route.
    #[error("no route {path:?}")]
    RouteNotFound { path: String },
    /// The route exists for other methods.
    #[error("method {method} is not allowed on {path:?}")]
    MethodNotAllowed { method: String, path: String },
    /// A namespace of that name exists already (with another configuration, where that matters).
    #[error("namespace {namespace:?} already exists{detail}")]
    NamespaceExists { namespace: String, detail: String },
    /// The namespace is read-only, because an object of it is corrupt.
    #[error("namespace {namespace:?} is read-only: {reason}")]
    ReadOnly { namespace: String, reason: String },
    /// This node works on as many requests as it may; repeat after `retry_after`, here or on another
    /// node. Nothing was done.
    #[error("the server is busy: {limit} = {max} is reached; retry later")]
    Busy { limit: &'static str, max: u64, retry_after: Duration },
    /// Too much waits already; repeat after `retry_after`. Nothing was done.
    #[error("{what} is over {limit}; retry later")]
    Overloaded { what: &'static str, limit: String, retry_after: Duration },
    /// The store could not do it now; repeat after `retry_after`. Nothing was done.
    #[error("the object store is unavailable: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
    /// The store refuses for a reason that a retry does not mend (permissions, a full disk). Nothing was done.
    #[error("the object store refused: {reason}")]
    StoreRefused { reason: String },
    /// A write was sent and its fate could not be learned: it may or may not have taken effect.
    #[error("the outcome is unknown: {reason}")]
    OutcomeUnknown { reason: String },
    /// The operation passed its deadline before anything was done.
    #[error("the request passed its deadline of {after:?}")]
    DeadlineExceeded { after: Duration },
    /// An object's bytes contradict its checksum or its place.
    #[error("object {object} is corrupt: {reason}")]
    Corrupt { object: String, reason: String },
    /// A bug in this server.
    #[error("internal error: {0}")]
    Internal(Arc<str>),
}

impl Error {
    /// Shorthand for [`Error::Invalid`].
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }

    /// Shorthand for [`Error::Internal`].
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::Internal(message.to_string().into())
    }
}
