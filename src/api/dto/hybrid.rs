//! Searching by a vector and by words at once.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Consistency, GroupBy, StalenessConfig,
    cut::cut,
    default_top_k,
    filter::filter,
    fulltext::{HighlightStyle, Syntax, TextFound, checked_fields, highlight},
    object::optional_object,
    schema,
    search::{self, IndexChoice, Manner, Usage, millis},
    whole::{optional, whole},
    yes,
};
use crate::{
    api::floats::optional_vector,
    config::LimitsConfig,
    engine::{
        self, Cut, HybridHit, HybridResult, HybridSearch, Projection, Query, TextSearch, VectorSide,
        query::Fusion as How,
    },
    error::{Error, Result},
    service::{check_page, check_query, check_top_rows},
    telemetry,
    types::Distance,
};

/// Candidates of each search for one row of the answer, and at least.
const CANDIDATES: usize = 4;
const MIN_CANDIDATES: usize = 100;
/// At least, if rows of one group are left out.
const CANDIDATES_OF_GROUPS: usize = 1000;

fn default_weight() -> f32 {
    0.5
}

/// How two rankings become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Fusion {
    /// By scores, each brought into the range from 0 to 1 among the candidates.
    #[default]
    Weighted,
    /// By ranks: the weight divided by 60 and the rank (reciprocal rank fusion).
    Rrf,
}

/// A search by a vector and by words.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "text": "a small domestic cat",
    "vector": [0.12, -0.5, 0.33],
    "vector_weight": 0.5,
    "top_k": 3
})))]
pub(in crate::api) struct HybridRequest {
    /// The words. Any of them will do, unless `syntax` is `query`.
    #[schema(max_length = 65536)]
    pub text: String,
    /// The vector; if left out, the words alone count. Also taken as a string: base64 of little-endian 32-bit
    /// floats.
    #[serde(default, deserialize_with = "optional_vector")]
    #[schema(schema_with = schema::vector, required = false)]
    pub vector: Option<Vec<f32>>,
    /// How much the vector counts, from 0 (the words alone) to 1 (the vector alone).
    #[serde(default = "default_weight")]
    #[schema(minimum = 0.0, maximum = 1.0, default = 0.5)]
    pub vector_weight: f32,
    /// How the two rankings become one; `weighted` if left out.
    #[serde(default)]
    pub fusion: Option<Fusion>,
    /// Rows that each of the two searches contributes, at least `top_k` and `offset` together. Default: four times
    /// as many as these, at least 100 and at most `limits.top_k`. Scores of different numbers of candidates are not
    /// comparable, so name it to go through pages.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 10000)]
    pub candidates: Option<u32>,
    /// What characters mean in `text`; `plain` if left out.
    #[serde(default)]
    pub syntax: Option<Syntax>,
    /// Where words are looked for that name no field; in all fields of the index if left out.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 32)]
    pub fields: Option<Vec<String>>,
    /// Results at most.
    #[serde(default = "default_top_k", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10000, default = 10)]
    pub top_k: usize,
    /// So many of the first results are left out. Together with `top_k` at most `limits.top_k`.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 10000, default = 0)]
    pub offset: usize,
    /// Rows with a lower score are left out. Scores of `weighted` are from 0 to 1 among the candidates, those of
    /// `rrf` at most 1/61; where the vector or the words alone count, they are its similarities or BM25.
    #[serde(default)]
    pub score_threshold: Option<f32>,
    /// At most so many rows with the same value in a field of the metadata: those that come first. Where both words
    /// and vector count, groups are made of the candidates, so that there may be fewer results than `top_k`; there
    /// are at least 1,000 candidates then, if `candidates` is left out.
    #[serde(default, deserialize_with = "optional_object")]
    pub group_by: Option<GroupBy>,
    #[serde(default)]
    #[schema(schema_with = schema::order_by, required = false)]
    pub order_by: Option<Box<RawValue>>,
    #[serde(default)]
    #[schema(schema_with = schema::filter, required = false)]
    pub filter: Option<Box<RawValue>>,
    /// Return the metadata of results, and their texts as `content`.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub include_metadata: bool,
    /// Return the vectors of results. Also spelled `include_values`.
    #[serde(default, alias = "include_values")]
    #[schema(default = false)]
    pub include_vectors: bool,
    /// Return fragments of the texts in which the words that were found are marked.
    #[serde(default)]
    #[schema(default = false)]
    pub highlight: bool,
    /// How they are cut and marked.
    #[serde(default, deserialize_with = "optional_object")]
    pub highlight_style: Option<HighlightStyle>,
    /// Another metric than the namespace's.
    #[serde(default)]
    pub distance_metric: Option<Distance>,
    /// As in a query, for the candidates of the vector.
    #[serde(default)]
    #[schema(default = false)]
    pub exact: bool,
    /// As in a query, for the candidates of the vector.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub recall_target: Option<f32>,
    /// As in a query, for the candidates of the vector.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub effort: Option<f32>,
    /// As in a query, for the candidates of the vector.
    #[serde(default)]
    pub index: Option<IndexChoice>,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default, deserialize_with = "optional_object")]
    pub staleness_config: Option<StalenessConfig>,
}

