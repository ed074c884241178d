//! Reading, listing and deleting through an OpenDAL operator.
//!
//! One call is one request wherever the store allows it: a read is a single streaming GET whose
//! answer also carries the version, never a HEAD before it.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use opendal::{Buffer, HttpTransporter, Metadata, Operator};

use super::{
    Level, Listed,
    error::{Failure, StoreErrorKind},
    files::past_the_end,
    keys::Key,
    layers::Pulse,
    operation::Operation,
    wire::{Observed, Trace},
};
use crate::{clock::Timestamp, telemetry::Metrics};

/// Ranges of one object are fetched by this many requests at once.
const CONCURRENT_RANGES: usize = 8;

/// One attempt of one operation: an operator whose requests are counted and traced.
pub(super) struct Session {
    pub operator: Operator,
    operation: Operation,
    trace: Trace,
}

/// What a store does with a listing's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// Entries come in key order, and begin after `start_after`.
    OrderedAfter,
    /// Entries come in key order, from the first one.
    Ordered,
    /// Entries come in no order.
    Unordered,
}

impl Session {
    /// A session whose HTTP requests are observed.
    pub fn remote(operator: &Operator, operation: Operation, metrics: &Arc<Metrics>) -> Self {
        let trace = Trace::new();
        let context = operator.base_context();
        let transport = HttpTransporter::new(Observed {
            inner: context.http_transport().clone(),
            operation,
            metrics: metrics.clone(),
            trace: trace.clone(),
        });
        let operator = operator.clone().with_context(context.with_http_transport(transport));
        Self { operator, operation, trace }
    }

    /// A session in this process's memory.
    pub fn local(operator: &Operator, operation: Operation) -> Self {
        Self { operator: operator.clone(), operation, trace: Trace::new() }
    }

    pub fn failure(&self, error: &opendal::Error) -> Failure {
        Failure::from_opendal(self.operation, error, self.trace.last())
    }

    /// Reads a whole object, and its metadata as the same answer told it. With `unless_etag` an
    /// object of that ETag fails with [`StoreErrorKind::Conflict`].
    pub async fn read(
        &self,
        key: &str,
        unless_etag: Option<&str>,
        pulse: &Pulse,
    ) -> Result<(Bytes, Option<Metadata>), Failure> {
        let read = async {
            let reader = match unless_etag {
                Some(etag) => self.operator.reader_with(key).if_none_match(etag).await?,
                None => self.operator.reader(key).await?,
            };
            let mut stream = reader.clone().into_stream(..).await?;
            let mut parts: Vec<Buffer> = Vec::new();
            while let Some(part) = stream.try_next().await? {
                pulse.beat();
                parts.push(part);
            }
            let bytes = parts.into_iter().flatten().collect::<Buffer>().to_bytes();
            Ok((bytes, reader.metadata().cloned()))
        };
        read.await.map_err(|error| self.failure(&error))
    }

    /// Reads ranges, none of them empty.
    pub async fn read_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Failure> {
        let read = async {
            let reader = self.operator.reader_with(key).concurrent(CONCURRENT_RANGES).await?;
            reader.fetch(ranges.to_vec()).await
        };
        match read.await {
            Ok(buffers) => Ok(buffers.into_iter().map(|buffer| buffer.to_bytes()).collect()),
            Err(error) => Err(self.range_failure(&error)),
        }
    }

    /// Reads one range that is not empty.
    pub async fn read_range(&self, key: &str, range: &Range<u64>, pulse: &Pulse) -> Result<Bytes, Failure> {
        let read = async {
            let reader = self.operator.reader(key).await?;
            let mut stream = reader.into_stream(range.clone()).await?;
            let mut parts: Vec<Buffer> = Vec::new();
            while let Some(part) = stream.try_next().await? {
                pulse.beat();
                parts.push(part);
            }
            Ok(parts.into_iter().flatten().collect::<Buffer>().to_bytes())
        };
        let bytes = read.await.map_err(|error| self.range_failure(&error))?;
        let length = bytes.len() as u64;
        if length == range.end - range.start {
            Ok(bytes)
        } else {
            Err(Failure::new(StoreErrorKind::Refused, past_the_end(range, range.start + length)))
        }
    }

