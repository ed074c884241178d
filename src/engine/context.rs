//! What every namespace of one engine shares.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::query::Searchers;
use crate::{
    cache::Cache,
    clock::SharedClock,
    config::{CompactionConfig, GarbageConfig, IndexConfig, LogConfig, RetryConfig},
    random::Random,
    storage::Store,
    telemetry::Metrics,
};

/// The longest pause between two looks at a write whose fate is open: its requests wait for it.
const MAX_SETTLE_PAUSE: Duration = Duration::from_secs(2);

/// Work on more bytes than this leaves the async workers.
const HEAVY_BYTES: u64 = 128 << 10;

/// The store, the clock and the settings.
#[derive(Debug)]
pub(super) struct Context {
    pub store: Store,
    /// Which node this is, drawn at its start: the holder of its leases.
    pub node: Uuid,
    pub cache: Cache,
    pub clock: SharedClock,
    pub random: Random,
    pub metrics: Arc<Metrics>,
    pub log: LogConfig,
    pub retry: RetryConfig,
    pub compaction: CompactionConfig,
    pub garbage: GarbageConfig,
    pub index: IndexConfig,
    /// Whether reading a part of an object beats having it whole: not where objects are files.
    pub reads_parts: bool,
    /// `cache.whole_bytes`
    pub whole_bytes: u64,
    /// The threads that search.
    pub searchers: Arc<Searchers>,
    /// The threads that build indexes.
    pub builders: Arc<rayon::ThreadPool>,
    /// Held by the namespace that folds in the background.
    pub folding: tokio::sync::Mutex<()>,
    /// Held by the namespace that merges or builds an index in the background.
    pub merging: tokio::sync::Mutex<()>,
    /// `search.recall_target`
    pub recall_target: f32,
    /// `limits.answer_bytes`
    pub answer_bytes: u64,
}

impl Context {
    /// Waits before try number `tries + 1`, with full jitter under a bound that grows.
    pub async fn pause_after(&self, tries: usize) {
        let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX).min(32);
        let bound = self.retry.min_delay.as_secs_f64() * f64::from(self.retry.factor).powi(exponent);
        let longest = self.retry.max_delay.min(MAX_SETTLE_PAUSE);
        let bound = Duration::try_from_secs_f64(bound).unwrap_or(longest).min(longest);
        tokio::time::sleep(self.random.jitter(bound)).await;
    }
}

/// Runs work on so many bytes on the blocking pool if they are enough to delay other requests, else
/// at once: handing little work over takes longer than doing it.
pub(super) async fn offload<T: Send + 'static>(
    bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> crate::error::Result<T> {
    if bytes <= HEAVY_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(crate::error::Error::internal)
}
