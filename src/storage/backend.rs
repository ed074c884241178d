//! The three families of backends behind one set of operations: files, memory, remote stores.
//!
//! Each method is one attempt; `layers` repeats, bounds and counts them.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use opendal::Operator;
use tokio::sync::Mutex;

use super::{
    Level, Listed, Object, Tag, TagKind,
    error::{Failure, StoreErrorKind},
    files::Files,
    keys::Key,
    layers::Pulse,
    objects::{Listing, Session},
    operation::Operation,
    parts::Parts,
    publish::{Identity, MemoryWriter, RemoteWriter, content_hash, foreign_tag},
    times::Times,
    upload::Sink,
};
use crate::{clock::SharedClock, telemetry::Metrics};

#[derive(Debug)]
pub(super) enum Backend {
    Files(Arc<Files>),
    Memory(Memory),
    Remote(Remote),
}

#[derive(Debug)]
pub(super) struct Memory {
    operator: Operator,
    writer: MemoryWriter,
    times: Times,
}

impl Memory {
    pub fn new(operator: Operator, clock: SharedClock) -> Self {
        Self { operator, writer: MemoryWriter { swap: Mutex::new(()) }, times: Times::new(clock) }
    }

    /// Notes the time of a write that took effect.
    fn written<T>(&self, key: &Key, result: Result<T, Failure>) -> Result<T, Failure> {
        if result.is_ok() {
            self.times.wrote(key);
        }
        result
    }
}

#[derive(Debug)]
pub(super) struct Remote {
    pub operator: Operator,
    pub identity: Identity,
    pub parts: Parts,
    pub conditional_reads: bool,
    pub listing: Listing,
}

impl Remote {
    fn writer<'a>(&self, session: &'a Session) -> RemoteWriter<'a> {
        RemoteWriter { session, identity: self.identity }
    }

    async fn get(&self, session: &Session, key: &Key, pulse: &Pulse) -> Result<Object, Failure> {
        let (bytes, metadata) = session.read(key.as_str(), None, pulse).await?;
        let tag = self.identity.tag(metadata.as_ref()).ok_or_else(|| {
            Failure::new(StoreErrorKind::Refused, "the store named no version of the object")
        })?;
        Ok(Object { bytes, tag })
    }
}

impl Backend {
    pub fn files(files: Files) -> Self {
        let files = Arc::new(files);
        let sweeper = files.clone();
        // Cleaning up may take long in a large tree, and nothing waits for it.
        std::thread::spawn(move || match sweeper.sweep() {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed temporary files of killed writers"),
            Err(error) => tracing::warn!(%error, "cannot look for temporary files of killed writers"),
        });
        Self::Files(files)
    }

