//! Searching by several vectors.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Consistency, GroupBy, StalenessConfig,
    cut::cut,
    default_top_k,
    filter::filter,
    object::optional_object,
    raw_json, schema,
    search::{self, IndexChoice, Manner},
    whole::whole,
    yes,
};
use crate::{
    api::floats::vectors,
    config::LimitsConfig,
    engine::{self, ByExamples, Diversity, Example, Projection, Query, Ranked},
    error::{Error, Result},
    service::{check_top_k, check_vector},
    types::Distance,
};

/// Vectors on one side.
const MAX_VECTORS: usize = 1000;
/// Rows of an answer whose rows are to differ: each is compared with every candidate.
const MAX_DIVERSE: usize = 1000;
/// Candidates for each of them, and at least.
const CANDIDATES: usize = 4;
const MIN_CANDIDATES: usize = 100;

fn half() -> f32 {
    0.5
}

/// A search near some vectors and away from others.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "positive_vectors": [[0.12, -0.5, 0.33], [0.2, -0.4, 0.3]],
    "negative_vectors": [[1.0, 0.0, 0.5]],
    "top_k": 5,
    "enable_mmr": true
})))]
pub(in crate::api) struct MultiVectorRequest {
    /// To be near. Each may also be base64 of little-endian 32-bit floats.
    #[serde(deserialize_with = "vectors")]
    #[schema(schema_with = schema::vectors)]
    pub positive_vectors: Vec<Vec<f32>>,
    /// How much each counts, 0 or more; 1 if left out.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub positive_weights: Option<Vec<f32>>,
    /// To be away from.
    #[serde(default, deserialize_with = "vectors")]
    #[schema(schema_with = schema::vectors, required = false)]
    pub negative_vectors: Vec<Vec<f32>>,
    /// How much each counts, 0 or more; 1 if left out.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub negative_weights: Option<Vec<f32>>,
    /// Results at most; with `enable_mmr` at most 1,000, `offset` included.
    #[serde(default = "default_top_k", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10000, default = 10)]
    pub top_k: usize,
    /// So many of the first results are left out. Together with `top_k` at most `limits.top_k`.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 10000, default = 0)]
    pub offset: usize,
    /// Choose rows that differ from each other (maximal marginal relevance), among four times as many.
    #[serde(default)]
    #[schema(default = false)]
    pub enable_mmr: bool,
    /// From 1 (only the score counts) to 0 (only the difference to rows before it does).
    #[serde(default = "half")]
    #[schema(minimum = 0.0, maximum = 1.0, default = 0.5)]
    pub mmr_lambda: f32,
    /// Rows with a lower score are left out.
    #[serde(default)]
    pub score_threshold: Option<f32>,
    /// At most so many rows with the same value in a field of the metadata: those that come first.
    #[serde(default, deserialize_with = "optional_object")]
    pub group_by: Option<GroupBy>,
    #[serde(default)]
    #[schema(schema_with = schema::order_by, required = false)]
    pub order_by: Option<Box<RawValue>>,
    /// Return the metadata of results.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub include_metadata: bool,
    /// Return the vectors of results. Also spelled `include_values`.
    #[serde(default, alias = "include_values")]
    #[schema(default = false)]
    pub include_vectors: bool,
    #[serde(default)]
    #[schema(schema_with = schema::filter, required = false)]
    pub filter: Option<Box<RawValue>>,
    /// Another metric than the namespace's.
    #[serde(default)]
    pub distance_metric: Option<Distance>,
    /// As in a query.
    #[serde(default)]
    #[schema(default = false)]
    pub exact: bool,
    /// As in a query.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub recall_target: Option<f32>,
    /// As in a query.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub effort: Option<f32>,
    /// As in a query.
    #[serde(default)]
    pub index: Option<IndexChoice>,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default, deserialize_with = "optional_object")]
    pub staleness_config: Option<StalenessConfig>,
}

