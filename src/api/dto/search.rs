//! Queries.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    GroupBy,
    cut::cut,
    default_top_k,
    filter::{Filters, filter},
    object::{objects, optional_object},
    raw_json, schema,
    whole::whole,
    yes,
};
use crate::{
    api::floats::vector,
    config::LimitsConfig,
    engine::{self, Accuracy, Hit, Projection, Query, QueryResult},
    error::{Error, Result},
    telemetry,
    types::{Distance, Filter, IndexType},
};

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum Consistency {
    /// Every write that was acknowledged anywhere before the read is seen.
    #[default]
    Strong,
    /// What this node knows.
    Eventual,
    /// What this node knows, if it was the newest at most `staleness_config.max_staleness_ms` ago.
    BoundedStaleness,
}

/// The bound of `bounded_staleness`.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct StalenessConfig {
    /// Milliseconds.
    #[serde(default = "default_staleness", deserialize_with = "whole")]
    #[schema(maximum = 4294967295_u32, default = 5000)]
    pub max_staleness_ms: u32,
}

fn default_staleness() -> u32 {
    5000
}

/// The consistency that a request asks for. The bound is only looked at where it applies.
pub(in crate::api) fn consistency(
    level: Option<Consistency>,
    staleness: Option<StalenessConfig>,
) -> engine::Consistency {
    match level.unwrap_or_default() {
        Consistency::Strong => engine::Consistency::Strong,
        Consistency::Eventual => engine::Consistency::Eventual,
        Consistency::BoundedStaleness => {
            let millis = staleness.map_or_else(default_staleness, |staleness| staleness.max_staleness_ms);
            engine::Consistency::BoundedStaleness(Duration::from_millis(millis.into()))
        }
    }
}

/// A nearest-neighbour query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(
    json!({"vector": [0.12, -0.5, 0.33], "top_k": 3, "filter": {"year": {"$gte": 2000}}}),
    json!({"vector": [0.12, -0.5, 0.33], "top_k": 3, "order_by": [["year", "desc"], ["title", "asc"]]})
))]
pub(in crate::api) struct QueryRequest {
    /// The vector to search near. Also taken as a string: base64 of little-endian 32-bit floats.
    #[serde(deserialize_with = "vector")]
    #[schema(schema_with = schema::vector)]
    pub vector: Vec<f32>,
    /// Results at most.
    #[serde(default = "default_top_k", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10000, default = 10)]
    pub top_k: usize,
    /// So many of the first results are left out. Together with `top_k` at most `limits.top_k`.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 10000, default = 0)]
    pub offset: usize,
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
    /// Find exactly the best rows: every row is looked at.
    #[serde(default)]
    #[schema(default = false)]
    pub exact: bool,
    /// The share of the best rows that is to be found, on average; 1 is `exact`. If left out,
    /// `search.recall_target` of the configuration.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub recall_target: Option<f32>,
    /// How much of an index to look at, from 0 to 1 (everything), instead of a `recall_target`.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub effort: Option<f32>,
    /// Which of the namespace's indexes answers; `auto` if left out.
    #[serde(default)]
    pub index: Option<IndexChoice>,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default, deserialize_with = "optional_object")]
    pub staleness_config: Option<StalenessConfig>,
}

impl QueryRequest {
    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        consistency(self.consistency, self.staleness_config)
    }

    /// The query; nothing but its filter is checked against limits yet.
    pub fn into_query(self, limits: &LimitsConfig) -> Result<Query> {
        let filter = filter(self.filter.as_deref(), "filter", limits)?;
        self.with_filter("", filter)
    }

    /// The query with its filter. `prefix` is where it stands in the request.
    fn with_filter(&self, prefix: &str, filter: Option<Arc<Filter>>) -> Result<Query> {
        let manner = Manner { exact: self.exact, recall_target: self.recall_target, effort: self.effort };
        let (accuracy, index) = manner.resolve(prefix, self.index)?;
        let projection = Projection { vectors: self.include_vectors, metadata: self.include_metadata };
        let distance = self.distance_metric;
        let (vector, top_k) = (self.vector.clone(), self.top_k);
        let (group_by, order_by) = (self.group_by.as_ref(), self.order_by.as_deref());
        let cut = cut(prefix, self.offset, self.score_threshold, group_by, order_by)?;
        Ok(Query { vector, top_k, distance, accuracy, index, projection, filter, cut })
    }
}

