//! Rows.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Consistency, Mode, StalenessConfig, namespaces::rfc3339, object::optional_object, optional, raw_json,
    schema, search, yes,
};
use crate::{
    clock::Timestamp,
    engine::{self, Deleted, Page, Projection, Upserted},
    types::{Row, VectorId},
};

// Only the schema of this type is used; the body is parsed straight into columns.
/// Rows to upsert.
#[derive(Debug, ToSchema)]
#[schema(examples(json!({"vectors": [
    {"id": "intro", "values": [0.12, -0.5, 0.33], "metadata": {"title": "Introduction", "year": 2026}},
    {"id": "session/42", "values": [1.0, 0.0, 0.5], "ttl_seconds": 3600},
    {"id": "note", "values": null, "metadata": {"text": "Found by words and filters only"}}
]}), json!({"vectors": [{"id": "intro", "values": [0.1, -0.5, 0.3], "metadata": {"version": 4}}],
    "if": {"version": {"$eq": 3}}})))]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct UpsertRequest {
    /// The rows. Of rows with the same id the last one wins.
    #[schema(max_items = 10000)]
    pub vectors: Vec<VectorInput>,
    /// What the request may do; `upsert` if left out.
    #[schema(required = false)]
    pub mode: Option<Mode>,
    #[schema(schema_with = schema::condition, required = false)]
    #[serde(rename = "if")]
    pub condition: Option<Box<RawValue>>,
}

/// A row to upsert.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"id": "intro", "values": [0.12, -0.5, 0.33], "metadata": {"title": "Introduction"}})))]
pub(in crate::api) struct VectorInput {
    /// The row's id.
    #[schema(schema_with = schema::id)]
    pub id: String,
    /// The vector. Also spelled `vector`. Null: the row has none; words and filters find it.
    #[schema(schema_with = schema::vector_or_null, required = true)]
    pub values: Option<Vec<f32>>,
    /// A JSON object of at most 64 KiB.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<String>,
    /// The row is invisible from this many seconds after its commit on.
    #[schema(minimum = 1, maximum = 3153600000_u64)]
    pub ttl_seconds: Option<u64>,
}

// Only the schema of this type is used; the body is parsed as `bodies::Columns`.
/// Rows to upsert, in columns.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "ids": ["a", "b"],
    "vectors": [[0.1, 0.2], [0.3, 0.4]],
    "attributes": {"title": ["First", "Second"], "year": [2025, null]},
    "ttl_seconds": 3600,
    "dimension": 2
})))]
pub(in crate::api) struct UpsertColumnsRequest {
    /// The ids.
    #[schema(schema_with = schema::ids)]
    pub ids: Vec<String>,
    /// One vector per id; null for a row that has none.
    #[schema(schema_with = schema::vectors_or_nulls)]
    pub vectors: Vec<Option<Vec<f32>>>,
    /// Metadata: one value per id and attribute. Null: the row lacks the attribute.
    #[schema(value_type = Option<BTreeMap<String, Vec<Value>>>)]
    pub attributes: Option<BTreeMap<String, Vec<String>>>,
    /// The time to live of every row.
    #[schema(minimum = 1, maximum = 3153600000_u64)]
    pub ttl_seconds: Option<u64>,
    /// What every vector's length has to be.
    #[schema(minimum = 1, maximum = 16384)]
    pub dimension: Option<usize>,
    /// What the request may do; `upsert` if left out.
    #[schema(required = false)]
    pub mode: Option<Mode>,
    #[schema(schema_with = schema::condition, required = false)]
    #[serde(rename = "if")]
    pub condition: Option<Box<RawValue>>,
}

/// What an upsert did.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct UpsertResponse {
    /// Distinct ids written.
    pub upserted_count: u64,
    /// Of these, ids that were not there before.
    pub inserted_count: u64,
    /// Ids that were not written, because `mode` or `if` does not allow it; left out if there is neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub skipped_count: Option<usize>,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub skipped_ids: Option<Vec<String>>,
}

impl UpsertResponse {
    /// The response for what was done.
    pub fn new(done: Upserted, conditional: bool) -> Self {
        let (skipped_count, skipped_ids) = skipped(&done.skipped, conditional);
        Self { upserted_count: done.upserted, inserted_count: done.inserted, skipped_count, skipped_ids }
    }
}

fn skipped(ids: &[VectorId], conditional: bool) -> (Option<usize>, Option<Vec<String>>) {
    if !conditional {
        return (None, None);
    }
    (Some(ids.len()), Some(ids.iter().map(ToString::to_string).collect()))
}

