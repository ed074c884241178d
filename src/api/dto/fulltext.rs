//! Searching by words.

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
    search::{self, Usage, millis},
    whole::{optional, whole},
    yes,
};
use crate::{
    config::LimitsConfig,
    engine::{self, Highlight, Projection, TextHit, TextResult, TextSearch, query::TextStatistics},
    error::{Error, Result},
    service::{check_page, check_text},
    telemetry,
    types::text::{FulltextParams, TextQuery},
};

/// Fragments of a field and bytes of one, at most.
const MAX_FRAGMENTS: usize = 100;
const MAX_FRAGMENT_BYTES: usize = 10_000;
/// Bytes of what stands before and after a word.
const MAX_TAG_BYTES: usize = 256;

/// What characters mean in a query over texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Syntax {
    /// `"a phrase"`, `prefix*`, `fuzzy~`, `+must`, `-not`, `AND`, `OR`, `NOT`, `field:word`, parentheses.
    Query,
    /// Nothing: any of the words will do.
    Plain,
}

impl Syntax {
    /// The query that a text is.
    pub fn read(self, text: &str, place: &'static str, limits: &LimitsConfig) -> Result<TextQuery> {
        check_text(limits, place, text)?;
        match self {
            Self::Query => TextQuery::parse(text, place, &limits.texts()),
            Self::Plain => Ok(TextQuery::plain(text)),
        }
    }
}

/// How fragments are cut and marked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct HighlightStyle {
    /// Fragments of a field at most. Default: 3.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 100)]
    pub fragments: Option<u32>,
    /// Bytes of a fragment's text, roughly. Default: 160.
    #[serde(default, deserialize_with = "optional")]
    #[schema(minimum = 1, maximum = 10000)]
    pub fragment_bytes: Option<u32>,
    /// What stands before a word that was found. Default: `<em>`.
    #[serde(default)]
    pub pre_tag: Option<String>,
    /// What stands after it. Default: `</em>`.
    #[serde(default)]
    pub post_tag: Option<String>,
}

impl HighlightStyle {
    /// The style, if it is within bounds.
    pub fn read(self) -> Result<Highlight> {
        let default = Highlight::default();
        let number = |field: &str, number: Option<u32>, default: usize, most: usize| {
            let number = number.map_or(default, |number| number as usize);
            let wrong = || Error::invalid(field, format!("must be from 1 to {most}"));
            (1..=most).contains(&number).then_some(number).ok_or_else(wrong)
        };
        let tag = |field: &str, tag: Option<String>, default: String| {
            let tag = tag.unwrap_or(default);
            let wrong = || Error::invalid(field, format!("must have at most {MAX_TAG_BYTES} bytes"));
            if tag.len() <= MAX_TAG_BYTES { Ok(tag) } else { Err(wrong()) }
        };
        Ok(Highlight {
            fragments: number("highlight_style.fragments", self.fragments, default.fragments, MAX_FRAGMENTS)?,
            length: number(
                "highlight_style.fragment_bytes",
                self.fragment_bytes,
                default.length,
                MAX_FRAGMENT_BYTES,
            )?,
            open: tag("highlight_style.pre_tag", self.pre_tag, default.open)?,
            close: tag("highlight_style.post_tag", self.post_tag, default.close)?,
        })
    }
}

/// The style of highlights, if there are to be any.
pub(super) fn highlight(wanted: bool, style: Option<HighlightStyle>) -> Result<Option<Highlight>> {
    let style = style.map(HighlightStyle::read).transpose()?;
    Ok(wanted.then(|| style.unwrap_or_default()))
}

/// A search by words.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "query": "\"domestic cat\" OR kitten* -lion",
    "top_k": 3,
    "filter": {"pos": "noun"}
})))]
pub(in crate::api) struct FulltextSearchRequest {
    /// What is looked for.
    #[schema(max_length = 65536)]
    pub query: String,
    /// What characters mean in it; `query` if left out.
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
    /// Rows with a lower score are left out.
    #[serde(default)]
    pub score_threshold: Option<f32>,
    /// At most so many rows with the same value in a field of the metadata: those that come first.
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
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub highlight: bool,
    /// How they are cut and marked.
    #[serde(default, deserialize_with = "optional_object")]
    pub highlight_style: Option<HighlightStyle>,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default, deserialize_with = "optional_object")]
    pub staleness_config: Option<StalenessConfig>,
}

