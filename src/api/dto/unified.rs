//! Rankings of every kind.

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
    search::{self, IndexChoice, Manner, Usage, millis},
    whole::whole,
    yes,
};
use crate::{
    api::cursor,
    config::LimitsConfig,
    engine::{self, Listed, Listing, Projection, Query, Ranking},
    error::{Error, Result},
    service::{check_text, check_top_k},
    telemetry,
    types::{
        Distance, RankBy,
        rank_by::{self, Score},
    },
};

/// A ranking.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(
    json!({"rank_by": ["Sum", [["ANN", [0.12, -0.5, 0.33]], ["Product", 0.5, ["kNN", [0.2, -0.4, 0.3]]]]], "top_k": 3}),
    json!({"rank_by": [["year", "desc"], ["title", "asc"]], "filter": {"genre": "novel"}})
))]
pub(in crate::api) struct UnifiedQueryRequest {
    /// By what.
    #[schema(schema_with = schema::rank_by)]
    pub rank_by: Box<RawValue>,
    /// Results at most.
    #[serde(default = "default_top_k", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10000, default = 10)]
    pub top_k: usize,
    /// So many of the first results are left out. Together with `top_k` at most `limits.top_k`.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 10000, default = 0)]
    pub offset: usize,
    /// `next_cursor` of the answer before, of the same order of fields.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9_-]*$")]
    pub cursor: Option<String>,
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
    /// As in a query, for `ANN`.
    #[serde(default)]
    #[schema(default = false)]
    pub exact: bool,
    /// As in a query, for `ANN`.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub recall_target: Option<f32>,
    /// As in a query, for `ANN`.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub effort: Option<f32>,
    /// As in a query, for `ANN`.
    #[serde(default)]
    pub index: Option<IndexChoice>,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default, deserialize_with = "optional_object")]
    pub staleness_config: Option<StalenessConfig>,
}

impl UnifiedQueryRequest {
    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        search::consistency(self.consistency, self.staleness_config)
    }

    /// The ranking, checked against limits.
    pub fn into_ranking(self, limits: &LimitsConfig) -> Result<Ranking> {
        let parts = rank_by::Limits {
            dimension: limits.dimension,
            texts: limits.rank_by_texts,
            ..rank_by::Limits::default()
        };
        let by = RankBy::parse(self.rank_by.get(), "rank_by", &parts)?;
        if matches!(by, RankBy::Order(_)) {
            self.check_order()?;
        }
        let manner = Manner { exact: self.exact, recall_target: self.recall_target, effort: self.effort };
        let (accuracy, index) = manner.resolve("", self.index)?;
        // A part that is exact has no index, whatever the others have.
        let index = index.filter(|_| !matches!(&by, RankBy::Score(Score::Near(near)) if near.exact));
        let projection = Projection { vectors: self.include_vectors, metadata: self.include_metadata };
        let filter = filter(self.filter.as_deref(), "filter", limits)?;
        let (group_by, order_by) = (self.group_by.as_ref(), self.order_by.as_deref());
        let cut = cut("", self.offset, self.score_threshold, group_by, order_by)?;
        let (top_k, distance) = (self.top_k, self.distance_metric);
        let like = Query { vector: Vec::new(), top_k, distance, accuracy, index, projection, filter, cut };
        check_top_k(limits, "", &like)?;
        if let RankBy::Score(score) = &by {
            for words in score.words() {
                check_text(limits, &words.place, &words.text)?;
            }
        }
        let after = cursor::decode(self.cursor.as_deref())?;
        Ok(Ranking { by, like, after, texts: limits.texts() })
    }

    /// Refuses what says how scores are found: in an order of fields there are none.
    fn check_order(&self) -> Result<()> {
        let asked = [
            ("score_threshold", self.score_threshold.is_some()),
            ("order_by", self.order_by.is_some()),
            ("distance_metric", self.distance_metric.is_some()),
            ("exact", self.exact),
            ("recall_target", self.recall_target.is_some()),
            ("effort", self.effort.is_some()),
            ("index", self.index.is_some_and(|index| index != IndexChoice::Auto)),
        ];
        let Some((field, _)) = asked.iter().find(|(_, asked)| *asked) else { return Ok(()) };
        Err(Error::invalid(*field, "`rank_by` is an order of fields, which has no scores; leave it out"))
    }
}

/// A row of a ranking.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct UnifiedHit {
    /// Its id.
    pub id: String,
    /// Higher is better; left out where fields order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub score: Option<f32>,
    /// The score once more, under the name that Dakera's SDKs look for.
    #[serde(rename = "$dist", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub dist: Option<f32>,
    /// Its metadata, if it has any and it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw_json")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub metadata: Option<Arc<str>>,
    /// Its vector, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vector: Option<Vec<f32>>,
}

impl From<Listed> for UnifiedHit {
    fn from(Listed { score, row }: Listed) -> Self {
        let id = row.id.to_string();
        Self { id, score, dist: score, metadata: row.metadata, vector: row.vector }
    }
}

/// The answer to a ranking.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct UnifiedQueryResponse {
    /// The first one first: the highest scores, equal ones in id order; or in the order of fields, that of `rank_by`
    /// or of `order_by`.
    pub results: Vec<UnifiedHit>,
    /// Where to go on in an order of fields, if more follow; null otherwise.
    pub next_cursor: Option<String>,
    /// Time spent searching.
    pub search_time_ms: f64,
    /// What the answer cost at the object store.
    pub usage: Usage,
}

impl UnifiedQueryResponse {
    /// The response for an answer that cost this much.
    pub fn new(listing: Listing, usage: telemetry::Usage) -> Self {
        Self {
            results: listing.rows.into_iter().map(Into::into).collect(),
            next_cursor: listing.next.as_deref().map(cursor::encode),
            search_time_ms: millis(listing.elapsed),
            usage: usage.into(),
        }
    }
}
