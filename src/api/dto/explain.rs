//! How a query is answered, and how well.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    default_top_k,
    filter::filter,
    schema,
    search::{IndexChoice, Manner, Usage, millis},
    whole::whole,
};
use crate::{
    config::LimitsConfig,
    engine::{Cut, Explanation, Projection, Query, Recall, query},
    error::{Error, Result},
    service::check_query,
    telemetry,
    types::IndexType,
};

/// How a query was answered.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct ExplainResponse {
    /// What kind of query it was.
    #[schema(example = "vector")]
    pub query_type: &'static str,
    /// How each part of the namespace was searched.
    pub index_selection: Vec<PlanStep>,
    /// What took how long, in order.
    pub stages: Vec<Stage>,
    /// What was looked at.
    pub candidates: Candidates,
    /// Rows that were found.
    pub result_count: usize,
    /// What the answer cost at the object store.
    pub usage: Usage,
}

/// How a part of the namespace was searched.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct PlanStep {
    /// `segment` or `log`.
    pub part: &'static str,
    /// Live rows in it.
    pub rows: u64,
    /// Those that match the filter, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub matching_rows: Option<u64>,
    /// How that is known: by `attributes`, the index over the metadata, as far as it knows; or by reading the
    /// `metadata` of all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub filtered_by: Option<&'static str>,
    /// How many rows had their metadata read for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub metadata_read: Option<u64>,
    /// The index, if one was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub index: Option<IndexType>,
    /// How much of the index was looked at, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub effort: Option<f32>,
    /// Why it was searched like that.
    pub reason: &'static str,
}

/// A part of the work.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Stage {
    /// `refresh`: making sure that nothing newer is missed; `search`: finding rows; `fetch`: reading
    /// those that were found.
    pub name: &'static str,
    /// How long it took.
    pub time_ms: f64,
}

/// What was looked at; with `group_by` in all the searches that it took.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Candidates {
    /// Rows whose metadata was read to decide the filter.
    pub metadata_read: u64,
    /// Rows that were scored one after the other, without an index.
    pub scanned: u64,
    /// Lists of rows, or hops in a graph, that were visited in indexes.
    pub visited: u64,
    /// Rows whose score was estimated from their codes.
    pub estimated: u64,
    /// Rows of indexes that were scored exactly.
    pub scored: u64,
}

impl ExplainResponse {
    /// The response for an explanation that cost this much.
    pub fn new(explanation: Explanation, usage: telemetry::Usage) -> Self {
        let Explanation { steps, work, found, refresh, search, fetch } = explanation;
        let stage = |name, elapsed| Stage { name, time_ms: millis(elapsed) };
        Self {
            query_type: "vector",
            index_selection: steps.into_iter().map(Into::into).collect(),
            stages: vec![stage("refresh", refresh), stage("search", search), stage("fetch", fetch)],
            candidates: Candidates {
                metadata_read: work.read,
                scanned: work.scanned,
                visited: work.indexes.visited,
                estimated: work.indexes.estimated,
                scored: work.indexes.scored,
            },
            result_count: found,
            usage: usage.into(),
        }
    }
}

impl From<query::Step> for PlanStep {
    fn from(step: query::Step) -> Self {
        let part = if step.segment.is_some() { "segment" } else { "log" };
        let (index, effort, reason) = match step.method {
            query::Method::Index(index, effort) => {
                (Some(index), Some(effort.value()), "an index finds enough of the best rows")
            }
            query::Method::Scan(reason) => (None, None, why(reason)),
        };
        let by = |filtered: query::Filtered| if filtered.by_index { "attributes" } else { "metadata" };
        Self {
            part,
            rows: step.rows,
            matching_rows: step.filter.map(|filtered| filtered.matching),
            filtered_by: step.filter.map(by),
            metadata_read: step.filter.map(|filtered| filtered.read),
            index,
            effort,
            reason,
        }
    }
}

