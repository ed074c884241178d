//! How each backend writes: the strategies behind `put`, `put_if_absent` and `cas`.
//!
//! | backend | put-if-absent | compare-and-swap |
//! |---|---|---|
//! | fs | temporary file, fsync, link(2), fsync of the directory | lock file, compare, rename (`files`) |
//! | memory | OpenDAL's, which is atomic | a mutex around compare and write |
//! | s3, azblob | PUT with `If-None-Match: *` | PUT with `If-Match: <ETag>` |
//! | gcs | upload with `ifGenerationMatch=0` | upload with `ifGenerationMatch=<generation>` |
//!
//! On the remote stores the PUT goes straight to the final key and is never split, so it is atomic;
//! the condition is checked by the store itself. Nothing here reads before it writes.

use bytes::Bytes;
use opendal::{Metadata, MetadataBuilder};
use tokio::sync::Mutex;

use crate::planted::{Bug, planted};

use super::{
    Tag, TagKind,
    error::{Failure, StoreErrorKind},
    layers::Pulse,
    objects::Session,
    operation::Operation,
};

/// The version of an object on a backend that has none.
pub(super) fn content_hash(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

/// What identifies a version of an object on a remote store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    ETag,
    Generation,
}

impl Identity {
    /// The tag of the object that an answer described.
    pub fn tag(self, metadata: Option<&Metadata>) -> Option<Tag> {
        let value = match self {
            Self::ETag => metadata?.etag()?,
            Self::Generation => metadata?.version()?,
        };
        Some(Tag(TagKind::Version(value.into())))
    }

    /// The condition that an object still has this version.
    pub fn condition(self, version: &str) -> Metadata {
        let mut metadata = MetadataBuilder::unknown();
        match self {
            Self::ETag => metadata.etag(version),
            Self::Generation => metadata.version(version),
        };
        metadata.build()
    }
}

/// Writes on a store with conditions of its own.
pub(super) struct RemoteWriter<'a> {
    pub session: &'a Session,
    pub identity: Identity,
}

impl RemoteWriter<'_> {
    pub async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<Tag, Failure> {
        let written = self.session.operator.write_with(key, bytes).if_not_exists(true).await;
        self.tag_of(written)
    }

    pub async fn cas(&self, key: &str, expected: &str, bytes: Bytes) -> Result<Tag, Failure> {
        let condition = self.identity.condition(expected);
        let written = self.session.operator.write_with(key, bytes).if_not_changed(&condition).await;
        self.tag_of(written)
    }

    fn tag_of(&self, written: opendal::Result<Metadata>) -> Result<Tag, Failure> {
        let metadata = written.map_err(|error| self.session.failure(&error))?;
        self.identity.tag(Some(&metadata)).ok_or_else(|| {
            Failure::new(StoreErrorKind::Unknown, "the store accepted a write but named no version for it")
        })
    }
}

/// Writes on the memory backend, which knows no versions.
#[derive(Debug)]
pub(super) struct MemoryWriter {
    pub swap: Mutex<()>,
}

impl MemoryWriter {
    pub async fn put_if_absent(&self, session: &Session, key: &str, bytes: Bytes) -> Result<Tag, Failure> {
        let tag = Tag(TagKind::Content(content_hash(&bytes)));
        let absent = !planted(Bug::PutOverwrites);
        match session.operator.write_with(key, bytes).if_not_exists(absent).await {
            Ok(_) => Ok(tag),
            Err(error) => Err(session.failure(&error)),
        }
    }

    pub async fn cas(
        &self,
        session: &Session,
        key: &str,
        expected: u128,
        bytes: Bytes,
    ) -> Result<Tag, Failure> {
        let _alone = self.swap.lock().await;
        let current = match session.read(key, None, &Pulse::default()).await {
            Ok((current, _)) => Some(content_hash(&current)),
            Err(failure) if failure.kind == StoreErrorKind::Refused => None,
            Err(failure) if failure.kind == StoreErrorKind::NotFound => None,
            Err(failure) => return Err(failure),
        };
        if current != Some(expected) && !planted(Bug::SwapIgnoresTag) {
            return Err(Failure::new(StoreErrorKind::Conflict, "the condition does not hold"));
        }
        let tag = Tag(TagKind::Content(content_hash(&bytes)));
        match session.operator.write(key, bytes).await {
            Ok(_) => Ok(tag),
            Err(error) => Err(session.failure(&error)),
        }
    }
}

/// A tag of another kind of store: it cannot be the version of anything here.
pub(super) fn foreign_tag(operation: Operation) -> Failure {
    Failure::new(StoreErrorKind::Refused, format!("{} with a tag of another store", operation.as_str()))
}
