//! What is garbage, written down.
//!
//! Garbage is removed in two steps that may be made by different nodes. The first writes a mark that
//! names it; the second, when the *mark* is older than `garbage.grace` by the store's clock, removes
//! what the mark names. What a mark names was not referred to when the mark was written and never
//! will be again, so no second look is needed; the grace time is for nodes that read it before.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    engine::format::checked_json,
    storage::{Key, Part, Place},
    types::NamespaceName,
};

const FORMAT: u32 = 1;

/// Garbage of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    format: u32,
    /// The namespace.
    pub namespace: NamespaceName,
    /// The version of the manifest that it follows from.
    pub manifest_version: u64,
    /// The living incarnation, and its newest folded entry: it and those before it.
    pub folded: Option<(Uuid, u64)>,
    /// Incarnations that are over: everything that they wrote.
    pub incarnations: Vec<Uuid>,
    /// Keys of single objects.
    pub objects: HashSet<String>,
}

impl Mark {
    /// A mark that names nothing yet.
    pub fn new(namespace: NamespaceName, manifest_version: u64) -> Self {
        Self {
            format: FORMAT,
            namespace,
            manifest_version,
            folded: None,
            incarnations: Vec::new(),
            objects: HashSet::new(),
        }
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.folded.is_none() && self.incarnations.is_empty() && self.objects.is_empty()
    }

    /// Whether this object is garbage.
    pub fn condemns(&self, key: &Key, place: &Place) -> bool {
        let Place::Of(incarnation, part) = place else {
            return false;
        };
        let is_folded = match (part, self.folded) {
            (Part::Entry(seq), Some((living, folded))) => *incarnation == living && *seq <= folded,
            _ => false,
        };
        is_folded || self.incarnations.contains(incarnation) || self.objects.contains(key.as_str())
    }

    /// The object's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        checked_json::encode(self)
    }

    /// Reads a mark of a namespace, or says what is wrong with its bytes.
    pub fn decode(object: &[u8], namespace: &NamespaceName) -> Result<Self, String> {
        let mark: Self = checked_json::decode(object, "mark", FORMAT)?;
        if mark.namespace == *namespace {
            Ok(mark)
        } else {
            Err(format!("it belongs to namespace {}", mark.namespace))
        }
    }
}