impl HybridRequest {
    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        search::consistency(self.consistency, self.staleness_config)
    }

    /// The search, checked against limits.
    pub fn into_search(mut self, limits: &LimitsConfig) -> Result<HybridSearch> {
        check_page(limits, "", self.top_k, self.offset)?;
        let (group_by, order_by) = (self.group_by.as_ref(), self.order_by.as_deref());
        let cut = cut("", self.offset, self.score_threshold, group_by, order_by)?;
        let candidates = self.candidates(limits)?;
        if !(0.0..=1.0).contains(&self.vector_weight) {
            return Err(Error::invalid("vector_weight", "must be from 0 to 1"));
        }
        let vector = self.vector_side(limits)?;
        let text = TextSearch {
            query: self.syntax.unwrap_or(Syntax::Plain).read(&self.text, "text", limits)?,
            place: "text",
            fields: checked_fields(self.fields)?,
            limits: limits.texts(),
            top_k: self.top_k,
            cut,
            filter: match &vector {
                Some(vector) => vector.query.filter.clone(),
                None => filter(self.filter.as_deref(), "filter", limits)?,
            },
            projection: Projection { vectors: self.include_vectors, metadata: self.include_metadata },
            highlight: highlight(self.highlight, self.highlight_style)?,
        };
        let fusion = match self.fusion.unwrap_or_default() {
            Fusion::Weighted => How::Weighted,
            Fusion::Rrf => How::ReciprocalRank { k: 60.0 },
        };
        Ok(HybridSearch { text, vector, fusion, candidates })
    }

    fn candidates(&self, limits: &LimitsConfig) -> Result<usize> {
        let least = if self.group_by.is_some() { CANDIDATES_OF_GROUPS } else { MIN_CANDIDATES };
        let default = (self.top_k + self.offset).saturating_mul(CANDIDATES).max(least).min(limits.top_k);
        let candidates = self.candidates.map_or(default, |candidates| candidates as usize);
        check_top_rows(limits, "candidates", candidates)?;
        let wanted = self.top_k + self.offset;
        if candidates < wanted {
            let wrong = format!("must be at least `top_k` and `offset` together, which is {wanted}");
            return Err(Error::invalid("candidates", wrong));
        }
        Ok(candidates)
    }

    fn vector_side(&mut self, limits: &LimitsConfig) -> Result<Option<VectorSide>> {
        let manner = Manner { exact: self.exact, recall_target: self.recall_target, effort: self.effort };
        let (accuracy, index) = manner.resolve("", self.index)?;
        let Some(vector) = self.vector.take() else { return Ok(None) };
        let query = Query {
            vector,
            top_k: self.top_k,
            distance: self.distance_metric,
            accuracy,
            index,
            filter: filter(self.filter.as_deref(), "filter", limits)?,
            projection: Projection { vectors: false, metadata: false },
            cut: Cut::default(),
        };
        check_query(limits, "", &query)?;
        Ok(Some(VectorSide { query, weight: self.vector_weight }))
    }
}

/// A row that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct HybridFound {
    #[serde(flatten)]
    found: TextFound,
    /// What it scores for the vector, if that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    vector_score: Option<f32>,
    /// What it scores for the words, if these count and it matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text_score: Option<f32>,
}

impl From<HybridHit> for HybridFound {
    fn from(hit: HybridHit) -> Self {
        Self { found: hit.hit.into(), vector_score: hit.vector_score, text_score: hit.text_score }
    }
}

/// The answer to a search by a vector and by words.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct HybridResponse {
    /// Best first, equal scores in id order; or in the order of `order_by`.
    pub results: Vec<HybridFound>,
    /// Time spent searching.
    pub search_time_ms: f64,
    /// What the answer cost at the object store.
    pub usage: Usage,
}

impl HybridResponse {
    /// The response for an answer that cost this much.
    pub fn new(result: HybridResult, usage: telemetry::Usage) -> Self {
        Self {
            results: result.hits.into_iter().map(Into::into).collect(),
            search_time_ms: millis(result.elapsed),
            usage: usage.into(),
        }
    }
}