impl FulltextSearchRequest {
    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        search::consistency(self.consistency, self.staleness_config)
    }

    /// The search, checked against limits.
    pub fn into_search(self, limits: &LimitsConfig) -> Result<TextSearch> {
        check_page(limits, "", self.top_k, self.offset)?;
        let (group_by, order_by) = (self.group_by.as_ref(), self.order_by.as_deref());
        let cut = cut("", self.offset, self.score_threshold, group_by, order_by)?;
        Ok(TextSearch {
            query: self.syntax.unwrap_or(Syntax::Query).read(&self.query, "query", limits)?,
            place: "query",
            fields: checked_fields(self.fields)?,
            limits: limits.texts(),
            top_k: self.top_k,
            cut,
            filter: filter(self.filter.as_deref(), "filter", limits)?,
            projection: Projection { vectors: self.include_vectors, metadata: self.include_metadata },
            highlight: highlight(self.highlight, self.highlight_style)?,
        })
    }
}

/// Fields to look in; at least one if they are named.
pub(super) fn checked_fields(fields: Option<Vec<String>>) -> Result<Option<Vec<String>>> {
    match fields {
        Some(fields) if fields.is_empty() => {
            Err(Error::invalid("fields", "name at least one field, or leave it out"))
        }
        fields => Ok(fields),
    }
}

/// A row that was found by its texts.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct TextFound {
    /// Its id.
    pub id: String,
    /// Higher is better. In a search by words BM25, in a hybrid one what both come to.
    pub score: f32,
    /// Its first text, if the metadata was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub content: Option<String>,
    /// Fragments of its texts in which the words that were found are marked; the rest is escaped for HTML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub highlights: Vec<String>,
    /// Its metadata, if it has any and it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw_json")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub metadata: Option<Arc<str>>,
    /// Its vector, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vector: Option<Vec<f32>>,
}

impl From<TextHit> for TextFound {
    fn from(found: TextHit) -> Self {
        let TextHit { hit, content, highlights } = found;
        let (row, score) = (hit.row, hit.score);
        Self {
            id: row.id.to_string(),
            score,
            content,
            highlights,
            metadata: row.metadata,
            vector: row.vector,
        }
    }
}

/// The answer to a search by words.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct FulltextSearchResponse {
    /// Best first, equal scores in id order; or in the order of `order_by`.
    pub results: Vec<TextFound>,
    /// Time spent searching.
    pub search_time_ms: f64,
    /// What the answer cost at the object store.
    pub usage: Usage,
}

impl FulltextSearchResponse {
    /// The response for an answer that cost this much.
    pub fn new(result: TextResult, usage: telemetry::Usage) -> Self {
        Self {
            results: result.hits.into_iter().map(Into::into).collect(),
            search_time_ms: millis(result.elapsed),
            usage: usage.into(),
        }
    }
}

/// What is known of the texts of a field.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct FieldStats {
    /// Its name.
    pub field: String,
    /// Rows that have a text in it.
    pub document_count: u64,
    /// Terms of these.
    pub unique_terms: u64,
    /// Words in each of these that are no stop words, on average.
    pub avg_doc_length: f64,
}

/// What is known of the texts of a namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct FulltextStats {
    /// Rows that have a text in any field of the index.
    pub document_count: u64,
    /// Terms of these; the same in two fields are two.
    pub unique_terms: u64,
    /// Words in each of these that are no stop words, on average.
    pub avg_doc_length: f64,
    /// For each field of the index.
    pub fields: Vec<FieldStats>,
}

impl FulltextStats {
    /// Of what was counted in the fields of an index.
    pub fn new(params: &FulltextParams, counted: &TextStatistics) -> Self {
        let average = |words: u64, rows: u64| if rows == 0 { 0.0 } else { words as f64 / rows as f64 };
        let field = |(name, field): (&String, &engine::query::FieldStatistics)| FieldStats {
            field: name.clone(),
            document_count: field.rows,
            unique_terms: field.terms,
            avg_doc_length: average(field.words, field.rows),
        };
        let words = counted.fields.iter().map(|field| field.words).sum();
        Self {
            document_count: counted.rows,
            unique_terms: counted.fields.iter().map(|field| field.terms).sum(),
            avg_doc_length: average(words, counted.rows),
            fields: params.fields.iter().zip(&counted.fields).map(field).collect(),
        }
    }
}
