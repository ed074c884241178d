//! Searches of every kind in one request.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    AggregateRequest, CountRequest, FulltextSearchRequest, HybridRequest, MultiVectorRequest, Object,
    QueryRequest, UnifiedQueryRequest,
};

/// Searches, each of which is answered as by its own route.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"requests": [
    {"query": {"vector": [0.12, -0.5, 0.33], "top_k": 3}},
    {"fulltext_search": {"query": "domestic cat"}},
    {"aggregate": {"aggregate_by": {"rows": ["Count"]}, "group_by": ["genre"]}}
]})))]
pub(in crate::api) struct BatchRequest {
    /// The searches.
    #[schema(max_items = 100)]
    pub requests: Vec<BatchItem>,
}

/// A search, under the name of its route.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::api) enum BatchItem {
    /// As `query`.
    Query(Box<QueryRequest>),
    /// As `fulltext/search`.
    FulltextSearch(Box<FulltextSearchRequest>),
    /// As `hybrid`.
    Hybrid(Box<HybridRequest>),
    /// As `unified-query`.
    UnifiedQuery(Box<UnifiedQueryRequest>),
    /// As `multi-vector`.
    MultiVector(Box<MultiVectorRequest>),
    /// As `aggregate`.
    Aggregate(Box<AggregateRequest>),
    /// As `vectors/count`.
    Count(Box<CountRequest>),
}

/// The name of a search.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Query,
    FulltextSearch,
    Hybrid,
    UnifiedQuery,
    MultiVector,
    Aggregate,
    Count,
}

/// Not derived: that would call an object with two names malformed JSON.
impl<'de> Deserialize<'de> for BatchItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = BatchItem;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the name of one search")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BatchItem, A::Error> {
        let nothing = || Error::invalid_length(0, &self);
        let search = match map.next_key()?.ok_or_else(nothing)? {
            Kind::Query => BatchItem::Query(object(&mut map)?),
            Kind::FulltextSearch => BatchItem::FulltextSearch(object(&mut map)?),
            Kind::Hybrid => BatchItem::Hybrid(object(&mut map)?),
            Kind::UnifiedQuery => BatchItem::UnifiedQuery(object(&mut map)?),
            Kind::MultiVector => BatchItem::MultiVector(object(&mut map)?),
            Kind::Aggregate => BatchItem::Aggregate(object(&mut map)?),
            Kind::Count => BatchItem::Count(object(&mut map)?),
        };
        match map.next_key::<Kind>()? {
            None => Ok(search),
            Some(_) => Err(Error::invalid_length(2, &self)),
        }
    }
}

fn object<'de, A: MapAccess<'de>, T: Deserialize<'de>>(map: &mut A) -> Result<Box<T>, A::Error> {
    map.next_value().map(|Object(value)| Box::new(value))
}

/// The answers.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BatchResponse {
    /// One for each search, in their order.
    pub results: Vec<BatchAnswer>,
}

/// What the route of a search would have answered.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct BatchAnswer {
    /// The status of that answer.
    #[schema(minimum = 200, maximum = 599)]
    pub status: u16,
    /// Its body: the result, or an error.
    #[schema(value_type = Object)]
    pub body: Box<RawValue>,
}