/// Which index is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum IndexChoice {
    /// The fastest of the indexes that a segment has.
    Auto,
    /// None: like `exact`.
    Flat,
    /// Lists of rows in full.
    Ivf,
    /// Lists of rows by product quantisation.
    Pq,
    /// A graph of neighbours.
    Hnsw,
    /// Balanced lists of quantised rows.
    Spfresh,
}

impl IndexChoice {
    fn index_type(self) -> Option<IndexType> {
        match self {
            Self::Auto | Self::Flat => None,
            Self::Ivf => Some(IndexType::Ivf),
            Self::Pq => Some(IndexType::Pq),
            Self::Hnsw => Some(IndexType::Hnsw),
            Self::Spfresh => Some(IndexType::Spfresh),
        }
    }
}

/// The fields that say how exact an answer is to be: one of them at most.
pub(super) struct Manner {
    pub exact: bool,
    pub recall_target: Option<f32>,
    pub effort: Option<f32>,
}

impl Manner {
    /// What they ask for, together with the choice of an index; not yet checked against bounds.
    /// `prefix` is where they stand in the request.
    pub fn resolve(
        &self,
        prefix: &str,
        index: Option<IndexChoice>,
    ) -> Result<(Option<Accuracy>, Option<IndexType>)> {
        let accuracy = self.accuracy(prefix)?;
        let index = index.unwrap_or(IndexChoice::Auto);
        if accuracy == Some(Accuracy::Exact) && index.index_type().is_some() {
            return Err(Error::invalid(format!("{prefix}index"), "no index is exact; leave out `exact`"));
        }
        let accuracy = if index == IndexChoice::Flat { Some(Accuracy::Exact) } else { accuracy };
        Ok((accuracy, index.index_type()))
    }

    fn accuracy(&self, prefix: &str) -> Result<Option<Accuracy>> {
        match (self.exact, self.recall_target, self.effort) {
            (false, None, None) => Ok(None),
            (true, None, None) => Ok(Some(Accuracy::Exact)),
            (false, Some(recall), None) => Ok(Some(Accuracy::Recall(recall))),
            (false, None, Some(effort)) => Ok(Some(Accuracy::Effort(effort))),
            (true, ..) => {
                let field = format!("{prefix}exact");
                Err(Error::invalid(field, "excludes recall_target and effort; give one of the three"))
            }
            (false, Some(_), Some(_)) => {
                Err(Error::invalid(format!("{prefix}effort"), "give effort or recall_target, not both"))
            }
        }
    }
}

/// Several queries, answered on the same state of the namespace.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"queries": [{"vector": [0.12, -0.5, 0.33], "top_k": 3}, {"vector": [1.0, 0.0, 0.5]}]})))]
pub(in crate::api) struct BatchQueryRequest {
    /// The queries. The strictest `consistency` among them holds for all.
    #[serde(deserialize_with = "objects")]
    #[schema(max_items = 10000)]
    pub queries: Vec<QueryRequest>,
}

impl BatchQueryRequest {
    /// The strictest consistency that any of the queries asks for.
    pub fn consistency(&self) -> engine::Consistency {
        use engine::Consistency::{BoundedStaleness, Eventual, Strong};
        let stricter = |one, other| match (one, other) {
            (Strong, _) | (_, Strong) => Strong,
            (BoundedStaleness(one), BoundedStaleness(other)) => BoundedStaleness(one.min(other)),
            (BoundedStaleness(bound), Eventual) | (Eventual, BoundedStaleness(bound)) => {
                BoundedStaleness(bound)
            }
            (Eventual, Eventual) => Eventual,
        };
        self.queries.iter().map(QueryRequest::consistency).reduce(stricter).unwrap_or_default()
    }

