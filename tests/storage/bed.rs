//! What the conformance suite runs on: one configured backend under a prefix of its own.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use quiver::{
    config::{BackendConfig, RetryConfig, StorageConfig},
    storage::{Beneath, Key, Store, keys},
    telemetry::Metrics,
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::OnceCell};
use uuid::Uuid;

use crate::support::servers::{Azurite, FakeGcs, Gcs, Seaweed};

pub struct Bed {
    pub config: StorageConfig,
    /// Keys that the races run on.
    pub race_keys: usize,
    /// Of these, so many at the same time.
    pub races_at_once: usize,
    /// How long a reader of a raced key rests between two reads.
    pub reader_pause: Duration,
    pub dir: Option<TempDir>,
}

/// Servers live as long as the test process, so their tasks must not end with one test's runtime.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// One server of each kind for all tests of this process.
async fn shared<T, F>(cell: &'static OnceCell<T>, start: fn() -> F) -> &'static T
where
    T: Send + Sync + 'static,
    F: Future<Output = T> + 'static,
{
    let started = async || {
        let started = tokio::task::spawn_blocking(move || RUNTIME.block_on(start()));
        started.await.expect("the server starts")
    };
    cell.get_or_init(started).await
}

impl Bed {
    pub fn new(backend: BackendConfig, race_keys: usize) -> Self {
        let retry = RetryConfig {
            tries: 3,
            min_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(20),
            factor: 2.0,
        };
        Self::over(StorageConfig { backend, retry, ..StorageConfig::default() }, race_keys)
    }

    fn over(config: StorageConfig, race_keys: usize) -> Self {
        Self { config, race_keys, races_at_once: 8, reader_pause: Duration::from_millis(1), dir: None }
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

    /// SeaweedFS.
    pub async fn s3() -> Self {
        static SERVER: OnceCell<Seaweed> = OnceCell::const_new();
        let mut bed = Self::over(shared(&SERVER, Seaweed::start).await.storage_config(&prefix()), 200);
        // A writer polls for the object's lock once a second in there, so many keys at once save
        // time. But the lock lapses after five: a starved server lets two writers win, so readers
        // go easy on it.
        bed.races_at_once = 50;
        bed.reader_pause = Duration::from_millis(25);
        bed.config.concurrency = Some(1024);
        bed
    }

    /// Azurite.
    pub async fn azblob() -> Self {
        static SERVER: OnceCell<Azurite> = OnceCell::const_new();
        Self::over(shared(&SERVER, Azurite::start).await.storage_config(&prefix()), 200)
    }

    /// The server for Google's API that is part of these tests.
    pub async fn gcs() -> Self {
        static SERVER: OnceCell<Gcs> = OnceCell::const_new();
        Self::over(shared(&SERVER, Gcs::start).await.storage_config(&prefix()), 200)
    }

    /// A server that ignores the conditions of writes.
    pub async fn fake_gcs() -> Self {
        static SERVER: OnceCell<FakeGcs> = OnceCell::const_new();
        Self::over(shared(&SERVER, FakeGcs::start).await.storage_config(&prefix()), 0)
    }

    /// Whether objects lie in this process's memory.
    pub fn keeps_memory(&self) -> bool {
        matches!(self.config.backend, BackendConfig::Memory {})
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

fn prefix() -> String {
    format!("conformance/{}", Uuid::new_v4())
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
