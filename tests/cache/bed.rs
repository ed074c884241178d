//! Stores with objects in them, and what the caches over them did.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use bytesize::ByteSize;
use quiver::{
    cache::{Cache, CacheError},
    config::{BackendConfig, CacheConfig, RetryConfig, StorageConfig},
    storage::{Key, Operation, Store, keys},
    telemetry::Metrics,
};
use uuid::Uuid;

use crate::support::faults::Faults;

pub const MIB: usize = 1 << 20;

/// A store, the faults beneath it, and its requests.
pub struct Bed {
    pub store: Store,
    pub faults: Faults,
    prefix: Uuid,
}

/// An object and what is known of it.
#[derive(Clone)]
pub struct Object {
    pub key: Key,
    pub bytes: Bytes,
    pub hash: u128,
}

impl Bed {
    pub fn memory() -> Self {
        Self::over(BackendConfig::Memory {})
    }

    pub fn fs(root: &Path) -> Self {
        Self::over(BackendConfig::Fs { root: root.to_owned() })
    }

    pub fn over(backend: BackendConfig) -> Self {
        let faults = Faults::new(1);
        let retry = RetryConfig {
            tries: 3,
            min_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(5),
            factor: 2.0,
        };
        let config = StorageConfig { backend, retry, ..StorageConfig::default() };
        let store = Store::open_over(&config, Arc::default(), &faults.beneath()).expect("a valid store");
        Self { store, faults, prefix: Uuid::new_v4() }
    }

    /// Writes an object of this length, unlike any of another seed.
    pub async fn object(&self, seed: u32, length: usize) -> Object {
        let bytes: Bytes = (0..length as u32)
            .map(|at| (at ^ seed.wrapping_mul(97)).wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        let key = keys::probe(self.prefix, &format!("object/{seed}"));
        self.store.put(&key, bytes.clone()).await.expect("written");
        Object { key, hash: xxhash_rust::xxh3::xxh3_128(&bytes), bytes }
    }

    /// What was asked of the store to read objects.
    pub fn reads(&self) -> u64 {
        [Operation::Get, Operation::GetRange, Operation::GetRanges, Operation::Size]
            .iter()
            .map(|operation| self.faults.attempts(*operation))
            .sum()
    }

    /// The whole of an object through a cache.
    pub async fn whole(&self, cache: &Cache, object: &Object) -> Result<Bytes, CacheError> {
        cache.whole(&self.store, &object.key, object.bytes.len() as u64, object.hash).await
    }

    /// The same, which must be right.
    pub async fn check(&self, cache: &Cache, object: &Object) -> Bytes {
        let bytes = self.whole(cache, object).await.expect("it is in the store");
        assert!(bytes == object.bytes, "other bytes than those of {}", object.key);
        assert_eq!(bytes.as_ptr().addr() % 16, 0, "aligned");
        bytes
    }
}

pub fn in_memory(memory: usize) -> (Cache, Arc<Metrics>) {
    open(CacheConfig { memory_bytes: Some(ByteSize::b(memory as u64)), ..CacheConfig::default() })
}

pub fn on_disk(path: &Path, disk: usize) -> (Cache, Arc<Metrics>) {
    open(CacheConfig {
        disk_bytes: ByteSize::b(disk as u64),
        disk_path: Some(path.to_owned()),
        ..CacheConfig::default()
    })
}

pub fn open(config: CacheConfig) -> (Cache, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    (Cache::open(&config, metrics.clone()).expect("a usable folder"), metrics)
}

/// The value of a metric of the cache; 0 if it has none yet.
pub fn metric(metrics: &Metrics, name: &str) -> u64 {
    let name = format!("quiver_cache_{name} ");
    let text = metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |value| value.parse().expect("a number"))
}
