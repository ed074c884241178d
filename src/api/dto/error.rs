//! Errors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Error, example = json!({
    "error": "top_k: 20000 is over the limit limits.top_k = 10000",
    "code": "LIMIT_EXCEEDED",
    "details": {"field": "top_k", "limit": "limits.top_k", "max": 10000, "actual": 20000}
}))]
pub(in crate::api) struct ErrorBody {
    /// What happened, for people.
    pub error: String,
    /// What happened, for programs. Stable.
    pub code: String,
    /// With status 404: what was not found (`namespace`, `vector`, `index`, `route`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resource: Option<String>,
    /// The facts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub details: Option<ErrorDetails>,
}

/// The facts of an error; each field is there if it applies.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(in crate::api) struct ErrorDetails {
    /// Path of the offending field in the request, such as `vectors[3].values[7]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// The setting that was crossed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<String>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max: Option<u64>,
    /// What would have been right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected: Option<u64>,
    /// What was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub actual: Option<u64>,
    /// The content types that are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub accepted: Option<String>,
    /// The scope that is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub scope: Option<String>,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub namespace: Option<String>,
    /// The vector's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// The object in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub object: Option<String>,
}
