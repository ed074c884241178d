//! Index blobs.

use serde::Serialize;
use utoipa::ToSchema;

use crate::types::IndexType;

/// An index that a client uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct IndexBlob {
    /// Its type.
    #[serde(rename = "type")]
    pub index_type: IndexType,
    /// Its length.
    pub size_bytes: u64,
}

/// The uploaded indexes of a namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct IndexList {
    /// One entry per type that was uploaded.
    pub indexes: Vec<IndexBlob>,
}
