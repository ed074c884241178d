//! Namespaces.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::optional;
use crate::{
    clock::Timestamp,
    engine::{Compaction, NamespaceInfo, NamespaceSpec, Warmed},
    error::{Error, Result},
    types::Distance,
};

/// A namespace to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"name": "articles", "dimension": 384, "distance": "cosine"})))]
pub(in crate::api) struct CreateNamespaceRequest {
    /// Its name; not `.` or `..`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$", min_length = 1, max_length = 128)]
    pub name: String,
    /// Values per vector. Left out, the first upsert fixes it.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 16384)]
    pub dimension: Option<usize>,
    /// The metric; `cosine` if left out.
    pub distance: Option<Distance>,
}

/// What a namespace has to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"dimension": 384, "distance": "cosine"})))]
pub(in crate::api) struct PutNamespaceRequest {
    /// Values per vector. Left out, the first upsert fixes it.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 16384)]
    pub dimension: Option<usize>,
    /// The metric; `cosine` if left out when the namespace is created.
    pub distance: Option<Distance>,
}

/// Where to copy a namespace to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"to": "articles-copy"})))]
pub(in crate::api) struct CopyRequest {
    /// The name of the copy; no namespace of that name may exist.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$", min_length = 1, max_length = 128)]
    pub to: String,
}

/// Checks what a namespace is created with.
pub(in crate::api) fn spec(
    dimension: Option<usize>,
    distance: Option<Distance>,
    max: usize,
) -> Result<NamespaceSpec> {
    match dimension {
        Some(0) => Err(Error::invalid("dimension", "must be at least 1")),
        Some(actual) if actual > max => Err(Error::LimitExceeded {
            field: "dimension".into(),
            limit: "limits.dimension",
            max: max as u64,
            actual: actual as u64,
        }),
        _ => Ok(NamespaceSpec { dimension, distance }),
    }
}

impl CreateNamespaceRequest {
    /// The checked specification; `max` is `limits.dimension`.
    pub fn spec(&self, max: usize) -> Result<NamespaceSpec> {
        spec(self.dimension, self.distance, max)
    }
}

impl PutNamespaceRequest {
    /// The checked specification; `max` is `limits.dimension`.
    pub fn spec(&self, max: usize) -> Result<NamespaceSpec> {
        spec(self.dimension, self.distance, max)
    }
}

/// Which namespaces to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ListParams {
    /// Only names that start with this.
    #[serde(default)]
    pub prefix: String,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]*$")]
    pub cursor: Option<String>,
    /// Names at most; 1000 if left out.
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
}

/// A page of namespace names, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct NamespaceList {
    /// The names that the API key covers. There may be fewer than `limit` although more follow.
    pub namespaces: Vec<String>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
}

/// A namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Namespace {
    /// Its name.
    pub name: String,
    /// Its name.
    pub namespace: String,
    /// Values per vector; null until the first upsert.
    pub dimension: Option<usize>,
    /// The metric.
    pub distance: Distance,
    /// Rows, exactly.
    pub vector_count: u64,
    /// Rows, exactly.
    pub count: u64,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was last written to.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Bytes in the object store: segments, the log after them, and uploaded indexes.
    pub storage_bytes: u64,
    /// What was folded of the log.
    pub segments: SegmentFigures,
    /// The commit log.
    pub log: LogFigures,
    /// Rows in memory.
    pub tail: TailFigures,
    /// Bytes of uploaded indexes.
    pub index_bytes: u64,
}

/// The part of the commit log that is not folded into segments.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct LogFigures {
    /// Sequence number of the newest entry; 0 before the first.
    pub head_seq: u64,
    /// Its entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The immutable segments.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct SegmentFigures {
    /// Sequence number of the last log entry that is folded into them; 0 before the first fold.
    pub folded_seq: u64,
    /// How many there are.
    pub count: u64,
    /// Their rows, superseded and deleted ones included.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The rows that this node holds in memory.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct TailFigures {
    /// Rows, superseded and deleted ones included.
    pub rows: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