fn why(reason: query::Reason) -> &'static str {
    match reason {
        query::Reason::Exact => "the answer is to be exact",
        query::Reason::NoIndex => "it is small, or its index is not built yet",
        query::Reason::OtherMetric => "there is no index for this metric",
        query::Reason::Log => "rows in the log have no index",
    }
}

fn default_samples() -> usize {
    50
}

/// What to measure.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"queries": 50, "top_k": 10, "recall_target": 0.95})))]
pub(in crate::api) struct RecallRequest {
    /// Rows of the namespace that stand in for queries, taken by chance. Queries of users tend to find
    /// a little less than rows do: send some as `vectors` to know.
    #[serde(default = "default_samples", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1000, default = 50)]
    pub queries: usize,
    /// Vectors to search near, instead of rows.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub vectors: Option<Vec<Vec<f32>>>,
    /// Results per query.
    #[serde(default = "default_top_k", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10000, default = 10)]
    pub top_k: usize,
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
    #[serde(default)]
    #[schema(schema_with = schema::filter, required = false)]
    pub filter: Option<Box<RawValue>>,
}

impl Default for RecallRequest {
    fn default() -> Self {
        Self {
            queries: default_samples(),
            vectors: None,
            top_k: default_top_k(),
            recall_target: None,
            effort: None,
            index: None,
            filter: None,
        }
    }
}

/// What to measure, checked.
#[derive(Debug)]
pub(in crate::api) struct RecallPlan {
    pub vectors: Option<Vec<Vec<f32>>>,
    pub samples: usize,
    /// What the queries are like, but for their vectors.
    pub like: Query,
}

/// Most queries of one measurement: each has an exact answer, too.
const MAX_QUERIES: usize = 1000;

impl RecallRequest {
    /// Checks it against limits.
    pub fn checked(self, limits: &LimitsConfig) -> Result<RecallPlan> {
        let manner = Manner { exact: false, recall_target: self.recall_target, effort: self.effort };
        let (accuracy, index) = manner.resolve("", self.index)?;
        let bad = |field: &str| Err(Error::invalid(field, format!("must be from 1 to {MAX_QUERIES}")));
        if !(1..=MAX_QUERIES).contains(&self.queries) {
            return bad("queries");
        }
        if self.vectors.as_ref().is_some_and(|vectors| !(1..=MAX_QUERIES).contains(&vectors.len())) {
            return bad("vectors");
        }
        let projection = Projection { vectors: false, metadata: false };
        let top_k = self.top_k;
        let filter = filter(self.filter.as_deref(), "filter", limits)?;
        let query = |vector| Query {
            vector,
            top_k,
            distance: None,
            accuracy,
            index,
            projection,
            filter: filter.clone(),
            cut: Cut::default(),
        };
        for (row, vector) in self.vectors.iter().flatten().enumerate() {
            check_query(limits, &format!("vectors[{row}]."), &query(vector.clone()))?;
        }
        let like = query(vec![0.0]);
        check_query(limits, "", &like)?;
        Ok(RecallPlan { vectors: self.vectors, samples: self.queries, like })
    }
}

/// How well queries are answered.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct RecallResponse {
    /// Of the rows of exact answers, the share that the answers have, from 0 to 1.
    pub recall: f64,
    /// The same of the worst query.
    pub worst_recall: f64,
    /// Queries that were compared.
    pub query_count: usize,
    /// Results per query.
    pub top_k: usize,
    /// Mean time of an exact answer.
    pub exact_time_ms: f64,
    /// Mean time of an answer as it is given.
    pub search_time_ms: f64,
}

impl RecallResponse {
    /// The response for a measurement.
    pub fn new(recall: Recall, top_k: usize) -> Self {
        Self {
            recall: recall.mean,
            worst_recall: recall.worst,
            query_count: recall.queries,
            top_k,
            exact_time_ms: millis(recall.exact),
            search_time_ms: millis(recall.approximate),
        }
    }
}
