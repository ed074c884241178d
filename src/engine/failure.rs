//! What a failed store operation means to a caller of the engine.

use std::time::Duration;

use crate::{
    cache::CacheError,
    error::Error,
    storage::{StoreError, StoreErrorKind},
};

/// When to come back after the store was unavailable.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<StoreError> for Error {
    /// For operations where "not found" and "conflict" were not expected: the object was there a
    /// moment ago, so its absence is reported as damage.
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::NotFound => {
                Self::Corrupt { object: error.key.to_string(), reason: "it is missing".into() }
            }
            StoreErrorKind::Unavailable => {
                Self::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER }
            }
            StoreErrorKind::Refused => Self::StoreRefused { reason: error.to_string() },
            StoreErrorKind::Conflict | StoreErrorKind::Unknown => {
                Self::OutcomeUnknown { reason: error.to_string() }
            }
        }
    }
}

impl From<CacheError> for Error {
    /// The same for objects that come through the cache.
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Store(error) => error.into(),
            CacheError::Corrupt { object, reason } => {
                Self::Corrupt { object: object.to_string(), reason: reason.to_string() }
            }
            CacheError::Folder { .. } => Self::internal(error),
        }
    }
}
