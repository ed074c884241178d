//! Why an object cannot be had.

use std::{fmt, io, path::PathBuf, sync::Arc};

use crate::storage::{Key, StoreError, StoreErrorKind};

/// Why an object cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// The store failed; [`StoreErrorKind::NotFound`] if there is no such object.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object in the store has another length or hash than it should.
    #[error("object {object} is corrupt: {reason}")]
    Corrupt {
        /// The object's key.
        object: Arc<str>,
        /// What is wrong.
        reason: Arc<str>,
    },
    /// The folder of the disk cache cannot be used at all.
    #[error("cannot use {} as the disk cache: {reason}", path.display())]
    Folder {
        /// `cache.disk_path`.
        path: PathBuf,
        /// What the system said.
        reason: Arc<str>,
    },
}

impl CacheError {
    /// The work was not done, and may be tried again.
    pub(super) fn unavailable(key: &Key, message: impl fmt::Display) -> Self {
        Self::Store(StoreError {
            kind: StoreErrorKind::Unavailable,
            operation: "cache",
            key: key.shared(),
            message: message.to_string().into(),
        })
    }

    pub(super) fn wrong_length(key: &Key, expected: u64, actual: u64) -> Self {
        let reason = format!("it has {actual} bytes where {expected} are expected");
        Self::Corrupt { object: key.shared(), reason: reason.into() }
    }

    /// A local file that could not be read.
    pub(super) fn unreadable(key: &Key, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => StoreErrorKind::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
                StoreErrorKind::Refused
            }
            _ => StoreErrorKind::Unavailable,
        };
        let message = error.to_string().into();
        Self::Store(StoreError { kind, operation: "map", key: key.shared(), message })
    }
}