    /// The queries; nothing but their filters is checked against limits yet.
    pub fn into_queries(self, limits: &LimitsConfig) -> Result<Vec<Query>> {
        let mut filters = Filters::new(limits);
        let queries = self.queries.iter().enumerate().map(|(row, query)| {
            let filter = filters.read(query.filter.as_deref(), &format!("queries[{row}].filter"))?;
            query.with_filter(&format!("queries[{row}]."), filter)
        });
        queries.collect()
    }
}

/// A row that was found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryHit)]
pub(in crate::api) struct Found {
    /// Its id.
    pub id: String,
    /// Higher is better: the cosine similarity, the dot product, or the negated distance.
    pub score: f32,
    /// Its metadata, if it has any and it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw_json")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub metadata: Option<Arc<str>>,
    /// Its vector, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vector: Option<Vec<f32>>,
}

impl From<Hit> for Found {
    fn from(hit: Hit) -> Self {
        let row = hit.row;
        Self { id: row.id.to_string(), score: hit.score, metadata: row.metadata, vector: row.vector }
    }
}

/// The answer to a query.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct QueryResponse {
    /// Best first, equal scores in id order; or in the order of `order_by`.
    pub results: Vec<Found>,
    /// Time spent searching.
    pub search_time_ms: f64,
    /// What the answer cost at the object store.
    pub usage: Usage,
}

impl QueryResponse {
    /// The response for an answer that cost this much.
    pub fn new(result: QueryResult, usage: telemetry::Usage) -> Self {
        Self { results: found(result.hits), search_time_ms: millis(result.elapsed), usage: usage.into() }
    }
}

/// What an answer cost at the object store. What several requests share counts for the first of them.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Usage {
    /// Requests that were sent to the store, retries included.
    pub store_requests: u64,
    /// Bytes that were read from it.
    pub store_read_bytes: u64,
}

impl From<telemetry::Usage> for Usage {
    fn from(usage: telemetry::Usage) -> Self {
        Self { store_requests: usage.requests, store_read_bytes: usage.bytes_read }
    }
}

/// The answer to one query of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BatchQueryResult {
    /// Best first, equal scores in id order; or in the order of `order_by`.
    pub results: Vec<Found>,
    /// Time spent searching for this one.
    pub latency_ms: f64,
}

/// The answers to a batch of queries, in its order.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BatchQueryResponse {
    /// One answer per query.
    pub results: Vec<BatchQueryResult>,
    /// Time for all of them.
    pub total_latency_ms: f64,
    /// Number of queries.
    pub query_count: usize,
    /// What the answers cost at the object store together.
    pub usage: Usage,
}

impl BatchQueryResponse {
    /// The response for answers that took `elapsed` together.
    pub fn new(results: Vec<QueryResult>, elapsed: Duration, usage: telemetry::Usage) -> Self {
        let result = |result: QueryResult| BatchQueryResult {
            results: found(result.hits),
            latency_ms: millis(result.elapsed),
        };
        let query_count = results.len();
        let results = results.into_iter().map(result).collect();
        Self { results, total_latency_ms: millis(elapsed), query_count, usage: usage.into() }
    }
}

fn found(hits: Vec<Hit>) -> Vec<Found> {
    hits.into_iter().map(Into::into).collect()
}

