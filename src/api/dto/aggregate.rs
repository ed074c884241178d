//! Aggregations: what is asked of groups of rows, and the answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;

use super::{
    Consistency, StalenessConfig, filter::filter, object::optional_object, schema, search, whole::whole,
};
use crate::{
    config::LimitsConfig,
    engine::{
        self,
        query::{Aggregation, Group, Groups, Measure},
    },
    error::{Error, Result},
    types::filter::{Json, Number, Path},
};

/// Measures and fields of one request.
const MAX_FIELDS: usize = 64;

fn default_limit() -> usize {
    100
}

/// What to compute over which rows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "aggregate_by": {"rows": ["Count"], "mean_year": ["Avg", "year"]},
    "group_by": ["genre"],
    "filter": {"year": {"$gte": 2000}}
})))]
pub(in crate::api) struct AggregateRequest {
    /// What is wanted, by the name that it gets in the answer: `["Count"]`, or `Sum`, `Avg`, `Min` or
    /// `Max` with a field of the metadata, such as `["Sum", "price"]`. Values that are no numbers do not
    /// count; all numbers of an array do.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    pub aggregate_by: BTreeMap<String, Vec<String>>,
    /// Fields of the metadata; rows with the same values in them are a group. A row whose field is an
    /// array is in the group of each element; one without the field is in that of null.
    #[serde(default)]
    pub group_by: Vec<String>,
    #[serde(default)]
    #[schema(schema_with = schema::filter, required = false)]
    pub filter: Option<Box<RawValue>>,
    /// Groups in the answer at most: those with the most rows.
    #[serde(default = "default_limit", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10000, default = 100)]
    pub limit: usize,
    /// How fresh the answer has to be; `strong` if left out.
    #[serde(default)]
    pub consistency: Option<Consistency>,
    /// The bound of `bounded_staleness`; not looked at otherwise.
    #[serde(default, deserialize_with = "optional_object")]
    pub staleness_config: Option<StalenessConfig>,
}

/// The names in an answer.
#[derive(Debug)]
pub(in crate::api) struct Names {
    groups: Vec<String>,
    measures: Vec<String>,
}

impl AggregateRequest {
    /// The consistency that is asked for.
    pub fn consistency(&self) -> engine::Consistency {
        search::consistency(self.consistency, self.staleness_config)
    }

    /// What to compute, and what it is called.
    pub fn into_aggregation(self, limits: &LimitsConfig) -> Result<(Aggregation, Names)> {
        if self.aggregate_by.is_empty() {
            return Err(Error::invalid("aggregate_by", r#"is empty; expected such as {"rows": ["Count"]}"#));
        }
        at_most("aggregate_by", self.aggregate_by.len())?;
        at_most("group_by", self.group_by.len())?;
        if self.limit == 0 || self.limit > limits.top_k {
            return Err(Error::invalid(
                "limit",
                format!("must be from 1 to limits.top_k = {}", limits.top_k),
            ));
        }
        let measures = self.aggregate_by.iter().map(|(name, words)| measure(name, words));
        let measures = measures.collect::<Result<Vec<_>>>()?;
        let mut names: BTreeSet<&String> = self.aggregate_by.keys().collect();
        let mut group_by = Vec::with_capacity(self.group_by.len());
        for (place, name) in self.group_by.iter().enumerate() {
            let field = format!("group_by[{place}]");
            if !names.insert(name) {
                return Err(Error::invalid(field, format!("the name {name:?} would stand twice in a group")));
            }
            group_by.push(path(&field, name)?);
        }
        let filter = filter(self.filter.as_deref(), "filter", limits)?;
        let (limit, max_groups, max_bytes) = (self.limit, limits.groups, limits.answer_bytes.as_u64());
        let names = Names { groups: self.group_by, measures: self.aggregate_by.into_keys().collect() };
        Ok((Aggregation { measures, group_by, filter, limit, max_groups, max_bytes }, names))
    }
}

fn at_most(field: &str, count: usize) -> Result<()> {
    if count <= MAX_FIELDS {
        return Ok(());
    }
    Err(Error::invalid(field, format!("has {count} entries, at most {MAX_FIELDS} are accepted")))
}

fn measure(name: &str, words: &[String]) -> Result<Measure> {
    let place = |word: usize| format!("aggregate_by.{name}[{word}]");
    let of: fn(Path) -> Measure = match words.first().map(String::as_str) {
        Some("Count") if words.len() == 1 => return Ok(Measure::Count),
        Some("Sum") => Measure::Sum,
        Some("Avg") => Measure::Avg,
        Some("Min") => Measure::Min,
        Some("Max") => Measure::Max,
        _ => {
            let expected = r#"expected ["Count"], or "Sum", "Avg", "Min" or "Max" with a field"#;
            return Err(Error::invalid(format!("aggregate_by.{name}"), expected));
        }
    };
    match words {
        [_, field] => Ok(of(path(&place(1), field)?)),
        _ => Err(Error::invalid(format!("aggregate_by.{name}"), "expected one field after the function")),
    }
}

fn path(place: &str, text: &str) -> Result<Path> {
    Path::parse(text).map_err(|wrong| Error::invalid(place, wrong))
}

/// What was computed. A number is null where there were none, or if it is beyond the range of a 64-bit
/// float.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct AggregateResponse {
    /// Over all rows that match, if no groups were asked for: each value by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>, example = json!({"rows": 42, "mean_year": 2006.5}))]
    pub aggregations: Option<Map<String, Value>>,
    /// Each group as one object with the values of its fields and what was computed, those with the most
    /// rows first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<Object>>,
        example = json!([{"genre": "novel", "rows": 30, "mean_year": 2007.1}]))]
    pub aggregation_groups: Option<Vec<Map<String, Value>>>,
    /// How many groups there are, those beyond `limit` included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub group_count: Option<u64>,
}

impl AggregateResponse {
    /// The response for groups.
    pub fn new(groups: Groups, names: &Names) -> Self {
        let total = groups.total;
        let mut rows = groups.groups.into_iter().map(|group| names.row(group));
        if names.groups.is_empty() {
            return Self { aggregations: rows.next(), aggregation_groups: None, group_count: None };
        }
        Self { aggregations: None, aggregation_groups: Some(rows.collect()), group_count: Some(total) }
    }
}

impl Names {
    fn row(&self, group: Group) -> Map<String, Value> {
        let key = self.groups.iter().cloned().zip(group.key.iter().map(json));
        let values = group.values.into_iter().map(|value| value.map_or(Value::Null, number));
        key.chain(self.measures.iter().cloned().zip(values)).collect()
    }
}

fn json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) => number(*value),
        Json::String(text) => Value::String(text.to_string()),
        Json::Array(elements) => Value::Array(elements.iter().map(json).collect()),
        Json::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.to_string(), json(value))).collect())
        }
    }
}

/// Whole numbers of 64 bits stay whole.
fn number(number: Number) -> Value {
    match number {
        Number::Int(whole) => match (i64::try_from(whole), u64::try_from(whole)) {
            (Ok(whole), _) => whole.into(),
            (_, Ok(whole)) => whole.into(),
            _ => (whole as f64).into(),
        },
        Number::Float(float) => float.into(),
    }
}
