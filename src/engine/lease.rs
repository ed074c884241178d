//! Who folds or merges a namespace, written down for the other nodes.
//!
//! Advisory: it saves double work and tells the collection of garbage what to leave alone, and nothing
//! depends on it. Whoever works writes it anew from time to time, with another nonce, so that others
//! see that he lives without comparing clocks ([`super::namespace`] has the rules).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::format::checked_json;

const FORMAT: u32 = 1;

/// A lease on the folds or on the merges of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lease {
    format: u32,
    /// The node that works.
    pub holder: Uuid,
    /// Drawn whenever the lease is written.
    pub nonce: Uuid,
    /// The segment that is being written, if that may take long.
    pub segment: Option<Uuid>,
}

impl Lease {
    /// A lease of `holder`.
    pub fn new(holder: Uuid, nonce: Uuid, segment: Option<Uuid>) -> Self {
        Self { format: FORMAT, holder, nonce, segment }
    }

    /// The object's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        checked_json::encode(self)
    }

    /// Reads a lease, or says what is wrong with its bytes.
    pub fn decode(object: &[u8]) -> Result<Self, String> {
        checked_json::decode(object, "lease", FORMAT)
    }
}
