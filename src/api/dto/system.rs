//! The server itself.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::LimitsConfig,
    types::{Distance, IndexType},
};

/// This process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Health {
    /// Always `healthy`.
    pub status: &'static str,
    /// The server's version.
    pub version: &'static str,
}

impl Health {
    /// What a process that can answer says.
    pub const HEALTHY: Self = Self { status: "healthy", version: env!("CARGO_PKG_VERSION") };
}

/// Whether this node should get requests.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Readiness {
    /// Whether it should.
    pub ready: bool,
    /// `healthy` or `unavailable`.
    pub status: &'static str,
    /// The server's version.
    pub version: &'static str,
    /// What was looked at, by name: `storage`, `draining`.
    pub checks: BTreeMap<&'static str, Check>,
}

/// One thing that readiness depends on.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Check {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is wrong, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}

/// What this server can do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Capabilities {
    /// Changes when the shape of this answer does.
    pub capabilities_version: u32,
    /// The server's version.
    pub server_version: &'static str,
    /// Versions of the API that are served.
    pub api_versions: Vec<&'static str>,
    /// Object stores that can be configured.
    pub backends: Vec<&'static str>,
    /// The object store in use.
    pub backend: &'static str,
    /// Index types that can be uploaded.
    pub index_kinds: Vec<IndexType>,
    /// Metrics of namespaces and queries.
    pub distance_metrics: Vec<Distance>,
    /// Consistency levels of reads.
    pub consistency_levels: Vec<&'static str>,
    /// Media types of upserts.
    pub upsert_media_types: Vec<&'static str>,
    /// Content encodings of requests and responses.
    pub content_encodings: Vec<&'static str>,
    /// Limits by the name of their setting.
    pub limits: BTreeMap<&'static str, u64>,
}

/// Limits by the name of their setting.
pub(in crate::api) fn limits(config: &LimitsConfig) -> BTreeMap<&'static str, u64> {
    // Without `..`, so that a new limit does not compile until it is told here.
    let LimitsConfig {
        body_bytes,
        dimension,
        top_k,
        batch_rows,
        batch_results,
        batch_requests,
        page_rows,
        id_bytes,
        metadata_bytes,
        index_blob_bytes,
        answer_bytes,
        filter_depth,
        filter_nodes,
        filter_values,
        filter_patterns,
        text_query_bytes,
        text_query_depth,
        text_query_terms,
        text_expansions,
        rank_by_texts,
        groups,
    } = config;
    BTreeMap::from([
        ("body_bytes", body_bytes.as_u64()),
        ("dimension", *dimension as u64),
        ("top_k", *top_k as u64),
        ("batch_rows", *batch_rows as u64),
        ("batch_results", *batch_results as u64),
        ("batch_requests", *batch_requests as u64),
        ("page_rows", *page_rows as u64),
        ("id_bytes", *id_bytes as u64),
        ("metadata_bytes", *metadata_bytes as u64),
        ("index_blob_bytes", index_blob_bytes.as_u64()),
        ("answer_bytes", answer_bytes.as_u64()),
        ("filter_depth", *filter_depth as u64),
        ("filter_nodes", *filter_nodes as u64),
        ("filter_values", *filter_values as u64),
        ("filter_patterns", *filter_patterns as u64),
        ("text_query_bytes", *text_query_bytes as u64),
        ("text_query_depth", *text_query_depth as u64),
        ("text_query_terms", *text_query_terms as u64),
        ("text_expansions", *text_expansions as u64),
        ("rank_by_texts", *rank_by_texts as u64),
        ("groups", *groups as u64),
    ])
}