    /// The directory, if this is one.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::Files(files) => Some(files.root()),
            Self::Memory(_) | Self::Remote(_) => None,
        }
    }

    /// The file that holds an object, if files do.
    pub fn file(&self, key: &Key) -> Option<PathBuf> {
        match self {
            Self::Files(files) => Some(files.path(key.as_str())),
            Self::Memory(_) | Self::Remote(_) => None,
        }
    }

    pub const fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Whether the unit that metrics count is the attempt; else it is the HTTP request.
    pub const fn counts_attempts(&self) -> bool {
        !matches!(self, Self::Remote(_))
    }

    pub async fn get(&self, cx: &Context, key: Key) -> Result<Object, Failure> {
        match self {
            Self::Files(files) => {
                let settled = cx.operation == Operation::GetSettled;
                // Every strong read asks for the end of a log: looking for it here takes less time than
                // another thread takes to wake up, and strong reads wait for each other's look.
                if !settled && files.is_absent(key.as_str()) {
                    return Err(Failure::new(StoreErrorKind::NotFound, "there is no such file"));
                }
                let bytes = blocking(files, cx.operation, move |files| match settled {
                    true => files.get_settled(key.as_str()),
                    false => files.get(key.as_str()),
                });
                Ok(hashed(bytes.await?))
            }
            Self::Memory(memory) => {
                let session = Session::local(&memory.operator, cx.operation);
                Ok(hashed(session.read(key.as_str(), None, &cx.pulse).await?.0))
            }
            Self::Remote(remote) => remote.get(&cx.session(remote), &key, &cx.pulse).await,
        }
    }

    pub async fn get_if_changed(&self, cx: &Context, key: Key, tag: Tag) -> Result<Option<Object>, Failure> {
        if let (Self::Remote(remote), TagKind::Version(etag)) = (self, &tag.0)
            && remote.conditional_reads
        {
            let session = cx.session(remote);
            return match session.read(key.as_str(), Some(etag), &cx.pulse).await {
                Err(failure) if failure.kind == StoreErrorKind::Conflict => Ok(None),
                Err(failure) => Err(failure),
                Ok((bytes, metadata)) => match remote.identity.tag(metadata.as_ref()) {
                    // A store that ignored the condition.
                    Some(current) if current == tag => Ok(None),
                    Some(current) => Ok(Some(Object { bytes, tag: current })),
                    None => {
                        Err(Failure::new(StoreErrorKind::Refused, "the store named no version of the object"))
                    }
                },
            };
        }
        let object = self.get(cx, key).await?;
        Ok((object.tag != tag).then_some(object))
    }

    /// `ranges` holds no empty one.
    pub async fn get_ranges(
        &self,
        cx: &Context,
        key: Key,
        ranges: Vec<Range<u64>>,
    ) -> Result<Vec<Bytes>, Failure> {
        let session = match self {
            Self::Files(files) => {
                return blocking(files, cx.operation, move |files| files.get_ranges(key.as_str(), &ranges))
                    .await;
            }
            Self::Memory(memory) => Session::local(&memory.operator, cx.operation),
            Self::Remote(remote) => cx.session(remote),
        };
        match ranges.as_slice() {
            [range] => Ok(vec![session.read_range(key.as_str(), range, &cx.pulse).await?]),
            ranges => session.read_ranges(key.as_str(), ranges).await,
        }
    }

    pub async fn size(&self, cx: &Context, key: Key) -> Result<u64, Failure> {
        match self {
            Self::Files(files) => blocking(files, cx.operation, move |files| files.size(key.as_str())).await,
            Self::Memory(memory) => Session::local(&memory.operator, cx.operation).size(key.as_str()).await,
            Self::Remote(remote) => cx.session(remote).size(key.as_str()).await,
        }
    }

    pub async fn check(&self, cx: &Context) -> Result<(), Failure> {
        match self {
            Self::Files(files) => blocking(files, cx.operation, Files::check).await,
            Self::Memory(_) => Ok(()),
            Self::Remote(remote) => cx.session(remote).check().await,
        }
    }

    pub async fn put(&self, cx: &Context, key: Key, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Self::Files(files) => {
                blocking(files, cx.operation, move |files| files.put(key.as_str(), &bytes)).await
            }
            Self::Memory(memory) => {
                let session = Session::local(&memory.operator, cx.operation);
                memory.written(&key, session.write(key.as_str(), bytes).await)
            }
            Self::Remote(remote) if remote.parts.wanted(bytes.len()) => {
                remote.parts.put(cx.session(remote), &key, bytes, cx).await
            }
            Self::Remote(remote) => cx.session(remote).write(key.as_str(), bytes).await,
        }
    }

    /// Begins an upload in parts. The memory backend takes them all at once, by a put.
    pub async fn begin_upload(&self, cx: &Context, key: Key) -> Result<Sink, Failure> {
        match self {
            Self::Files(files) => {
                let staged = blocking(files, cx.operation, move |files| files.begin(key.as_str()));
                Ok(Sink::File(staged.await?))
            }
            Self::Memory(_) => Err(Failure::new(StoreErrorKind::Refused, "no uploads in parts here")),
            Self::Remote(remote) => Ok(Sink::Parts(remote.parts.begin(cx.session(remote), &key, cx).await?)),
        }
    }

    pub async fn put_if_absent(&self, cx: &Context, key: Key, bytes: Bytes) -> Result<Tag, Failure> {
        match self {
            Self::Files(files) => {
                blocking(files, cx.operation, move |files| {
                    files.put_if_absent(key.as_str(), &bytes)?;
                    Ok(content_tag(&bytes))
                })
                .await
            }
            Self::Memory(memory) => {
                let session = Session::local(&memory.operator, cx.operation);
                let put = memory.writer.put_if_absent(&session, key.as_str(), bytes).await;
                memory.written(&key, put)
            }
            Self::Remote(remote) => {
                remote.writer(&cx.session(remote)).put_if_absent(key.as_str(), bytes).await
            }
        }
    }

    pub async fn cas(&self, cx: &Context, key: Key, expected: Tag, bytes: Bytes) -> Result<Tag, Failure> {
        match (self, expected.0) {
            (Self::Files(files), TagKind::Content(expected)) => {
                blocking(files, cx.operation, move |files| {
                    files.cas(key.as_str(), expected, &bytes)?;
                    Ok(content_tag(&bytes))
                })
                .await
            }
            (Self::Memory(memory), TagKind::Content(expected)) => {
                let session = Session::local(&memory.operator, cx.operation);
                let swapped = memory.writer.cas(&session, key.as_str(), expected, bytes).await;
                memory.written(&key, swapped)
            }
            (Self::Remote(remote), TagKind::Version(expected)) => {
                remote.writer(&cx.session(remote)).cas(key.as_str(), &expected, bytes).await
            }
            _ => Err(foreign_tag(cx.operation)),
        }
    }

    pub async fn list(
        &self,
        cx: &Context,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Listed>, Failure> {
        match self {
            Self::Files(files) => {
                blocking(files, cx.operation, move |files| files.list(&prefix, after.as_deref(), limit)).await
            }
            Self::Memory(memory) => {
                let session = Session::local(&memory.operator, cx.operation);
                let mut listed =
                    session.list(&prefix, after.as_deref(), limit, Listing::Unordered, &cx.pulse).await?;
                memory.times.tell(&mut listed);
                Ok(listed)
            }
            Self::Remote(remote) => {
                let session = cx.session(remote);
                session.list(&prefix, after.as_deref(), limit, remote.listing, &cx.pulse).await
            }
        }
    }

    /// What lies directly under `prefix`, in no order.
    pub async fn level(&self, cx: &Context, prefix: String) -> Result<Level, Failure> {
        match self {
            Self::Files(files) => blocking(files, cx.operation, move |files| files.level(&prefix)).await,
            Self::Memory(memory) => {
                Session::local(&memory.operator, cx.operation).level(&prefix, &cx.pulse).await
            }
            Self::Remote(remote) => cx.session(remote).level(&prefix, &cx.pulse).await,
        }
    }

    pub async fn delete(&self, cx: &Context, keys: Vec<Key>) -> Result<(), Failure> {
        match self {
            Self::Files(files) => blocking(files, cx.operation, move |files| files.delete(&keys)).await,
            Self::Memory(memory) => {
                let session = Session::local(&memory.operator, cx.operation);
                session.delete(&keys, &cx.pulse).await?;
                memory.times.deleted(&keys);
                Ok(())
            }
            Self::Remote(remote) => cx.session(remote).delete(&keys, &cx.pulse).await,
        }
    }
}

/// What one attempt is done under.
#[derive(Debug)]
pub(super) struct Context {
    pub operation: Operation,
    pub metrics: Arc<Metrics>,
    pub pulse: Pulse,
}

impl Context {
    fn session(&self, remote: &Remote) -> Session {
        Session::remote(&remote.operator, self.operation, &self.metrics)
    }
}

fn hashed(bytes: Bytes) -> Object {
    let tag = content_tag(&bytes);
    Object { bytes, tag }
}

fn content_tag(bytes: &[u8]) -> Tag {
    Tag(TagKind::Content(content_hash(bytes)))
}

/// Runs a file operation off the async workers. It runs to its end even if nobody waits any more.
async fn blocking<T, F>(files: &Arc<Files>, operation: Operation, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&Files) -> Result<T, Failure> + Send + 'static,
{
    let files = files.clone();
    match tokio::task::spawn_blocking(move || work(&files)).await {
        Ok(result) => result,
        // The runtime is shutting down, or the operation panicked.
        Err(error) => Err(Failure::no_answer(operation, error.to_string())),
    }
}
