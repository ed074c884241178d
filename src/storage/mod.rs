//! One `Store` over five object stores.
//!
//! The protocol above needs two things of a store that OpenDAL alone does not give on every
//! backend: put-if-absent with exactly one winner and no torn reads, and compare-and-swap on a
//! tag. Each backend has a write strategy (`publish`, `files`) that provides them. Every
//! operation runs under timeout, retry, concurrency limit, tracing and metrics (`layers`).
//!
//! Invariant: conditional writes are never retried in here, because a retry that follows a lost
//! reply would report our own success as a conflict. The protocol retries them and reads back who won.

mod backend;
mod error;
mod files;
mod foreign;
pub mod keys;
mod layers;
mod objects;
mod operation;
mod operator;
mod parts;
mod places;
mod probe;
mod publish;
mod times;
mod upload;
mod wire;

use std::{ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use self::{
    backend::{Backend, Context},
    error::Failure,
    layers::{Call, Layers},
};
pub use self::{
    error::{Result, StoreError, StoreErrorKind},
    foreign::{ForeignKey, ForeignObject, ForeignStore, Level},
    keys::Key,
    layers::{Attempt, Hook, Stage, Verdict},
    operation::Operation,
    operator::{Beneath, http_client},
    places::{Part, Place, place},
    upload::Upload,
};
use crate::{clock::Timestamp, config::StorageConfig, telemetry::Metrics};

/// The version of an object, for compare-and-swap and conditional reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(TagKind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TagKind {
    /// fs and memory have no versions: the hash of the content stands for it.
    Content(u128),
    /// ETag or generation.
    Version(Arc<str>),
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
    /// When it was written, by the store's clock (see [`Store::now`]); many stores tell whole
    /// seconds, rounded down. None: the store did not say.
    pub modified: Option<Timestamp>,
}

/// Keys that one batch delete takes.
const DELETE_BATCH: usize = 1000;

/// A handle to an object store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<Backend>,
    layers: Arc<Layers>,
    config: Arc<StorageConfig>,
    location: Arc<str>,
}

impl Store {
    /// Opens the configured store. Contacts nothing (on fs it creates the root directory); see
    /// [`Store::probe`]. Fails with [`StoreErrorKind::Refused`] on an unusable configuration.
    pub fn open(config: &StorageConfig, metrics: Arc<Metrics>) -> Result<Self> {
        Self::open_over(config, metrics, &Beneath::default())
    }

    /// Opens the configured store with something beneath its retries: faults, an own transport.
    pub fn open_over(config: &StorageConfig, metrics: Arc<Metrics>, beneath: &Beneath) -> Result<Self> {
        let backend = operator::build(config, beneath)
            .map_err(|failure| failure.attach(Operation::Check, "storage.backend".into()))?;
        let layers = Layers::new(config, metrics, beneath.hook.clone(), backend.counts_attempts());
        Ok(Self {
            location: operator::location(config, &backend).into(),
            backend: Arc::new(backend),
            layers: Arc::new(layers),
            config: Arc::new(config.clone()),
        })
    }

    /// The same objects as another node sees them: with its own metrics, limits and hook.
    #[must_use]
    pub fn as_seen_by(&self, metrics: Arc<Metrics>, hook: Option<Hook>) -> Self {
        let layers = Layers::new(&self.config, metrics, hook, self.backend.counts_attempts());
        Self { layers: Arc::new(layers), ..self.clone() }
    }

    /// Where data lives, for people: `fs at /var/lib/quiver`, `s3 bucket b at https://…`. No secrets.
    pub fn location(&self) -> String {
        self.location.to_string()
    }

    /// Requests sent so far for an operation, every retry included; see [`crate::telemetry::StoreMetrics`].
    pub fn requests(&self, operation: Operation) -> u64 {
        self.layers.metrics().store.requests(operation.as_str())
    }

