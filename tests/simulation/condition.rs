//! What writes ask of the rows that are there, and what the naive model says to it.
//!
//! Every write has a value of its own, by which it is found again in the log. Values have few colours, so
//! that a condition on the colour holds for some rows and not for others.

use std::sync::Arc;

use quiver::{
    engine::{Precondition, Presence},
    types::{Filter, filter::Limits},
};

/// Colours that there are.
pub const COLOURS: u32 = 3;

/// A condition on the row that is stored under an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// It has this colour.
    Colour(u32),
    /// It has another colour, or there is none.
    NotColour(u32),
    /// It has this value: compare-and-set.
    Value(u32),
}

impl Condition {
    /// Whether it holds for a row with this value, or for none.
    pub fn admits(self, value: Option<u32>) -> bool {
        match self {
            Self::Absent => value.is_none(),
            Self::Present => value.is_some(),
            Self::Colour(colour) => value.is_some_and(|value| value % COLOURS == colour),
            Self::NotColour(colour) => value.is_none_or(|value| value % COLOURS != colour),
            Self::Value(expected) => value == Some(expected),
        }
    }

    /// Whether it holds for a row that is there and has this value.
    pub fn selects(self, value: Option<u32>) -> bool {
        value.is_some() && self.admits(value)
    }

    /// The same for the engine.
    pub fn precondition(self) -> Precondition {
        let presence = match self {
            Self::Absent => Presence::Absent,
            Self::Present => Presence::Present,
            Self::Colour(_) | Self::NotColour(_) | Self::Value(_) => Presence::Any,
        };
        Precondition { presence, filter: self.filter() }
    }

    /// The part of it that a filter says.
    pub fn filter(self) -> Option<Arc<Filter>> {
        let text = match self {
            Self::Absent | Self::Present => return None,
            Self::Colour(colour) => format!(r#"{{"colour":{colour}}}"#),
            Self::NotColour(colour) => format!(r#"{{"colour":{{"$ne":{colour}}}}}"#),
            Self::Value(value) => format!(r#"{{"value":{value}}}"#),
        };
        Some(Arc::new(Filter::parse(&text, "filter", &Limits::default()).expect("a filter")))
    }
}

/// The metadata of a row with this value.
pub fn metadata(value: u32) -> Arc<str> {
    format!(r#"{{"value":{value},"colour":{}}}"#, value % COLOURS).into()
}

/// The value that stands in metadata.
pub fn value_in(metadata: &str) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_str(metadata).ok()?;
    u32::try_from(value["value"].as_u64()?).ok()
}