/// A row.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Vector {
    /// Its id.
    pub id: String,
    /// Its vector, if it was asked for; null if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<f32>>)]
    pub values: Option<Option<Vec<f32>>>,
    /// Its metadata; null if it has none or it was not asked for.
    #[serde(serialize_with = "raw_json")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Arc<str>>,
    /// Seconds until it becomes invisible, rounded up; null if it stays.
    #[schema(required = true)]
    pub ttl_seconds: Option<u64>,
    /// When it becomes invisible; null if it stays.
    #[schema(required = true, format = DateTime)]
    pub expires_at: Option<String>,
}

impl Vector {
    /// A row as it is at `now`, of which this was asked for.
    pub fn new(row: Row, asked: Projection, now: Timestamp) -> Self {
        let left = |at: Timestamp| at.0.saturating_sub(now.0).max(0).unsigned_abs().div_ceil(1000);
        Self {
            id: row.id.to_string(),
            values: asked.vectors.then_some(row.vector),
            metadata: row.metadata,
            ttl_seconds: row.expires_at.map(left),
            expires_at: row.expires_at.map(rfc3339),
        }
    }
}

/// Rows by id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"ids": ["intro", "session/42"], "include_values": true, "include_metadata": true})))]
pub(in crate::api) struct FetchRequest {
    /// Their ids.
    #[schema(schema_with = schema::ids)]
    pub ids: Vec<String>,
    /// Return vectors. Also spelled `include_vectors`.
    #[serde(default = "yes", alias = "include_vectors")]
    #[schema(default = true)]
    pub include_values: bool,
    /// Return metadata.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub include_metadata: bool,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default, deserialize_with = "optional_object")]
    pub staleness_config: Option<StalenessConfig>,
}

impl FetchRequest {
    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        search::consistency(self.consistency, self.staleness_config)
    }

    /// The columns that are asked for.
    pub fn projection(&self) -> Projection {
        Projection { vectors: self.include_values, metadata: self.include_metadata }
    }
}

/// The rows that exist, in the order of the ids.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct FetchResponse {
    /// The rows.
    pub vectors: Vec<Vector>,
}

/// Rows to delete: either by id or all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(
    json!({"ids": ["intro", "session/42"]}),
    json!({"delete_all": true}),
    json!({"ids": ["intro"], "if": {"version": {"$eq": 3}}})
))]
pub(in crate::api) struct DeleteRequest {
    /// Their ids. Ids that do not exist are not counted.
    #[serde(default)]
    #[schema(schema_with = schema::ids, required = false)]
    pub ids: Option<Vec<String>>,
    /// Delete every row of the namespace; without `ids`.
    #[serde(default)]
    #[schema(default = false)]
    pub delete_all: bool,
    #[serde(default, rename = "if")]
    #[schema(schema_with = schema::condition, required = false)]
    pub condition: Option<Box<RawValue>>,
}

/// Documents to delete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"ids": ["intro", "session/42"]})))]
pub(in crate::api) struct DocumentIds {
    /// Their ids. Ids that do not exist are not counted.
    #[schema(schema_with = schema::ids)]
    pub ids: Vec<String>,
}

/// How many rows were deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct DeleteResponse {
    /// Rows that existed and do not any more.
    pub deleted_count: u64,
    /// Rows that exist still, because `if` does not match them; left out if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub skipped_count: Option<usize>,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub skipped_ids: Option<Vec<String>>,
}

impl DeleteResponse {
    /// The response for so many rows, without a condition.
    pub fn of(deleted_count: u64) -> Self {
        Self { deleted_count, skipped_count: None, skipped_ids: None }
    }
}

impl From<Deleted> for DeleteResponse {
    fn from(done: Deleted) -> Self {
        let (skipped_count, skipped_ids) = skipped(&done.skipped, true);
        Self { deleted_count: done.deleted, skipped_count, skipped_ids }
    }
}

/// What to count.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"filter": {"year": {"$gte": 2000}}}), json!({"consistency": "eventual"})))]
pub(in crate::api) struct CountRequest {
    #[serde(default)]
    #[schema(schema_with = schema::filter, required = false)]
    pub filter: Option<Box<RawValue>>,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default, deserialize_with = "optional_object")]
    pub staleness_config: Option<StalenessConfig>,
}

impl CountRequest {
    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        search::consistency(self.consistency, self.staleness_config)
    }
}