impl MultiVectorRequest {
    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        search::consistency(self.consistency, self.staleness_config)
    }

    /// The search, checked against limits.
    pub fn into_search(self, limits: &LimitsConfig) -> Result<ByExamples> {
        let manner = Manner { exact: self.exact, recall_target: self.recall_target, effort: self.effort };
        let (accuracy, index) = manner.resolve("", self.index)?;
        let projection = Projection { vectors: self.include_vectors, metadata: self.include_metadata };
        let filter = filter(self.filter.as_deref(), "filter", limits)?;
        let (top_k, distance) = (self.top_k, self.distance_metric);
        let (group_by, order_by) = (self.group_by.as_ref(), self.order_by.as_deref());
        let cut = cut("", self.offset, self.score_threshold, group_by, order_by)?;
        let like = Query { vector: Vec::new(), top_k, distance, accuracy, index, projection, filter, cut };
        check_top_k(limits, "", &like)?;
        let positive = examples(limits, "positive", self.positive_vectors, self.positive_weights)?;
        let negative = examples(limits, "negative", self.negative_vectors, self.negative_weights)?;
        if positive.iter().all(|example| example.weight == 0.0) {
            return Err(Error::invalid("positive_vectors", "at least one with a weight above 0 is needed"));
        }
        if !(0.0..=1.0).contains(&self.mmr_lambda) {
            return Err(Error::invalid("mmr_lambda", "must be from 0 to 1"));
        }
        let wanted = top_k + self.offset;
        if self.enable_mmr && wanted > MAX_DIVERSE {
            return Err(Error::invalid(
                "top_k",
                format!("must be at most {MAX_DIVERSE} with enable_mmr, offset included"),
            ));
        }
        let candidates = (wanted * CANDIDATES).max(MIN_CANDIDATES).min(limits.top_k);
        let diversity = self.enable_mmr.then_some(Diversity { lambda: self.mmr_lambda, candidates });
        Ok(ByExamples { positive, negative, like, score_threshold: self.score_threshold, diversity })
    }
}

/// The vectors of one side with their weights, checked.
fn examples(
    limits: &LimitsConfig,
    side: &str,
    vectors: Vec<Vec<f32>>,
    weights: Option<Vec<f32>>,
) -> Result<Vec<Example>> {
    if vectors.len() > MAX_VECTORS {
        let wrong = format!("{} vectors, at most {MAX_VECTORS} are accepted", vectors.len());
        return Err(Error::invalid(format!("{side}_vectors"), wrong));
    }
    let weights = weights.unwrap_or_else(|| vec![1.0; vectors.len()]);
    if weights.len() != vectors.len() {
        let wrong = format!("{} weights for {} vectors", weights.len(), vectors.len());
        return Err(Error::invalid(format!("{side}_weights"), wrong));
    }
    if let Some(place) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return Err(Error::invalid(format!("{side}_weights[{place}]"), "must be a number of 0 or more"));
    }
    for (place, vector) in vectors.iter().enumerate() {
        check_vector(limits, || format!("{side}_vectors[{place}]"), vector)?;
    }
    let example = |(vector, weight)| Example { vector, weight };
    Ok(vectors.into_iter().zip(weights).map(example).collect())
}

/// A row that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct MultiVectorHit {
    /// Its id.
    pub id: String,
    /// Higher is better: the weighted mean of the scores to the positive vectors and, with the opposite
    /// sign, to the negative ones; for distances, the score to the vector that stands for them.
    pub score: f32,
    /// `mmr_lambda` times its score, less the rest times its score to the nearest row before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mmr_score: Option<f32>,
    /// Its metadata, if it has any and it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw_json")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub metadata: Option<Arc<str>>,
    /// Its vector, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vector: Option<Vec<f32>>,
}

/// The answer to a search by several vectors.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct MultiVectorResponse {
    /// Best first; with `enable_mmr` in the order in which they were chosen; or in the order of `order_by`.
    pub results: Vec<MultiVectorHit>,
}

impl From<Vec<Ranked>> for MultiVectorResponse {
    fn from(found: Vec<Ranked>) -> Self {
        let hit = |Ranked { hit, mmr_score }| {
            let engine::Hit { score, row } = hit;
            let id = row.id.to_string();
            MultiVectorHit { id, score, mmr_score, metadata: row.metadata, vector: row.vector }
        };
        Self { results: found.into_iter().map(hit).collect() }
    }
}
