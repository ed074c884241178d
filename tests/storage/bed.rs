//! What the conformance suite runs on: one configured backend under a prefix of its own.

use std::{sync::Arc, time::Duration};

use quiver::{
    config::{BackendConfig, RetryConfig, StorageConfig},
    storage::{Beneath, Key, Store, keys},
    telemetry::Metrics,
};
use tempfile::TempDir;
use uuid::Uuid;

pub struct Bed {
    pub config: StorageConfig,
    /// Keys that the races run on.
    pub race_keys: usize,
    pub dir: Option<TempDir>,
}

impl Bed {
    pub fn new(backend: BackendConfig, race_keys: usize) -> Self {
        let retry = RetryConfig {
            tries: 3,
            min_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(20),
            factor: 2.0,
        };
        let config = StorageConfig { backend, retry, ..StorageConfig::default() };
        Self { config, race_keys, dir: None }
    }

    pub async fn memory() -> Self {
        Self::new(BackendConfig::Memory {}, 1000)
    }

    pub async fn fs() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let mut bed = Self::new(BackendConfig::Fs { root: dir.path().join("not/there/yet") }, 1000);
        bed.dir = Some(dir);
        bed
    }

    pub fn store(&self) -> Store {
        self.store_over(&Beneath::default()).0
    }

    pub fn store_over(&self, beneath: &Beneath) -> (Store, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::default());
        let store = Store::open_over(&self.config, metrics.clone(), beneath).expect("a valid configuration");
        (store, metrics)
    }
}

/// Keys of one test, apart from those of every other.
pub struct Keys(Uuid);

impl Keys {
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    pub fn key(&self, name: impl std::fmt::Display) -> Key {
        keys::probe(self.0, &name.to_string())
    }

    pub fn prefix(&self) -> String {
        format!("probe/{}/", self.0)
    }
}
