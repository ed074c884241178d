//! Conditions of writes: for which of its rows a request counts.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

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

/// The condition of an upsert, as it is sent.
#[derive(Debug, Default)]
pub(in crate::api) struct Condition {
    pub mode: Option<Mode>,
    pub filter: Option<Box<RawValue>>,
}

impl Condition {
    /// The condition, checked.
    pub fn into_precondition(self, limits: &LimitsConfig) -> Result<Precondition> {
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
