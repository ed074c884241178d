//! Metrics: Requests to the object store.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::usage;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

/// Requests to the object store.
///
/// `store_requests` counts what was really sent, beneath every retry: HTTP requests on remote
/// stores (a batch delete of 1,000 keys is one, a conditional write on Google's store is two),
/// file operations on `fs`, operations on `memory`. `outcome` is one of [`StoreMetrics::OUTCOMES`].
#[derive(Debug)]
pub struct StoreMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<OperationLabels, Histogram>,
    retries: Family<OperationLabels, Counter>,
    bytes_read: Counter<u64, AtomicU64>,
    bytes_written: Counter<u64, AtomicU64>,
}

impl StoreMetrics {
    /// How a request can end; the words of the store's error kinds, and `ok`.
    pub const OUTCOMES: [&'static str; 6] =
        ["ok", "not_found", "conflict", "unavailable", "refused", "unknown"];

    pub(super) fn register(registry: &mut Registry) -> Self {
        // 250 µs to 131 s.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_25, 2.0, 20));
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            retries: Family::default(),
            bytes_read: Counter::default(),
            bytes_written: Counter::default(),
        };
        registry.register(
            "store_requests",
            "Requests sent to the object store, every retry included",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "store_attempt",
            "Time that one attempt of a store operation took",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register(
            "store_retries",
            "Attempts of store operations that followed a failed one",
            metrics.retries.clone(),
        );
        registry.register_with_unit(
            "store_read",
            "Bytes of objects read from the store",
            Unit::Bytes,
            metrics.bytes_read.clone(),
        );
        registry.register_with_unit(
            "store_written",
            "Bytes of objects sent to the store",
            Unit::Bytes,
            metrics.bytes_written.clone(),
        );
        metrics
    }

    /// Counts one request that was sent.
    pub fn count_request(&self, operation: &'static str, outcome: &'static str) {
        self.requests.get_or_create(&RequestLabels { operation, outcome }).inc();
        usage::count_request();
    }

    /// Records how long one attempt took.
    pub fn observe_attempt(&self, operation: &'static str, took: Duration) {
        self.seconds.get_or_create(&OperationLabels { operation }).observe(took.as_secs_f64());
    }

    /// Counts one attempt that follows a failed one.
    pub fn count_retry(&self, operation: &'static str) {
        self.retries.get_or_create(&OperationLabels { operation }).inc();
    }

    /// Counts bytes of objects that were read.
    pub fn count_read(&self, bytes: u64) {
        self.bytes_read.inc_by(bytes);
        usage::count_read(bytes);
    }

    /// Counts bytes of objects that were sent.
    pub fn count_written(&self, bytes: u64) {
        self.bytes_written.inc_by(bytes);
    }

    /// Requests sent so far for an operation, whatever their outcome.
    pub fn requests(&self, operation: &'static str) -> u64 {
        Self::OUTCOMES.iter().map(|outcome| self.requests_with(operation, outcome)).sum()
    }

    /// Requests sent so far for an operation that ended in `outcome`.
    pub fn requests_with(&self, operation: &'static str, outcome: &'static str) -> u64 {
        self.requests.get(&RequestLabels { operation, outcome }).map_or(0, |counter| counter.get())
    }
}
