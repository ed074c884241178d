//! What a store operation can answer, classified by what the caller may conclude from it.

use std::sync::Arc;

/// The result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A failed store operation.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} {key}: {message}")]
pub struct StoreError {
    /// What may be concluded.
    pub kind: StoreErrorKind,
    /// The operation's name as in metrics: `get`, `put_if_absent`, ….
    pub operation: &'static str,
    /// The object's key.
    pub key: Arc<str>,
    /// What the backend said, with secrets left out.
    pub message: Arc<str>,
}

/// What a caller may conclude from a failed store operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no such object.
    NotFound,
    /// The condition of a conditional write did not hold.
    Conflict,
    /// The store is unreachable, busy or throttling. Nothing was done; try again later.
    Unavailable,
    /// The store refuses for a reason that a retry does not mend: permissions, configuration, a
    /// full or read-only disk, a name or an object that is too long. Nothing was done.
    Refused,
    /// A write was sent and no definite answer came: it may have taken effect, or still may.
    Unknown,
}
