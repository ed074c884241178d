//! Vector ids: any UTF-8 text. They are data and never become object keys.

use std::{borrow::Borrow, fmt, sync::Arc};

use crate::error::{Error, Result};

/// An id of 1 to `limits.id_bytes` bytes of UTF-8. Cheap to clone; orders by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VectorId(Arc<str>);

impl VectorId {
    /// Checks an id against the configured limit. `field` is where it stood in the request.
    pub fn parse(id: &str, max_bytes: usize, field: impl FnOnce() -> String) -> Result<Self> {
        if id.is_empty() {
            return Err(Error::invalid(field(), "an id needs at least one character"));
        }
        if id.len() > max_bytes {
            return Err(Error::LimitExceeded {
                field: field(),
                limit: "limits.id_bytes",
                max: max_bytes as u64,
                actual: id.len() as u64,
            });
        }
        Ok(Self(id.into()))
    }

    /// An id that was checked when it was written.
    pub fn trusted(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for VectorId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
