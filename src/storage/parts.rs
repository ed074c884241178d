//! Large blobs in parts, on the remote stores: each part is retried on its own, and nothing is
//! visible before the last request.
//!
//! S3 and Azure take parts in any order and several at once. Google's multipart uploads are a
//! protocol of their own, which its emulators lack, so there a resumable upload carries the parts one
//! after the other. OpenDAL sends one only for a conditional write, hence the look at what is there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use opendal::{
    Operator, Writer,
    layers::{RetryEvent, RetryLayer, TimeoutLayer},
};

use tokio::runtime::Handle;

use super::{
    backend::Context,
    error::{Failure, StoreErrorKind},
    keys::Key,
    objects::Session,
};
use crate::config::RetryConfig;

/// Blobs in memory that are larger than this are sent in parts.
const MULTIPART_ABOVE: usize = 32 << 20;
const PART: usize = 16 << 20;
const CONCURRENT_PARTS: usize = 4;
/// Parts of an upload that are on their way at once; as many lie in memory, and two more.
const CONCURRENT_UPLOAD_PARTS: usize = 2;
/// A part of an upload. S3 takes 10,000 parts, so an upload ends at 80 GiB there.
pub(super) const UPLOAD_PART: usize = 8 << 20;

/// How the parts of a large blob are sent.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub protocol: Protocol,
    pub retry: RetryConfig,
    pub timeout: Duration,
}

/// What a store understands by an upload in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Parts in any order, put together by the last request.
    Multipart,
    /// One part after the other.
    Resumable,
}

/// An upload in parts that has begun. Given up when dropped unpublished.
pub(super) struct InParts {
    session: Session,
    key: Arc<str>,
    /// None once there is nothing to give up any more.
    writer: Option<Writer>,
}

impl InParts {
    /// Sends a part, or takes it over and sends it soon.
    pub async fn append(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let written = match &mut self.writer {
            Some(writer) => writer.write(bytes).await,
            None => return Err(Failure::new(StoreErrorKind::Refused, "the upload is over")),
        };
        written.map_err(|error| self.session.failure(&error))
    }

    /// Sends what is left and makes the object visible.
    pub async fn publish(mut self) -> Result<(), Failure> {
        let closed = match &mut self.writer {
            Some(writer) => writer.close().await,
            None => return Ok(()),
        };
        match closed {
            Ok(_) => {
                self.writer = None;
                Ok(())
            }
            Err(error) => {
                let failure = self.session.failure(&error);
                self.abort().await;
                Err(failure)
            }
        }
    }

    /// Gives up. Parts that stay behind cost money until the bucket's lifecycle rule removes them.
    pub async fn abort(mut self) {
        if let Some(writer) = self.writer.take() {
            abort(writer, &self.key).await;
        }
    }
}

impl Drop for InParts {
    fn drop(&mut self) {
        if let (Some(writer), Ok(runtime)) = (self.writer.take(), Handle::try_current()) {
            let key = self.key.clone();
            runtime.spawn(async move { abort(writer, &key).await });
        }
    }
}

async fn abort(mut writer: Writer, key: &str) {
    if let Err(error) = writer.abort().await {
        tracing::warn!(key, kind = %error.kind(), "cannot abort an upload in parts");
    }
}

impl Parts {
    /// Whether a blob of this length, which lies in memory, is sent in parts. Google's store takes
    /// one of any length in one request.
    pub fn wanted(&self, length: usize) -> bool {
        self.protocol == Protocol::Multipart && length > MULTIPART_ABOVE
    }

    /// Sends a blob in parts.
    pub async fn put(&self, session: Session, key: &Key, bytes: Bytes, cx: &Context) -> Result<(), Failure> {
        let mut sending = self.start(session, key, CONCURRENT_PARTS, cx).await?;
        for start in (0..bytes.len()).step_by(PART) {
            if let Err(failure) = sending.append(bytes.slice(start..bytes.len().min(start + PART))).await {
                sending.abort().await;
                return Err(failure);
            }
            cx.pulse.beat();
        }
        sending.publish().await
    }

    /// Begins a blob whose parts, of [`UPLOAD_PART`] each but the last, are yet to come.
    pub async fn begin(&self, session: Session, key: &Key, cx: &Context) -> Result<InParts, Failure> {
        self.start(session, key, CONCURRENT_UPLOAD_PARTS, cx).await
    }

    async fn start(
        &self,
        session: Session,
        key: &Key,
        concurrent: usize,
        cx: &Context,
    ) -> Result<InParts, Failure> {
        let operator = self.retrying(&session.operator, cx);
        let path = key.as_str();
        let writer = match self.protocol {
            // Without a chunk size what is written at once is one part, and held no longer than needed.
            Protocol::Multipart => operator.writer_with(path).concurrent(concurrent).await,
            Protocol::Resumable => match operator.stat(path).await {
                Ok(current) => operator.writer_with(path).if_not_changed(&current).await,
                Err(error) if error.kind() == opendal::ErrorKind::NotFound => {
                    operator.writer_with(path).if_not_exists(true).await
                }
                Err(error) => Err(error),
            },
        };
        match writer {
            Ok(writer) => Ok(InParts { session, key: key.shared(), writer: Some(writer) }),
            Err(error) => Err(session.failure(&error)),
        }
    }

    fn retrying(&self, operator: &Operator, cx: &Context) -> Operator {
        let RetryConfig { tries, min_delay, max_delay, factor } = self.retry;
        let (metrics, operation, pulse) = (cx.metrics.clone(), cx.operation, cx.pulse.clone());
        let retry = RetryLayer::new()
            .with_max_times(tries.saturating_sub(1))
            .with_min_delay(min_delay)
            .with_max_delay(max_delay)
            .with_factor(factor.max(1.0))
            .with_jitter()
            .with_notify(move |event: RetryEvent<'_>| {
                // Each try has the whole time that an operation may take.
                pulse.beat();
                metrics.store.count_retry(operation.as_str());
                tracing::debug!(attempt = event.attempt, pause = ?event.retry_after, "will retry a part");
            });
        let timeout = TimeoutLayer::new().with_timeout(self.timeout).with_io_timeout(self.timeout);
        operator.clone().layer(timeout).layer(retry)
    }
}
