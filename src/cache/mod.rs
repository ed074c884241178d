//! Immutable objects of a store as local bytes.
//!
//! | store | where the bytes lie |
//! |---|---|
//! | fs | in the store's own file, mapped |
//! | others, `cache.disk_path` set | in a file of the disk cache, mapped (`folder`) |
//! | others | in memory (`lru`) |
//!
//! An object is known by the hash and length of its content, so nothing here is ever stale, and what a
//! download brings is checked before anybody sees it. The store's own files are not read for that: a
//! segment checks each block when it first uses it.
//!
//! Invariants: one download per object at a time, whoever asks; an object that is in use is not
//! fetched again, even if it made room for others; tiers are within their budgets, not counting what
//! users hold on to. A disk cache that cannot be written costs speed, never an answer.

mod buffer;
mod download;
mod error;
mod fetch;
mod folder;
mod held;
mod lru;
mod residency;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

pub use self::error::CacheError;
use self::{
    download::Downloads,
    fetch::{Found, Inner},
    folder::Folder,
    held::{Held, Mapping, bytes},
    residency::Residency,
};
use crate::{
    config::CacheConfig,
    storage::{Key, Store},
    telemetry::Metrics,
};

/// What an object is: the only name that the tiers know it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Content {
    /// XXH3-128 of the content.
    hash: u128,
    /// In bytes.
    length: u64,
}

/// Where an object is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    /// A store's own file.
    File(PathBuf),
    /// The tiers of the cache.
    Tiers(Content),
    /// The memory tier, for what an object begins with.
    Head(Content),
}

/// Immutable objects of a store, held on this machine. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("memory_bytes", &self.inner.memory_budget)
            .field("disk", &self.inner.folder.is_some())
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens the cache. With a disk cache this reads its folder, removes what killed processes left
    /// there and what is over the budget; it fails with [`CacheError::Folder`] if it cannot.
    pub fn open(config: &CacheConfig, metrics: Arc<Metrics>) -> Result<Self, CacheError> {
        let open = |path: &PathBuf| {
            let folder = Folder::open(path, config.disk_bytes.as_u64(), metrics.clone());
            folder
                .map(Arc::new)
                .map_err(|error| CacheError::Folder { path: path.clone(), reason: error.to_string().into() })
        };
        let folder = config.disk_path.as_ref().map(open).transpose()?;
        let memory_budget = config.memory_bytes();
        let residency = Arc::new(Residency::new(memory_budget, metrics.clone()));
        let inner = Inner {
            memory_budget,
            in_memory: AtomicU64::new(0),
            folder,
            downloads: Downloads::default(),
            residency,
            state: Mutex::default(),
            metrics,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The whole object, aligned to at least 64 bytes, without a copy of what is held already.
    ///
    /// `hash` is the XXH3-128 of its content. It is checked on all that comes from the store over a
    /// network or from the disk cache; of the store's own file (fs) only the length is.
    ///
    /// A download goes on if its callers lose interest, so that it need not begin anew.
    pub async fn whole(
        &self,
        store: &Store,
        key: &Key,
        length: u64,
        hash: u128,
    ) -> Result<Bytes, CacheError> {
        let (content, place) = Self::place(store, key, length, hash);
        match self.inner.find_or_fetch(store, key, content, place) {
            Found::Here(held) => Ok(bytes(held)),
            Found::Flight(flight) => flight.await.map(bytes),
        }
    }

    /// The same object if it is on this machine already, without asking the store: for those who would
    /// rather read a part of it than wait for the whole.
    pub async fn local(
        &self,
        store: &Store,
        key: &Key,
        length: u64,
        hash: u128,
    ) -> Result<Option<Bytes>, CacheError> {
        let (content, place) = Self::place(store, key, length, hash);
        if let Place::File(_) = place {
            return self.whole(store, key, length, hash).await.map(Some);
        }
        let held = match self.inner.find(&place, &content) {
            Some(held) => Some(held),
            None => self.inner.find_in_folder(key, content).await?,
        };
        Ok(held.map(bytes))
    }

    /// The first `length` bytes of an object, of which `hash` is the XXH3-128: for those who read parts of
    /// it. Held in memory and fetched once for all who ask, like a whole object.
    ///
    /// # Errors
    /// As [`Cache::whole`].
    pub async fn head(&self, store: &Store, key: &Key, length: u64, hash: u128) -> Result<Bytes, CacheError> {
        let content = Content { hash, length };
        match self.inner.find_or_fetch(store, key, content, Place::Head(content)) {
            Found::Here(held) => Ok(bytes(held)),
            Found::Flight(flight) => flight.await.map(bytes),
        }
    }

    fn place(store: &Store, key: &Key, length: u64, hash: u128) -> (Content, Place) {
        let content = Content { hash, length };
        let place = match store.local_file(key) {
            Some(file) => Place::File(file),
            None => Place::Tiers(content),
        };
        (content, place)
    }

    /// What is to be told of reads of what [`Cache::whole`] returned; none if it lies in no mapped file.
    pub fn watch(&self, bytes: &[u8]) -> Option<Watch> {
        let held = self.inner.residency.find(bytes)?;
        Some(Watch { inner: self.inner.clone(), held })
    }

    /// Bytes of mapped files that count against `cache.memory_bytes`.
    pub fn resident(&self) -> u64 {
        self.inner.residency.resident()
    }
}

/// Counts what is read of an object in a mapped file. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    inner: Arc<Inner>,
    held: Arc<Held>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Says that a part of the object is about to be read. It counts against `cache.memory_bytes` from now
    /// on, and parts of mapped files that were not touched lately are handed back to the system if that is
    /// too much: they stay readable and are read from their file again. A load or two where everything is
    /// resident. Call it for each block that is read; what is never touched is never counted nor handed
    /// back.
    #[inline]
    pub fn touched(&self, part: &[u8]) {
        let Held::Mapped(Mapping { regions, .. }) = &*self.held else { return };
        let touched = regions.of(part);
        if !regions.are_touched(touched.clone()) {
            let reserved = self.inner.in_memory.load(Ordering::Relaxed);
            self.inner.residency.touched(&self.held, touched, reserved);
        }
    }
}
