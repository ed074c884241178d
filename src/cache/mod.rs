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

mod download;
mod folder;
mod held;
mod lru;
mod residency;

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use arrow_buffer::MutableBuffer;
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture, future::Shared};
use tokio::task::{JoinError, spawn_blocking};

use self::{
    download::{Destination, Downloads, Failed, wrong_length},
    folder::Folder,
    held::{Held, bytes, map},
    lru::Lru,
    residency::Residency,
};
use crate::{
    config::CacheConfig,
    storage::{Key, Store, StoreError, StoreErrorKind},
    telemetry::{CacheTier, Metrics},
};

/// Why an object cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// The store failed; [`StoreErrorKind::NotFound`] if there is no such object.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object in the store has another length or hash than it should.
    #[error("object {object} is corrupt: {reason}")]
    Corrupt {
        /// The object's key.
        object: Arc<str>,
        /// What is wrong.
        reason: Arc<str>,
    },
    /// The folder of the disk cache cannot be used at all.
    #[error("cannot use {} as the disk cache: {reason}", path.display())]
    Folder {
        /// `cache.disk_path`.
        path: PathBuf,
        /// What the system said.
        reason: Arc<str>,
    },
}

impl CacheError {
    fn abandoned(key: &Key, error: &JoinError) -> Self {
        Self::Store(StoreError {
            kind: StoreErrorKind::Unavailable,
            operation: "cache",
            key: key.shared(),
            message: format!("the work was given up: {error}").into(),
        })
    }
}

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
}

/// Immutable objects of a store, held on this machine. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    memory_budget: u64,
    folder: Option<Arc<Folder>>,
    downloads: Downloads,
    residency: Arc<Residency>,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

type Flight = Shared<BoxFuture<'static, Result<Arc<Held>, CacheError>>>;

#[derive(Default)]
struct State {
    /// What anybody uses, in whatever tier.
    live: HashMap<Place, Weak<Held>>,
    /// Dead entries of `live` are removed when it grows to this.
    sweep_at: usize,
    memory: Lru<Content, Arc<Held>>,
    flights: HashMap<Place, Flight>,
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
        let memory_budget = config.memory_bytes.as_u64();
        let residency = Arc::new(Residency::new(memory_budget, metrics.clone()));
        let inner = Inner {
            memory_budget,
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
        let content = Content { hash, length };
        let place = match store.local_file(key) {
            Some(file) => Place::File(file),
            None => Place::Tiers(content),
        };
        match self.inner.find_or_fetch(store, key, content, place) {
            Found::Here(held) => Ok(bytes(held)),
            Found::Flight(flight) => flight.await.map(bytes),
        }
    }

    /// Says that `part`, of what [`Cache::whole`] returned, is about to be read. If it lies in a
    /// mapped file, it counts against `cache.memory_bytes` from now on, and parts of mapped files
    /// that were not touched lately are handed back to the system if that is too much: they stay
    /// readable and are read from their file again. Cheap where everything is resident: no system
    /// call, no exclusive lock. Call it for each block that is read; what is never touched is never
    /// counted nor handed back.
    pub fn touched(&self, part: &[u8]) {
        let held = self.inner.lock().memory.weight();
        self.inner.residency.touched(part, held);
    }

    /// Bytes of mapped files that count against `cache.memory_bytes`.
    pub fn resident(&self) -> u64 {
        self.inner.residency.resident()
    }
}

enum Found {
    Here(Arc<Held>),
    Flight(Flight),
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_or_fetch(self: &Arc<Self>, store: &Store, key: &Key, content: Content, place: Place) -> Found {
        let mut state = self.lock();
        if let Some(held) = state.live.get(&place).and_then(Weak::upgrade) {
            state.memory.touch(&content);
            drop(state);
            self.metrics.cache.hit(tier(&held));
            return Found::Here(held);
        }
        if let Some(flight) = state.flights.get(&place) {
            self.metrics.cache.join();
            return Found::Flight(flight.clone());
        }
        let landing = Landing { inner: self.clone(), place: place.clone() };
        let (store, key) = (store.clone(), key.clone());
        let named = key.clone();
        let task = tokio::spawn(async move {
            let fetched = landing.inner.fetch(&store, &key, content, &landing.place).await;
            if let Ok(held) = &fetched {
                landing.inner.admit(&landing.place, held);
            }
            fetched
        });
        let flight =
            task.map(move |joined| joined.unwrap_or_else(|error| Err(CacheError::abandoned(&named, &error))));
        let flight = flight.boxed().shared();
        state.flights.insert(place, flight.clone());
        Found::Flight(flight)
    }

    async fn fetch(
        self: &Arc<Self>,
        store: &Store,
        key: &Key,
        content: Content,
        place: &Place,
    ) -> Result<Arc<Held>, CacheError> {
        match (place, &self.folder) {
            (Place::File(path), _) => self.map_own(key, content, path.clone()).await,
            (Place::Tiers(_), Some(folder)) => self.from_folder(folder, store, key, content).await,
            (Place::Tiers(_), None) => self.to_memory(store, key, content).await,
        }
    }

