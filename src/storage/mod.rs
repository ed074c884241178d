//! One `Store` over five object stores.
//!
//! The protocol above needs two things of a store that OpenDAL alone does not give on every
//! backend: put-if-absent with exactly one winner and no torn reads, and compare-and-swap on a
//! tag. Each backend has a write strategy (`publish`) that provides them; everything else is an
//! OpenDAL operation under timeout, retry, concurrency limit, tracing and metrics (`layers`).
//!
//! Invariant: conditional writes are never retried in here, because a retry that follows a lost
//! reply would report our own success as a conflict. The protocol retries them and reads back who won.

mod error;
pub mod keys;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

pub use self::{
    error::{Result, StoreError, StoreErrorKind},
    keys::Key,
};
use crate::{config::StorageConfig, telemetry::Metrics};

/// The version of an object, for compare-and-swap and conditional reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(TagKind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TagKind {
    /// fs and memory have no versions: the hash of the content stands for it.
    Content(u128),
    /// ETag or generation.
    Remote(Box<opendal::Metadata>),
}

/// An object as read: its bytes and the version they belong to.
#[derive(Debug, Clone)]
pub struct Object {
    /// The whole content.
    pub bytes: Bytes,
    /// The version that was read.
    pub tag: Tag,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The object's key.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
}

/// A handle to an object store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<()>,
}

impl Store {
    /// Opens the configured store. Contacts nothing; see [`Store::probe`].
    pub fn open(config: &StorageConfig, metrics: Arc<Metrics>) -> Result<Self> {
        todo!()
    }

    /// Where data lives, for people: `fs at /var/lib/quiver`, `s3 bucket b at https://…`. No secrets.
    pub fn location(&self) -> String {
        todo!()
    }

    /// Whether the store can be reached now (for readiness).
    pub async fn check(&self) -> Result<()> {
        todo!()
    }

    /// Reads a whole object.
    pub async fn get(&self, key: &Key) -> Result<Object> {
        todo!()
    }

    /// Reads an object whose conditional write had an unknown outcome, after making sure that what
    /// is read is durable (on fs a link that was made but whose directory was not synced is synced first).
    pub async fn get_settled(&self, key: &Key) -> Result<Object> {
        todo!()
    }

    /// Reads a byte range. A range that ends past the object is an error, never a short answer.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        todo!()
    }

    /// Reads several byte ranges, merging near ones into one request.
    pub async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        todo!()
    }

    /// Reads an object unless it is still the version `tag` (`None`).
    pub async fn get_if_changed(&self, key: &Key, tag: &Tag) -> Result<Option<Object>> {
        todo!()
    }

    /// The length of an object, without reading it.
    pub async fn size(&self, key: &Key) -> Result<u64> {
        todo!()
    }

    /// Writes a blob, replacing any there was; multipart when large.
    pub async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        todo!()
    }

    /// Writes an object if there is none under that key; otherwise [`StoreErrorKind::Conflict`].
    pub async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<Tag> {
        todo!()
    }

    /// Replaces an object if it is still the version `expected`; otherwise [`StoreErrorKind::Conflict`].
    pub async fn cas(&self, key: &Key, expected: &Tag, bytes: Bytes) -> Result<Tag> {
        todo!()
    }

    /// Objects under a prefix in key order, after `start_after`, at most `limit`.
    pub async fn list(&self, prefix: &str, start_after: Option<&str>, limit: usize) -> Result<Vec<Listed>> {
        todo!()
    }

    /// Deletes objects; those that do not exist count as deleted.
    pub async fn delete_many(&self, keys: &[Key]) -> Result<()> {
        todo!()
    }

    /// Checks that the store keeps the contract that the commit protocol stands on.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        todo!()
    }
}

/// Why a store was refused at start.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The store could not be used at all.
    #[error("the object store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The store ignores a condition.
    #[error("{store} breaks the rule that {rule}: {observed}. Writes would be lost; refusing to start")]
    BrokenContract {
        /// [`Store::location`].
        store: String,
        /// The rule.
        rule: &'static str,
        /// What was seen instead.
        observed: String,
    },
}
