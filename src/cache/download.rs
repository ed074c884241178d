//! Objects from the store, whole, in bounded memory, checked against their hash.

use std::{io, ops::Range};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::{sync::Semaphore, task::spawn_blocking};
use xxhash_rust::xxh3::Xxh3;

use super::{CacheError, Content, buffer::Buffer, folder::Incoming};
use crate::storage::{Key, Store, StoreError};

/// What one request reads.
const PART: u64 = 8 << 20;
/// Requests for one object at once.
const CONCURRENT_PARTS: u64 = 4;
/// What is hashed and copied at once: handing it to another thread would take longer.
const SMALL: usize = 128 << 10;
/// Bytes of parts in memory, of all downloads together.
const IN_FLIGHT: u64 = 128 << 20;
/// The unit of permits, because a semaphore has few.
const PERMIT: u64 = 1 << 20;

/// Where a download goes.
pub(super) enum Destination {
    File(Incoming),
    Memory(Buffer),
}

/// Why a download failed.
pub(super) enum Failed {
    /// Nothing will help.
    Cache(CacheError),
    /// The destination could not be written.
    Destination(io::Error),
}

impl From<CacheError> for Failed {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Cache(error.into())
    }
}

/// Downloads under a common bound of memory.
#[derive(Debug)]
pub(super) struct Downloads {
    permits: Semaphore,
}

impl Default for Downloads {
    fn default() -> Self {
        Self { permits: Semaphore::new((IN_FLIGHT / PERMIT) as usize) }
    }
}

impl Downloads {
    /// Downloads an object whose length is not zero.
    pub async fn fetch(
        &self,
        store: &Store,
        key: &Key,
        content: &Content,
        destination: Destination,
    ) -> Result<Destination, Failed> {
        let weight = content.length.min(PART * CONCURRENT_PARTS).div_ceil(PERMIT);
        // Never closed, so the error cannot occur.
        let _permit = self.permits.acquire_many(weight as u32).await.ok();
        if content.length > PART {
            // Before anything is allocated or written.
            let actual = store.size(key).await?;
            if actual != content.length {
                return Err(CacheError::wrong_length(key, content.length, actual).into());
            }
        }
        let mut sink = Sink { destination, hasher: Box::new(Xxh3::new()), written: 0 };
        if let Destination::Memory(buffer) = &mut sink.destination {
            *buffer = Buffer::new(content.length).map_err(|error| CacheError::unavailable(key, error))?;
        }
        let mut parts = Box::pin(parts(store, key, content));
        while let Some(part) = parts.try_next().await? {
            let length = sink.written + part.len() as u64;
            if length > content.length {
                return Err(CacheError::wrong_length(key, content.length, length).into());
            }
            let small = part.len() <= SMALL && matches!(sink.destination, Destination::Memory(_));
            let appended = match small {
                true => sink.append(&part),
                false => spawn_blocking(move || sink.append(&part))
                    .await
                    .map_err(|error| CacheError::unavailable(key, error))?,
            };
            sink = appended.map_err(Failed::Destination)?;
        }
        if sink.written != content.length {
            return Err(CacheError::wrong_length(key, content.length, sink.written).into());
        }
        if sink.hasher.digest128() != content.hash {
            let reason = format!("its XXH3-128 is not {:032x}", content.hash);
            return Err(CacheError::Corrupt { object: key.shared(), reason: reason.into() }.into());
        }
        Ok(sink.destination)
    }
}

struct Sink {
    destination: Destination,
    hasher: Box<Xxh3>,
    written: u64,
}

impl Sink {
    fn append(mut self, part: &[u8]) -> io::Result<Self> {
        self.hasher.update(part);
        self.written += part.len() as u64;
        match &mut self.destination {
            Destination::File(incoming) => incoming.append(part)?,
            Destination::Memory(buffer) => buffer.append(part)?,
        }
        Ok(self)
    }
}

/// The object's bytes in order. A small object is one read of the whole, which tells its length too.
fn parts<'a>(
    store: &'a Store,
    key: &'a Key,
    content: &Content,
) -> impl Stream<Item = Result<Bytes, StoreError>> + 'a {
    let length = content.length;
    if length <= PART {
        let whole = async move { Ok(store.get(key).await?.bytes) };
        return stream::once(whole).left_stream();
    }
    let part = move |index: u64| -> Range<u64> { index * PART..((index + 1) * PART).min(length) };
    stream::iter((0..length.div_ceil(PART)).map(part))
        .map(move |range| store.get_range(key, range))
        .buffered(CONCURRENT_PARTS as usize)
        .right_stream()
}
