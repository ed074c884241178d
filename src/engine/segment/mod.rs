//! Immutable runs of rows in the store: what folding makes of the log.
//!
//! A segment is two objects and, once rows of it have died, a third:
//!
//! - `data.arrow`: the rows as a plain, uncompressed Arrow IPC *file* that any Arrow reader opens
//!   ([`writer`]); its buffers are 64-byte aligned and searched in place.
//! - `lookup`: what makes the rows findable without reading them ([`lookup`]): ids by hash, rows in
//!   id order, and in its [`head`] rows by expiry, the place and hash of every record batch, and what it
//!   takes to read single rows ([`parts`]).
//! - `deletes-<id>`: the rows that a later entry replaced or removed ([`deletes`]).
//! - `ann.<type>-<id>`: indexes over its rows ([`crate::engine::index`]), built when it is or later.
//!
//! The manifest names every object of a segment with its length and hash. Invariant: nothing of a
//! segment is used before it was checked: the lookup when it is opened, a record batch when it is
//! touched for the first time, a part when it arrives.

mod deletes;
mod head;
mod lookup;
mod parts;
mod place;
mod rows;
mod source;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::{
    deletes::{decode_deletes, encode_deletes},
    parts::SegmentParts,
    rows::{Batch, Segment},
    source::SegmentIndex,
    view::SegmentView,
    writer::{RowRef, SegmentWriter, Written},
};
use super::{
    format::{Hash, Hasher, hash},
    index::Content,
};
use crate::types::{IndexSpec, NamespaceName};

/// Bytes of an index that are compared with its hash at a time.
const CHECKED_BYTES: usize = 1 << 20;

/// A segment as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRef {
    /// Names the prefix of its objects; grows with time.
    pub id: Uuid,
    /// Rows, dead ones included.
    pub rows: u64,
    /// Whether its rows have vectors: all of them or none.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub has_vectors: bool,
    /// `data.arrow`
    pub data: Blob,
    /// `lookup`
    pub lookup: Blob,
    /// The bytes with which `lookup` begins that suffice to read rows by ranges.
    pub head: Blob,
    /// The newest `deletes-<id>`, once there is one.
    pub deletes: Option<Deletes>,
    /// Indexes over its rows, at most one of a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexRef>,
    /// Whose prefix holds `data.arrow` and `lookup`; none: the prefix of the manifest's incarnation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

/// An index over the rows of a segment as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexRef {
    /// Names the object: no two builds ever write the same one.
    pub id: Uuid,
    /// What was asked for.
    pub spec: IndexSpec,
    /// The object.
    pub blob: Blob,
    /// The bytes with which it begins that say which others a query wants, if it can be searched in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Blob>,
    /// Whose prefix holds it, as for the segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// An incarnation of a namespace whose objects another one shares, since it is a copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The namespace.
    pub namespace: NamespaceName,
    /// Which life of it.
    pub incarnation: Uuid,
}

impl SegmentRef {
    /// Rows that the manifest does not know to be dead.
    pub fn live(&self) -> u64 {
        // A manifest can say anything; that it is true is seen when the segment is opened.
        self.rows.saturating_sub(self.deletes.as_ref().map_or(0, |deletes| deletes.rows))
    }

    /// Bytes of all its objects.
    pub fn bytes(&self) -> u64 {
        let deletes = self.deletes.as_ref().map_or(0, |deletes| deletes.blob.bytes);
        let indexes = self.indexes.iter().map(|index| index.blob.bytes);
        let others = indexes.fold(deletes, u64::saturating_add);
        self.data.bytes.saturating_add(self.lookup.bytes).saturating_add(others)
    }
}

/// The deleted rows of a segment as the manifest names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletes {
    /// Names the object: no two folds ever write the same one.
    pub id: Uuid,
    /// The entry up to which they are complete.
    pub seq: u64,
    /// How many rows.
    pub rows: u64,
    /// The object.
    pub blob: Blob,
    /// Whose prefix holds it, as for the segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// An immutable object's length and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// Its length.
    pub bytes: u64,
    /// XXH3-128, 32 hexadecimal digits.
    #[serde(with = "hash_as_hex")]
    pub xxh3_128: Hash,
}

impl Blob {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, xxh3_128: hash(bytes) }
    }

    /// What is wrong with the content of an index that should be this object. It is not in memory whole.
    pub fn check_in_parts(&self, content: &Content) -> Result<(), String> {
        let mut hasher = Hasher::new();
        for start in (0..content.size()).step_by(CHECKED_BYTES) {
            hasher.update(content.read(start..content.size().min(start + CHECKED_BYTES)));
        }
        self.compare(content.size(), hasher.digest128())
    }

    /// What is wrong with bytes that should be this object.
    pub fn check(&self, bytes: &[u8]) -> Result<(), String> {
        self.compare(bytes.len(), hash(bytes))
    }

    fn compare(&self, length: usize, hash: Hash) -> Result<(), String> {
        if length as u64 != self.bytes {
            return Err(format!("it has {length} bytes, the manifest says {}", self.bytes));
        }
        if hash != self.xxh3_128 {
            return Err("its content does not match the hash in the manifest".into());
        }
        Ok(())
    }
}

/// A hash as text, in manifests.
pub(in crate::engine) mod hash_as_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Hash;

    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{hash:032x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() != 32 {
            return Err(D::Error::custom("a hash has 32 hexadecimal digits"));
        }
        Hash::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
