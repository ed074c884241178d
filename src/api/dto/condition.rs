//! Conditions of writes: for which of its rows a request counts.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::filter::filter;
use crate::{
    config::LimitsConfig,
    engine::{Precondition, Presence},
    error::{Error, Result},
};

/// What an upsert may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum Mode {
    /// Insert and replace.
    #[default]
    Upsert,
    /// Only insert: what is stored stays as it is.
    Insert,
    /// Only replace what is stored.
    Update,
}

/// The condition of an upsert whose rows come in any form.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ConditionParams {
    /// What the upsert may do, as in a JSON body: for rows in other forms.
    #[param(inline)]
    pub mode: Option<Mode>,
    /// A filter as JSON text, as in a JSON body: only rows are written whose stored row matches it.
    #[serde(rename = "if")]
    #[param(example = "{\"version\": {\"$lt\": 3}}")]
    pub filter: Option<String>,
}

impl ConditionParams {
    /// The condition.
    pub fn into_condition(self) -> Result<Condition> {
        let raw = |text: String| {
            let raw = RawValue::from_string(text);
            raw.map_err(|error| Error::invalid("if", format!("malformed JSON: {error}")))
        };
        Ok(Condition { mode: self.mode, filter: self.filter.map(raw).transpose()? })
    }
}

/// The condition of an upsert, as it is sent.
#[derive(Debug, Default)]
pub(in crate::api) struct Condition {
    pub mode: Option<Mode>,
    pub filter: Option<Box<RawValue>>,
}

impl Condition {
    /// Both, each part of which may stand in one of them.
    pub fn and(self, other: Self) -> Result<Self> {
        let twice = |field| Error::invalid(field, "stands in the body and in the query string; give it once");
        match (&self, &other) {
            (Self { mode: Some(_), .. }, Self { mode: Some(_), .. }) => Err(twice("mode")),
            (Self { filter: Some(_), .. }, Self { filter: Some(_), .. }) => Err(twice("if")),
            _ => Ok(Self { mode: self.mode.or(other.mode), filter: self.filter.or(other.filter) }),
        }
    }

    /// The condition, checked.
    pub fn precondition(&self, limits: &LimitsConfig) -> Result<Precondition> {
        let filter = filter(self.filter.as_deref(), "if", limits)?;
        let presence = match self.mode.unwrap_or_default() {
            Mode::Upsert => Presence::Any,
            Mode::Update => Presence::Present,
            Mode::Insert if filter.is_some() => {
                let message = "nothing is stored under the ids that mode \"insert\" writes; leave it out";
                return Err(Error::invalid("if", message));
            }
            Mode::Insert => Presence::Absent,
        };
        Ok(Precondition { presence, filter })
    }
}

/// The condition of a delete.
pub(in crate::api) fn delete_condition(
    text: Option<&RawValue>,
    limits: &LimitsConfig,
) -> Result<Precondition> {
    let filter: Option<Arc<_>> = filter(text, "if", limits)?;
    Ok(Precondition { presence: Presence::Any, filter })
}