    /// Maps the store's own file.
    async fn map_own(&self, key: &Key, content: Content, path: PathBuf) -> Result<Arc<Held>, CacheError> {
        let open = move || -> io::Result<_> {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            // Before it is mapped: beyond the end of a file there is no memory.
            if length == content.length { Ok(Ok(map(&file)?)) } else { Ok(Err(length)) }
        };
        match spawn_blocking(open).await.map_err(|error| CacheError::abandoned(key, &error))? {
            Ok(Ok(map)) => {
                self.metrics.cache.hit(CacheTier::mapped);
                Ok(self.residency.admit(map))
            }
            Ok(Err(actual)) => Err(wrong_length(key, &content, actual)),
            Err(error) => Err(unreadable(key, &error)),
        }
    }

    /// From the disk cache, after a download if need be.
    async fn from_folder(
        self: &Arc<Self>,
        folder: &Arc<Folder>,
        store: &Store,
        key: &Key,
        content: Content,
    ) -> Result<Arc<Held>, CacheError> {
        let (place, inner) = (folder.clone(), self.clone());
        let prepared = spawn_blocking(move || -> io::Result<_> {
            if let Some(file) = place.find(&content)? {
                return Ok((Some(map(&file)?), None));
            }
            let room = place.reserve(content.length, &|content| inner.in_use(content))?;
            Ok((None, room.map(folder::Room::begin).transpose()?))
        });
        let incoming = match prepared.await.map_err(|error| CacheError::abandoned(key, &error))? {
            Ok((Some(map), _)) => {
                self.metrics.cache.hit(CacheTier::disk);
                return Ok(self.residency.admit(map));
            }
            Ok((None, Some(incoming))) => incoming,
            Ok((None, None)) => return self.to_memory(store, key, content).await,
            Err(error) => {
                without_disk(&error);
                return self.to_memory(store, key, content).await;
            }
        };
        self.metrics.cache.miss();
        let written = match self.downloads.fetch(store, key, &content, Destination::File(incoming)).await {
            Ok(Destination::File(incoming)) => {
                let keep = move || incoming.keep(&content).and_then(|file| map(&file));
                spawn_blocking(keep).await.map_err(|error| CacheError::abandoned(key, &error))?
            }
            Ok(Destination::Memory(buffer)) => return Ok(Arc::new(Held::Memory(buffer))),
            Err(Failed::Cache(error)) => return Err(error),
            Err(Failed::Destination(error)) => Err(error),
        };
        match written {
            Ok(map) => Ok(self.residency.admit(map)),
            Err(error) => {
                without_disk(&error);
                self.to_memory(store, key, content).await
            }
        }
    }

    async fn to_memory(&self, store: &Store, key: &Key, content: Content) -> Result<Arc<Held>, CacheError> {
        self.metrics.cache.miss();
        let memory = Destination::Memory(MutableBuffer::new(0));
        match self.downloads.fetch(store, key, &content, memory).await {
            Ok(Destination::Memory(buffer)) => Ok(Arc::new(Held::Memory(buffer))),
            Ok(Destination::File(_)) => Err(unreadable(key, &io::ErrorKind::Unsupported.into())),
            Err(Failed::Cache(error)) => Err(error),
            Err(Failed::Destination(error)) => Err(unreadable(key, &error)),
        }
    }

    /// Makes what was fetched known, and keeps it if it lies in memory.
    fn admit(&self, place: &Place, held: &Arc<Held>) {
        let mut evicted = Vec::new();
        let mut state = self.lock();
        if state.live.len() >= state.sweep_at.max(64) {
            state.live.retain(|_, held| held.strong_count() > 0);
            state.sweep_at = 2 * state.live.len();
        }
        state.live.insert(place.clone(), Arc::downgrade(held));
        if let (Place::Tiers(content), Held::Memory(_)) = (place, &**held)
            && content.length <= self.memory_budget
        {
            evicted.extend(state.memory.insert(*content, content.length, held.clone()));
            while state.memory.weight() > self.memory_budget
                && let Some((bytes, held)) = state.memory.pop()
            {
                self.metrics.cache.evict(CacheTier::memory, bytes);
                evicted.push(held);
            }
            self.metrics.cache.hold(CacheTier::memory, state.memory.weight());
        }
        // Frees memory only after the lock is free.
        drop(state);
        drop(evicted);
    }

    fn in_use(&self, content: &Content) -> bool {
        self.lock().live.get(&Place::Tiers(*content)).is_some_and(|held| held.strong_count() > 0)
    }
}

/// Ends a flight, also one that panicked or whose runtime ended.
struct Landing {
    inner: Arc<Inner>,
    place: Place,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let landed = self.inner.lock().flights.remove(&self.place);
        // It may hold the last reference to what was fetched.
        drop(landed);
    }
}

fn tier(held: &Held) -> CacheTier {
    match held {
        Held::Mapped(_) => CacheTier::mapped,
        Held::Memory(_) => CacheTier::memory,
    }
}

fn without_disk(error: &io::Error) {
    tracing::warn!(%error, "the disk cache cannot be used; holding an object in memory instead");
}

fn unreadable(key: &Key, error: &io::Error) -> CacheError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => StoreErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
            StoreErrorKind::Refused
        }
        _ => StoreErrorKind::Unavailable,
    };
    let message = error.to_string().into();
    CacheError::Store(StoreError { kind, operation: "map", key: key.shared(), message })
}