pub(super) fn millis(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::VectorId;

    fn request(text: &str) -> serde_json::Result<QueryRequest> {
        serde_json::from_str(text)
    }

    #[test]
    fn defaults_and_aliases_are_dakeras() {
        let query = request(r#"{"vector":[1]}"#).unwrap();
        assert_eq!(query.consistency(), engine::Consistency::Strong);
        let query = query.into_query(&LimitsConfig::default()).unwrap();
        assert_eq!((query.top_k, query.distance), (10, None));
        assert_eq!(query.projection, Projection { vectors: false, metadata: true });

        let query = request(
            r#"{"vector":[1],"top_k":2,"include_values":true,"include_metadata":false,"filter":null,
                "distance_metric":"dot_product","consistency":"bounded_staleness"}"#,
        )
        .unwrap();
        let five_seconds = engine::Consistency::BoundedStaleness(Duration::from_secs(5));
        assert_eq!(query.consistency(), five_seconds);
        let query = query.into_query(&LimitsConfig::default()).unwrap();
        assert_eq!(query.projection, Projection { vectors: true, metadata: false });
        assert_eq!(query.distance, Some(Distance::DotProduct));
    }

    #[test]
    fn a_filter_is_read_or_refused_with_its_place() {
        let limits = LimitsConfig::default();
        let filter = |text: &str| {
            let batch = format!(r#"{{"queries":[{{"vector":[1]}},{{"vector":[1],"filter":{text}}}]}}"#);
            let batch: BatchQueryRequest = serde_json::from_str(&batch).unwrap();
            Ok(batch.into_queries(&limits)?.pop().unwrap().filter)
        };
        assert_eq!(filter("null").unwrap(), None);
        assert!(filter("{}").unwrap().unwrap().is_everything());
        assert_eq!(filter(r#"{"a":1}"#).unwrap().unwrap().to_string(), r#"{"a":{"$eq":1}}"#);
        for (text, place) in [
            ("[]", "queries[1].filter"),
            ("false", "queries[1].filter"),
            (r#"{"a":{"$gt":null}}"#, "queries[1].filter.a.$gt"),
        ] {
            let error: Error = filter(text).unwrap_err();
            assert!(matches!(&error, Error::Invalid { field, .. } if field == place), "{text}: {error}");
        }
    }

    #[test]
    fn filters_of_a_batch_share_patterns_and_what_is_the_same() {
        let limits = LimitsConfig { filter_patterns: 2, ..LimitsConfig::default() };
        let batch = |patterns: &[&str]| {
            let query =
                |pattern: &&str| format!(r#"{{"vector":[1],"filter":{{"a":{{"$regex":"{pattern}"}}}}}}"#);
            let queries: Vec<_> = patterns.iter().map(query).collect();
            let text = format!(r#"{{"queries":[{}]}}"#, queries.join(","));
            serde_json::from_str::<BatchQueryRequest>(&text).unwrap().into_queries(&limits)
        };
        let same = batch(&["x", "y", "x", "x"]).unwrap();
        let filters: Vec<_> = same.iter().map(|query| query.filter.as_ref().unwrap()).collect();
        assert!(Arc::ptr_eq(filters[0], filters[2]) && !Arc::ptr_eq(filters[0], filters[1]));
        let error = batch(&["x", "y", "z"]).unwrap_err();
        let expected = "queries[2].filter: 3 is over the limit limits.filter_patterns = 2";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_array_is_no_object() {
        for bad in [r#"{"queries":[[[1.0]]]}"#, r#"{"queries":[{"vector":[1],"staleness_config":[5]}]}"#] {
            assert!(serde_json::from_str::<BatchQueryRequest>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_strictest_consistency_of_a_batch_holds_for_all() {
        let batch = |levels: &[&str]| {
            let query = |level: &&str| format!(r#"{{"vector":[1],"consistency":{level}}}"#);
            let queries: Vec<_> = levels.iter().map(query).collect();
            let text = format!(r#"{{"queries":[{}]}}"#, queries.join(","));
            serde_json::from_str::<BatchQueryRequest>(&text).unwrap().consistency()
        };
        let bounded = r#""bounded_staleness","staleness_config":{"max_staleness_ms":7}"#;
        let seven = engine::Consistency::BoundedStaleness(Duration::from_millis(7));
        assert_eq!(batch(&["\"eventual\"", "\"eventual\""]), engine::Consistency::Eventual);
        assert_eq!(batch(&["\"eventual\"", bounded, "\"bounded_staleness\""]), seven);
        assert_eq!(batch(&["\"eventual\"", "null", bounded]), engine::Consistency::Strong);
        assert_eq!(batch(&[]), engine::Consistency::Strong);
    }

    #[test]
    fn metadata_is_written_as_the_object_that_it_is() {
        let row = crate::types::Row {
            id: VectorId::trusted("a"),
            vector: None,
            metadata: Some(r#"{"k":[1,{"x":null}]}"#.into()),
            expires_at: None,
        };
        let found = Found::from(Hit { score: 0.5, row });
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(json, r#"{"id":"a","score":0.5,"metadata":{"k":[1,{"x":null}]}}"#);
    }
}
