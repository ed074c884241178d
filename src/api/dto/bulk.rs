//! Changing the rows that match a filter.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{optional, schema};
use crate::{
    api::cursor,
    config::LimitsConfig,
    engine::{Bulk, Changed},
    error::{Error, Result},
    service::Patch,
    types::{Filter, VectorId},
};

/// More rows than a request can change in its time.
const MAX_LIMIT: u64 = 1_000_000_000;

/// Which rows to delete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"filter": {"year": {"$lt": 2000}}})))]
pub(in crate::api) struct BulkDeleteRequest {
    /// Which rows. `{}` is all of them.
    #[schema(schema_with = schema::required_filter)]
    pub filter: Box<RawValue>,
    /// Rows at most; all if left out.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 1000000000)]
    pub limit: Option<u64>,
    /// `next_cursor` of the answer before, to go on after it.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9_-]*$")]
    pub cursor: Option<String>,
}

impl BulkDeleteRequest {
    /// Which rows, and how long it may take.
    pub fn into_bulk(self, limits: &LimitsConfig, time: Duration) -> Result<Bulk> {
        bulk(&self.filter, self.limit, self.cursor.as_deref(), limits, time)
    }
}

/// Which rows to change, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"filter": {"year": {"$lt": 2000}}, "update": {"old": true, "draft": null}})))]
pub(in crate::api) struct BulkUpdateRequest {
    /// Which rows. `{}` is all of them.
    #[schema(schema_with = schema::required_filter)]
    pub filter: Box<RawValue>,
    /// A merge patch of their metadata (RFC 7396): members replace those of the same name, objects are merged,
    /// and null removes.
    #[schema(value_type = Object)]
    pub update: Box<RawValue>,
    /// Rows at most; all if left out.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 1000000000)]
    pub limit: Option<u64>,
    /// `next_cursor` of the answer before, to go on after it.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9_-]*$")]
    pub cursor: Option<String>,
}

impl BulkUpdateRequest {
    /// Which rows, how long it may take, and what is done to their metadata.
    pub fn into_bulk(self, limits: &LimitsConfig, time: Duration) -> Result<(Bulk, Patch)> {
        let patch = Patch::parse(limits, "update", self.update.get())?;
        Ok((bulk(&self.filter, self.limit, self.cursor.as_deref(), limits, time)?, patch))
    }
}

fn bulk(
    filter: &RawValue,
    limit: Option<u64>,
    cursor: Option<&str>,
    limits: &LimitsConfig,
    time: Duration,
) -> Result<Bulk> {
    if limit.is_some_and(|limit| !(1..=MAX_LIMIT).contains(&limit)) {
        return Err(Error::invalid("limit", format!("must be from 1 to {MAX_LIMIT}")));
    }
    let filter = Arc::new(Filter::parse(filter.get(), "filter", &limits.filters())?);
    let after = cursor::decode(cursor)?.map(|id| VectorId::trusted(&id));
    Ok(Bulk { filter, after, limit, time })
}

/// How many rows were deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BulkDeleteResponse {
    /// Rows that matched and do not exist any more.
    pub deleted: u64,
    /// Always 0.
    pub failed: u64,
    /// Always empty.
    pub errors: Vec<BulkError>,
    /// Where to go on; null if no row that matched is left.
    pub next_cursor: Option<String>,
}

impl From<Changed> for BulkDeleteResponse {
    fn from(changed: Changed) -> Self {
        let next_cursor = next(&changed);
        Self { deleted: changed.changed, failed: 0, errors: Vec::new(), next_cursor }
    }
}

/// How many rows were changed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BulkUpdateResponse {
    /// Rows that matched.
    pub matched: u64,
    /// Of these, rows that were changed. The others had that metadata already, or failed.
    pub updated: u64,
    /// Rows that matched and were not changed: their metadata would cross a limit.
    pub failed: u64,
    /// Why, for the first hundred of them.
    pub errors: Vec<BulkError>,
    /// Where to go on; null if every row that matched was looked at.
    pub next_cursor: Option<String>,
}

impl From<Changed> for BulkUpdateResponse {
    fn from(changed: Changed) -> Self {
        let next_cursor = next(&changed);
        let error =
            |(id, error): (VectorId, Error)| BulkError { id: id.to_string(), error: error.to_string() };
        Self {
            matched: changed.matched,
            updated: changed.changed,
            failed: changed.refused,
            errors: changed.errors.into_iter().map(error).collect(),
            next_cursor,
        }
    }
}

fn next(changed: &Changed) -> Option<String> {
    changed.next.as_ref().map(|id| cursor::encode(id.as_str()))
}

/// A row that could not be changed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BulkError {
    /// Which.
    pub id: String,
    /// Why.
    pub error: String,
}