/// How many rows there are.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct CountResponse {
    /// Rows, exactly.
    pub count: u64,
    /// The namespace.
    pub namespace: String,
}

/// Which page of rows to read.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct PageParams {
    /// `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]*$")]
    pub cursor: Option<String>,
    /// Rows at most; 1000 if left out.
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
    /// Return vectors; true if left out.
    pub include_vectors: Option<bool>,
    /// Return metadata; true if left out.
    pub include_metadata: Option<bool>,
}

/// Which page of rows to export.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"limit": 1000, "include_vectors": true, "filter": {"year": {"$gte": 2000}}})))]
pub(in crate::api) struct ExportRequest {
    /// `next_cursor` of the page before.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9_-]*$")]
    pub cursor: Option<String>,
    /// Rows at most; 1000 if left out. Also spelled `top_k`.
    #[serde(default, alias = "top_k", deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
    /// Return vectors; true if left out.
    #[serde(default)]
    pub include_vectors: Option<bool>,
    /// Return metadata; true if left out.
    #[serde(default)]
    pub include_metadata: Option<bool>,
    #[serde(default)]
    #[schema(schema_with = schema::filter, required = false)]
    pub filter: Option<Box<RawValue>>,
}

/// How many rows to draw, and of which.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"limit": 100, "include_vectors": false, "filter": {"year": {"$gte": 2000}}})))]
pub(in crate::api) struct SampleRequest {
    /// Rows at most; 1000 if left out.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
    /// Return vectors; true if left out.
    #[serde(default)]
    pub include_vectors: Option<bool>,
    /// Return metadata; true if left out.
    #[serde(default)]
    pub include_metadata: Option<bool>,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default)]
    pub staleness_config: Option<StalenessConfig>,
    #[serde(default)]
    #[schema(schema_with = schema::filter, required = false)]
    pub filter: Option<Box<RawValue>>,
}

impl SampleRequest {
    /// The columns that are asked for.
    pub fn projection(&self) -> Projection {
        Projection {
            vectors: self.include_vectors.unwrap_or(true),
            metadata: self.include_metadata.unwrap_or(true),
        }
    }

    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        search::consistency(self.consistency, self.staleness_config)
    }
}

impl From<ExportRequest> for PageParams {
    fn from(request: ExportRequest) -> Self {
        Self {
            cursor: request.cursor,
            limit: request.limit,
            include_vectors: request.include_vectors,
            include_metadata: request.include_metadata,
        }
    }
}

impl PageParams {
    /// The columns that are asked for.
    pub fn projection(&self) -> Projection {
        Projection {
            vectors: self.include_vectors.unwrap_or(true),
            metadata: self.include_metadata.unwrap_or(true),
        }
    }
}

/// Rows, in id order: a page of them, or a sample.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct RowList {
    /// The rows.
    pub vectors: Vec<Vector>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
    /// Rows in the namespace, or those of them that match.
    pub total_count: u64,
    /// Rows in this page.
    pub returned_count: usize,
}

impl RowList {
    /// A page as it is at `now`, of which this was asked for.
    pub fn new(page: Page, asked: Projection, now: Timestamp) -> Self {
        let next_cursor = page.next.map(|id| crate::api::cursor::encode(id.as_str()));
        let vectors: Vec<_> = page.rows.into_iter().map(|row| Vector::new(row, asked, now)).collect();
        Self { returned_count: vectors.len(), vectors, next_cursor, total_count: page.total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_rounded_up_and_never_negative() {
        let row = |expires_at| Row { id: VectorId::trusted("a"), vector: None, metadata: None, expires_at };
        let nothing = Projection { vectors: false, metadata: false };
        let left = |at, now| Vector::new(row(Some(Timestamp(at))), nothing, Timestamp(now)).ttl_seconds;
        assert_eq!(left(2001, 1000), Some(2));
        assert_eq!(left(2000, 1000), Some(1));
        assert_eq!(left(1000, 2000), Some(0));
        let json = serde_json::to_value(Vector::new(row(None), nothing, Timestamp(0))).unwrap();
        let expected =
            serde_json::json!({"id": "a", "metadata": null, "ttl_seconds": null, "expires_at": null});
        assert_eq!(json, expected);
        let asked = Projection { vectors: true, metadata: false };
        let json = serde_json::to_value(Vector::new(row(None), asked, Timestamp(0))).unwrap();
        assert_eq!(json.get("values"), Some(&serde_json::Value::Null), "it has none");
    }
}
