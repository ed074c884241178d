//! Objects that something else wrote: read, never written.
//!
//! Their keys are whatever their writer made of them, while every key of ours is built in `keys`.
//! So they have a type of their own that only a listing can make and only a read takes: a foreign
//! key never reaches a write.
//!
//! Invariant: nothing in here changes the store. On fs no directory is created and no temporary
//! file is swept, and no name is passed over because it looks like one of ours.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{Result, Store, keys::Key, layers::Layers, operation::Operation, operator, operator::Beneath};
use crate::{config::StorageConfig, telemetry::Metrics};

/// Reads that run at once, unless the configuration says otherwise.
const CONCURRENCY: usize = 16;

/// The key of an object that a listing found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignKey(Key);

impl ForeignKey {
    /// The key as text, as its writer chose it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ForeignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One object that a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignObject {
    /// Its key.
    pub key: ForeignKey,
    /// Its length in bytes.
    pub size: u64,
}

/// What lies directly under a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// Names of folders, sorted, without slashes.
    pub folders: Vec<String>,
    /// Names of objects, sorted.
    pub objects: Vec<String>,
}

/// A store that is only read.
#[derive(Debug, Clone)]
pub struct ForeignStore(Store);

impl ForeignStore {
    /// Opens a store that something else wrote. At most 16 reads run at once, unless
    /// `storage.concurrency` is set. Fails with [`super::StoreErrorKind::Refused`] on an unusable
    /// configuration and on a directory that does not exist; contacts no remote store.
    pub fn open(config: &StorageConfig, metrics: Arc<Metrics>) -> Result<Self> {
        let mut config = config.clone();
        config.concurrency.get_or_insert(CONCURRENCY);
        let backend = operator::build_foreign(&config, &Beneath::default())
            .map_err(|failure| failure.attach(Operation::Check, "storage.backend".into()))?;
        let layers = Layers::new(&config, metrics, None, backend.counts_attempts());
        Ok(Self(Store {
            location: operator::location(&config, &backend).into(),
            backend: Arc::new(backend),
            layers: Arc::new(layers),
            config: Arc::new(config),
        }))
    }

    /// Where the objects are, for people. No secrets.
    pub fn location(&self) -> String {
        self.0.location()
    }

    /// Reads that can run at once.
    pub fn concurrency(&self) -> usize {
        self.0.config.concurrency().max(1)
    }

    /// Reads a whole object. [`super::StoreErrorKind::Refused`] if it cannot be read, such as a
    /// file that is none.
    pub async fn get(&self, key: &ForeignKey) -> Result<Bytes> {
        Ok(self.0.get(&key.0).await?.bytes)
    }

    /// Objects under a prefix in key order, after `start_after`, at most `limit`.
    pub async fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ForeignObject>> {
        let listed = self.0.list(prefix, start_after, limit).await?;
        let foreign =
            |listed: super::Listed| ForeignObject { key: ForeignKey(listed.key), size: listed.size };
        Ok(listed.into_iter().map(foreign).collect())
    }

    /// What lies directly under `prefix`, which is empty or ends with a slash.
    pub async fn level(&self, prefix: &str) -> Result<Level> {
        let prefix = prefix.to_owned();
        let level = self.0.run(Operation::List, prefix.as_str().into(), 0, move |backend, cx| {
            let prefix = prefix.clone();
            async move { backend.level(&cx, prefix).await }
        });
        let mut level = level.await?;
        level.folders.sort_unstable();
        level.folders.dedup();
        level.objects.sort_unstable();
        Ok(level)
    }
}