impl From<NamespaceInfo> for Namespace {
    fn from(info: NamespaceInfo) -> Self {
        let name = info.name.to_string();
        Self {
            namespace: name.clone(),
            name,
            dimension: info.dimension,
            distance: info.distance,
            vector_count: info.count,
            count: info.count,
            created_at: rfc3339(info.created_at),
            updated_at: rfc3339(info.updated_at),
            storage_bytes: info.segment_bytes + info.log_bytes + info.index_bytes,
            segments: SegmentFigures {
                folded_seq: info.folded_seq,
                count: info.segments,
                rows: info.segment_rows,
                bytes: info.segment_bytes,
            },
            log: LogFigures { head_seq: info.head_seq, entries: info.log_entries, bytes: info.log_bytes },
            tail: TailFigures { rows: info.tail_rows, bytes: info.tail_bytes },
            index_bytes: info.index_bytes,
        }
    }
}

/// A namespace, and whether the request created it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PutNamespaceResponse {
    /// Whether the request created it.
    pub created: bool,
    /// The namespace.
    #[serde(flatten)]
    pub namespace: Namespace,
}

/// How to compact. Everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"full": true})))]
pub(in crate::api) struct CompactRequest {
    /// Merge all segments into as few as `compaction.segment_bytes` and `segment_rows` let, not only those of
    /// like size: each row is written once more, and searches become faster.
    #[serde(default)]
    #[schema(default = false)]
    pub full: bool,
}

/// What a compaction did.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct CompactResponse {
    /// Folds of the log into a segment: 1 or 0.
    pub folds: u64,
    /// Merges of segments into one.
    pub merges: u64,
    /// Indexes that were built, besides those of segments that merging wrote.
    pub indexes: u64,
    /// Rows that were written to segments.
    pub rows_written: u64,
    /// Bytes that were written to segments.
    pub bytes_written: u64,
}

impl From<Compaction> for CompactResponse {
    fn from(done: Compaction) -> Self {
        Self {
            folds: done.folds,
            merges: done.merges,
            indexes: done.indexes,
            rows_written: done.rows,
            bytes_written: done.bytes,
        }
    }
}

/// How to warm the cache. Everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"background": true})))]
pub(in crate::api) struct WarmRequest {
    /// The namespace in the path; not looked at.
    #[serde(default, rename = "namespace")]
    pub _namespace: Option<String>,
    /// Echoed; all warming has the same priority.
    #[serde(default)]
    pub priority: Option<String>,
    /// Echoed; rows go to every tier that there is.
    #[serde(default)]
    pub target_tier: Option<String>,
    /// Answer at once, and warm afterwards.
    #[serde(default)]
    #[schema(default = false)]
    pub background: bool,
}

/// What was warmed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct WarmResponse {
    /// Always true; what fails is answered as an error.
    pub success: bool,
    /// Rows that were brought and checked.
    pub entries_warmed: u64,
    /// Rows that were there before.
    pub entries_skipped: u64,
    /// What happened, for people.
    pub message: String,
    /// As it was asked for.
    pub target_tier: String,
    /// As it was asked for.
    pub priority: String,
}

impl WarmRequest {
    /// The answer to it; `None` while it goes on.
    pub fn answer(self, warmed: Option<Warmed>) -> WarmResponse {
        let message = match warmed {
            Some(_) => "the namespace is warm on this node",
            None => "the namespace is being warmed on this node",
        };
        let warmed = warmed.unwrap_or_default();
        WarmResponse {
            success: true,
            entries_warmed: warmed.rows,
            entries_skipped: warmed.skipped,
            message: message.to_owned(),
            target_tier: self.target_tier.unwrap_or_else(|| "all".to_owned()),
            priority: self.priority.unwrap_or_else(|| "normal".to_owned()),
        }
    }
}

/// A time in RFC 3339; the epoch for one that no calendar has.
pub(super) fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(Timestamp(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp(i64::MAX)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_dimension_is_from_one_to_the_limit() {
        assert!(
            spec(Some(1), None, 8).is_ok() && spec(Some(8), None, 8).is_ok() && spec(None, None, 8).is_ok()
        );
        assert!(matches!(spec(Some(0), None, 8), Err(Error::Invalid { .. })));
        assert!(matches!(spec(Some(9), None, 8), Err(Error::LimitExceeded { max: 8, actual: 9, .. })));
    }
}