    /// A range that begins inside the object and ends past it is answered with less, whole; one
    /// that begins at its end by some with an impossible Content-Range. (An answer that was cut
    /// short is another error, of the HTTP client.)
    fn range_failure(&self, error: &opendal::Error) -> Failure {
        let short = [
            "reader got too little data",
            "reader got unexpected data size",
            "header content range is invalid",
        ];
        if self.trace.out_of_range() || short.iter().any(|short| error.message().contains(short)) {
            return Failure::new(StoreErrorKind::Refused, "a range ends past the object");
        }
        self.failure(error)
    }

    /// Writes an object in one request.
    pub async fn write(&self, key: &str, bytes: Bytes) -> Result<(), Failure> {
        self.operator.write(key, bytes).await.map(drop).map_err(|error| self.failure(&error))
    }

    pub async fn size(&self, key: &str) -> Result<u64, Failure> {
        let metadata = self.operator.stat(key).await.map_err(|error| self.failure(&error))?;
        if metadata.is_dir() {
            return Err(Failure::new(StoreErrorKind::NotFound, "not an object"));
        }
        Ok(metadata.content_length())
    }

    pub async fn check(&self) -> Result<(), Failure> {
        self.operator.check().await.map_err(|error| self.failure(&error))
    }

    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        listing: Listing,
        pulse: &Pulse,
    ) -> Result<Vec<Listed>, Failure> {
        let mut found = Vec::new();
        let collect = async {
            let mut options = self.operator.lister_with(prefix).recursive(true);
            if listing == Listing::OrderedAfter {
                // A page-size hint; where entries are skipped here, whole pages serve better.
                options = options.limit(limit.clamp(1, 1000));
                if let Some(after) = after {
                    options = options.start_after(after);
                }
            }
            let mut lister = options.await?;
            while let Some(entry) = lister.try_next().await? {
                pulse.beat();
                let key = entry.path();
                let wanted = key.starts_with(prefix) && after.is_none_or(|after| key > after);
                if !wanted || !entry.metadata().is_file() {
                    continue;
                }
                let about = entry.metadata();
                let modified =
                    about.last_modified().map(|time| Timestamp(time.into_inner().as_millisecond()));
                found.push(Listed { key: Key::listed(key), size: about.content_length(), modified });
                if found.len() >= limit && listing != Listing::Unordered {
                    break;
                }
            }
            Ok(())
        };
        collect.await.map_err(|error: opendal::Error| self.failure(&error))?;
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        found.truncate(limit);
        Ok(found)
    }

    /// What lies directly under `prefix`, in no order.
    pub async fn level(&self, prefix: &str, pulse: &Pulse) -> Result<Level, Failure> {
        let mut level = Level::default();
        let collect = async {
            let mut lister = self.operator.lister(if prefix.is_empty() { "/" } else { prefix }).await?;
            while let Some(entry) = lister.try_next().await? {
                pulse.beat();
                // The folder that is listed may be an entry of its own.
                let Some(name) = entry.path().strip_prefix(prefix).filter(|name| !name.is_empty()) else {
                    continue;
                };
                match name.strip_suffix('/') {
                    Some(folder) => level.folders.push(folder.to_owned()),
                    None => level.objects.push(name.to_owned()),
                }
            }
            Ok(())
        };
        collect.await.map_err(|error: opendal::Error| self.failure(&error))?;
        Ok(level)
    }

    pub async fn delete(&self, keys: &[Key], pulse: &Pulse) -> Result<(), Failure> {
        let delete = async {
            let [key] = keys else {
                let mut deleter = self.operator.deleter().await?;
                for key in keys {
                    deleter.delete(key.as_str()).await?;
                    pulse.beat();
                }
                return deleter.close().await;
            };
            self.operator.delete(key.as_str()).await
        };
        match delete.await {
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| self.failure(&error)),
        }
    }
}
