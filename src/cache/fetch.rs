//! Finding an object in the tiers, or fetching it, once, for all who ask at the same time.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{sync::oneshot, task::spawn_blocking};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    CacheError, Content, Place,
    buffer::Buffer,
    download::{Destination, Downloads, Failed},
    folder::{Folder, Room},
    held::{Held, map},
    lru::Lru,
    residency::Residency,
};
use crate::{
    storage::{Key, Store},
    telemetry::{CacheTier, Metrics, inherited},
};

/// What all clones of a cache share.
pub(super) struct Inner {
    pub memory_budget: u64,
    /// The weight of the objects in `state.memory`, to be read without its lock.
    pub in_memory: AtomicU64,
    pub folder: Option<Arc<Folder>>,
    pub downloads: Downloads,
    pub residency: Arc<Residency>,
    pub state: Mutex<State>,
    pub metrics: Arc<Metrics>,
}

/// A fetch that all who want the object wait for.
pub(super) type Flight = Shared<BoxFuture<'static, Result<Arc<Held>, CacheError>>>;

#[derive(Default)]
pub(super) struct State {
    /// What anybody uses, in whatever tier.
    live: HashMap<Place, Weak<Held>>,
    /// Dead entries of `live` are removed when it grows to this.
    sweep_at: usize,
    memory: Lru<Content, Arc<Held>>,
    flights: HashMap<Place, Flight>,
}

/// What a search finds.
pub(super) enum Found {
    Here(Arc<Held>),
    Flight(Flight),
}

impl State {
    fn find(&mut self, place: &Place, content: &Content) -> Option<Arc<Held>> {
        let held = self.live.get(place).and_then(Weak::upgrade)?;
        self.memory.touch(content);
        Some(held)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is here, or the fetch that brings it.
    pub fn find_or_fetch(
        self: &Arc<Self>,
        store: &Store,
        key: &Key,
        content: Content,
        place: Place,
    ) -> Found {
        let (sender, receiver) = oneshot::channel();
        let flight = {
            let key = key.clone();
            let given_up = move |_| Err(CacheError::unavailable(&key, "the fetch was given up"));
            receiver.map(move |landed| landed.unwrap_or_else(given_up)).boxed().shared()
        };
        // Under one lock, or a fetch that ends in between would be made again.
        let mut state = self.lock();
        if let Some(held) = state.find(&place, &content) {
            drop(state);
            self.metrics.cache.hit(tier(&held));
            return Found::Here(held);
        }
        match state.flights.entry(place.clone()) {
            Entry::Occupied(other) => {
                self.metrics.cache.join();
                return Found::Flight(other.get().clone());
            }
            Entry::Vacant(vacant) => drop(vacant.insert(flight.clone())),
        }
        drop(state);
        // From here on the flight ends even if its task is dropped or panics.
        let landing = Landing { inner: self.clone(), place };
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(inherited(async move {
            let fetched = landing.inner.fetch(&store, &key, content, &landing.place).await;
            if let Ok(held) = &fetched {
                landing.inner.admit(&landing.place, held);
            }
            drop(landing);
            // An error: nobody waits any more.
            drop(sender.send(fetched));
        }));
        Found::Flight(flight)
    }

    /// What is in use or in memory.
    pub fn find(&self, place: &Place, content: &Content) -> Option<Arc<Held>> {
        let held = self.lock().find(place, content)?;
        self.metrics.cache.hit(tier(&held));
        Some(held)
    }

    /// What is in the disk cache, and sound.
    pub async fn find_in_folder(&self, key: &Key, content: Content) -> Result<Option<Arc<Held>>, CacheError> {
        let Some(folder) = self.folder.clone() else { return Ok(None) };
        let find = move || folder.find(&content)?.map(|file| map(&file)).transpose();
        match spawn_blocking(find).await.map_err(|error| CacheError::unavailable(key, error))? {
            Ok(Some(map)) => {
                self.metrics.cache.hit(CacheTier::disk);
                let held = self.residency.admit(map);
                self.admit(&Place::Tiers(content), &held);
                Ok(Some(held))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                without_disk(&error);
                Ok(None)
            }
        }
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
            (Place::Head(_), _) => self.head_to_memory(store, key, content).await,
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
        match spawn_blocking(open).await.map_err(|error| CacheError::unavailable(key, error))? {
            Ok(Ok(map)) => {
                self.metrics.cache.hit(CacheTier::mapped);
                Ok(self.residency.admit(map))
            }
            Ok(Err(actual)) => Err(CacheError::wrong_length(key, content.length, actual)),
            Err(error) => Err(CacheError::unreadable(key, &error)),
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
        if let Some(held) = self.find_in_folder(key, content).await? {
            return Ok(held);
        }
        let (folder, inner) = (folder.clone(), self.clone());
        let begin = move || -> io::Result<_> {
            let room = folder.reserve(content.length, &|content| inner.in_use(content))?;
            room.map(Room::begin).transpose()
        };
        let begun = spawn_blocking(begin).await.map_err(|error| CacheError::unavailable(key, error))?;
        let Some(incoming) = begun.unwrap_or_else(|error| {
            without_disk(&error);
            None
        }) else {
            return self.to_memory(store, key, content).await;
        };
        self.metrics.cache.miss();
        let written = match self.downloads.fetch(store, key, &content, Destination::File(incoming)).await {
            Ok(Destination::File(incoming)) => {
                let keep = move || incoming.keep(&content).and_then(|file| map(&file));
                spawn_blocking(keep).await.map_err(|error| CacheError::unavailable(key, error))?
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
        match self.downloads.fetch(store, key, &content, Destination::Memory(Buffer::empty())).await {
            Ok(Destination::Memory(buffer)) => Ok(Arc::new(Held::Memory(buffer))),
            Ok(Destination::File(_)) => Err(CacheError::unreadable(key, &io::ErrorKind::Unsupported.into())),
            Err(Failed::Cache(error)) => Err(error),
            Err(Failed::Destination(error)) => Err(CacheError::unreadable(key, &error)),
        }
    }

    async fn head_to_memory(
        &self,
        store: &Store,
        key: &Key,
        content: Content,
    ) -> Result<Arc<Held>, CacheError> {
        self.metrics.cache.miss();
        let bytes = store.get_range(key, 0..content.length).await?;
        if xxh3_128(&bytes) != content.hash {
            let reason =
                format!("the XXH3-128 of its first {} bytes is not {:032x}", bytes.len(), content.hash);
            return Err(CacheError::Corrupt { object: key.shared(), reason: reason.into() });
        }
        let unavailable = |error| CacheError::unavailable(key, error);
        let mut buffer = Buffer::new(bytes.len() as u64).map_err(unavailable)?;
        buffer.append(&bytes).map_err(unavailable)?;
        Ok(Arc::new(Held::Memory(buffer)))
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
        if let (Place::Tiers(content) | Place::Head(content), Held::Memory(_)) = (place, &**held)
            && content.length <= self.memory_budget
        {
            evicted.extend(state.memory.insert(*content, content.length, held.clone()));
            while state.memory.weight() > self.memory_budget
                && let Some((bytes, held)) = state.memory.pop()
            {
                self.metrics.cache.evict(CacheTier::memory, bytes);
                evicted.push(held);
            }
            let weight = state.memory.weight();
            self.in_memory.store(weight, Ordering::Relaxed);
            self.metrics.cache.hold(CacheTier::memory, weight);
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
