//! Which part of a ranking a request wants.

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::whole::whole;
use crate::{
    engine::{Cut, Grouping},
    error::{Error, Result},
    types::{
        filter::Path,
        rank_by::{self, OrderBy},
    },
};

fn one() -> usize {
    1
}

/// How many rows of an answer may have the same value in a field.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct GroupBy {
    /// A field of the metadata. A row with several values in it counts for each, one without for null.
    #[schema(example = "genre")]
    pub field: String,
    /// Rows with the same value at most: those that come first.
    #[serde(default = "one", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 10000, default = 1)]
    pub limit: usize,
}

/// Rows with the same value at most.
const MAX_LIMIT: usize = 10_000;

/// The part of a ranking; `prefix` is where the fields stand in the request. What is to be compared with limits is
/// not checked yet.
pub(super) fn cut(
    prefix: &str,
    offset: usize,
    score_threshold: Option<f32>,
    group_by: Option<&GroupBy>,
    order_by: Option<&RawValue>,
) -> Result<Cut> {
    if score_threshold.is_some_and(|threshold| !threshold.is_finite()) {
        return Err(Error::invalid(format!("{prefix}score_threshold"), "must be a finite number"));
    }
    let grouping = |group_by: &GroupBy| {
        if !(1..=MAX_LIMIT).contains(&group_by.limit) {
            return Err(Error::invalid(
                format!("{prefix}group_by.limit"),
                format!("must be from 1 to {MAX_LIMIT}"),
            ));
        }
        let field = Path::parse(&group_by.field);
        let field = field.map_err(|wrong| Error::invalid(format!("{prefix}group_by.field"), wrong))?;
        Ok(Grouping { field, limit: group_by.limit })
    };
    let order = |text: &RawValue| {
        OrderBy::parse_all(text.get(), &format!("{prefix}order_by"), &rank_by::Limits::default())
    };
    let order_by = order_by.map(order).transpose()?.unwrap_or_default();
    Ok(Cut { offset, score_threshold, group_by: group_by.map(grouping).transpose()?, order_by })
}