    /// Whether the store can be reached now (for readiness). Not retried.
    pub async fn check(&self) -> Result<()> {
        self.run(Operation::Check, "".into(), 0, |backend, cx| async move { backend.check(&cx).await }).await
    }

    /// Reads a whole object.
    pub async fn get(&self, key: &Key) -> Result<Object> {
        self.read_object(Operation::Get, key).await
    }

    /// Reads an object whose conditional write had an unknown outcome, after making sure that what
    /// is read is durable (on fs a link that was made but whose directory was not synced is synced first).
    pub async fn get_settled(&self, key: &Key) -> Result<Object> {
        self.read_object(Operation::GetSettled, key).await
    }

    /// Reads a byte range. A range that ends past the object is an error
    /// ([`StoreErrorKind::Refused`]), never a short answer; an empty one asks nothing.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let mut found = self.read_ranges(Operation::GetRange, key, &[range]).await?;
        Ok(found.pop().unwrap_or_default())
    }

    /// Reads several byte ranges, merging near ones into one request.
    pub async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read_ranges(Operation::GetRanges, key, ranges).await
    }

    /// Reads an object unless it is still the version `tag` (`None`).
    pub async fn get_if_changed(&self, key: &Key, tag: &Tag) -> Result<Option<Object>> {
        let (key, tag) = (key.clone(), tag.clone());
        let object = self
            .run(Operation::GetIfChanged, key.shared(), 0, move |backend, cx| {
                let (key, tag) = (key.clone(), tag.clone());
                async move { backend.get_if_changed(&cx, key, tag).await }
            })
            .await?;
        self.count_read(object.iter().map(|object| object.bytes.len()).sum());
        Ok(object)
    }

    /// The length of an object, without reading it.
    pub async fn size(&self, key: &Key) -> Result<u64> {
        let key = key.clone();
        self.run(Operation::Size, key.shared(), 0, move |backend, cx| {
            let key = key.clone();
            async move { backend.size(&cx, key).await }
        })
        .await
    }

    /// Writes a blob, replacing any there was; multipart when large.
    pub async fn put(&self, key: &Key, bytes: Bytes) -> Result<()> {
        let key = key.clone();
        let length = bytes.len() as u64;
        self.run(Operation::Put, key.shared(), length, move |backend, cx| {
            let (key, bytes) = (key.clone(), bytes.clone());
            async move { backend.put(&cx, key, bytes).await }
        })
        .await
    }

    /// Begins a blob that is written piece by piece, in a few parts of 8 MiB of memory. Contacts
    /// nothing yet. One writer at a time: what two uploads to one key leave is one of the two.
    #[must_use]
    pub fn upload(&self, key: &Key) -> Upload {
        Upload::new(self.clone(), key.clone())
    }

    /// Writes an object if there is none under that key; otherwise [`StoreErrorKind::Conflict`].
    pub async fn put_if_absent(&self, key: &Key, bytes: Bytes) -> Result<Tag> {
        let key = key.clone();
        let length = bytes.len() as u64;
        self.run(Operation::PutIfAbsent, key.shared(), length, move |backend, cx| {
            let (key, bytes) = (key.clone(), bytes.clone());
            async move { backend.put_if_absent(&cx, key, bytes).await }
        })
        .await
    }

    /// Replaces an object if it is still the version `expected`; otherwise, also if there is no
    /// such object, [`StoreErrorKind::Conflict`].
    pub async fn cas(&self, key: &Key, expected: &Tag, bytes: Bytes) -> Result<Tag> {
        let (key, expected) = (key.clone(), expected.clone());
        let length = bytes.len() as u64;
        self.run(Operation::Cas, key.shared(), length, move |backend, cx| {
            let (key, expected, bytes) = (key.clone(), expected.clone(), bytes.clone());
            async move { backend.cas(&cx, key, expected, bytes).await }
        })
        .await
    }

    /// Objects under a prefix in key order, after `start_after`, at most `limit`.
    pub async fn list(&self, prefix: &str, start_after: Option<&str>, limit: usize) -> Result<Vec<Listed>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (prefix, after) = (prefix.to_owned(), start_after.map(str::to_owned));
        self.run(Operation::List, prefix.as_str().into(), 0, move |backend, cx| {
            let (prefix, after) = (prefix.clone(), after.clone());
            async move { backend.list(&cx, prefix, after, limit).await }
        })
        .await
    }

    /// What the store's clock says now: the time that it gives to an object which is written for
    /// this purpose and removed again. Nothing that was written before has a later time.
    pub async fn now(&self) -> Result<Timestamp> {
        let key = keys::clock(Uuid::new_v4());
        self.put(&key, Bytes::new()).await?;
        let listed = self.list(key.as_str(), None, 1).await;
        self.delete_many(std::slice::from_ref(&key)).await?;
        listed?.first().and_then(|entry| entry.modified).ok_or_else(|| {
            Failure::new(StoreErrorKind::Refused, "the store does not tell when an object was written")
                .attach(Operation::List, key.shared())
        })
    }

    /// Whether objects are files of this machine: only on fs.
    pub fn is_local(&self) -> bool {
        self.local_file(&keys::collection()).is_some()
    }

    /// The file that holds an object, or would hold it; only on fs.
    pub fn local_file(&self, key: &Key) -> Option<PathBuf> {
        self.backend.file(key)
    }

    /// Deletes objects; those that do not exist count as deleted.
    pub async fn delete_many(&self, keys: &[Key]) -> Result<()> {
        for batch in keys.chunks(DELETE_BATCH) {
            let keys = batch.to_vec();
            self.run(Operation::Delete, keys[0].shared(), 0, move |backend, cx| {
                let keys = keys.clone();
                async move { backend.delete(&cx, keys).await }
            })
            .await?;
        }
        Ok(())
    }

    /// Checks that the store keeps the contract that the commit protocol stands on.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        probe::probe(self).await
    }

    async fn run<T, F, Fut>(&self, operation: Operation, key: Arc<str>, bytes: u64, attempt: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(Arc<Backend>, Context) -> Fut,
        Fut: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let call = Call { operation, key, bytes };
        let metrics = self.layers.metrics();
        self.layers
            .run(call, |pulse| {
                attempt(self.backend.clone(), Context { operation, metrics: metrics.clone(), pulse })
            })
            .await
    }

    async fn read_object(&self, operation: Operation, key: &Key) -> Result<Object> {
        let key = key.clone();
        let object = self
            .run(operation, key.shared(), 0, move |backend, cx| {
                let key = key.clone();
                async move { backend.get(&cx, key).await }
            })
            .await?;
        self.count_read(object.bytes.len());
        Ok(object)
    }

    async fn read_ranges(
        &self,
        operation: Operation,
        key: &Key,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
        if let Some(range) = ranges.iter().find(|range| range.start > range.end) {
            let message = format!("a range from {} to {}", range.start, range.end);
            return Err(Failure::new(StoreErrorKind::Refused, message).attach(operation, key.shared()));
        }
        // The backends answer empty ranges in different ways, so they are not asked.
        let wanted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        let mut found = Vec::new();
        if !wanted.is_empty() {
            let key = key.clone();
            found = self
                .run(operation, key.shared(), 0, move |backend, cx| {
                    let (key, wanted) = (key.clone(), wanted.clone());
                    async move { backend.get_ranges(&cx, key, wanted).await }
                })
                .await?;
        }
        self.count_read(found.iter().map(Bytes::len).sum());
        let mut found = found.into_iter();
        let answer = ranges.iter().map(|range| match range.is_empty() {
            true => Bytes::new(),
            false => found.next().unwrap_or_default(),
        });
        Ok(answer.collect())
    }

    fn count_read(&self, bytes: usize) {
        self.layers.metrics().store.count_read(bytes as u64);
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
