//! Logs and metrics.
//!
//! Metrics are values that are passed in, not globals, so that tests run several servers in one
//! process and read each one's counters.

mod cache;
mod http;
mod log;
pub mod logging;
mod store;
mod usage;

use prometheus_client::registry::Registry;

pub use self::{
    cache::{CacheMetrics, CacheTier, ColdRead},
    http::HttpMetrics,
    log::{BuildWork, CommitOutcome, CompactionKind, CompactionOutcome, LogMetrics},
    store::StoreMetrics,
    usage::{Usage, inherited, metered},
};

/// Every metric of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Copies of objects on this machine.
    pub cache: CacheMetrics,
    /// Requests to this server.
    pub http: HttpMetrics,
    /// Commits, refreshes and what namespaces hold.
    pub log: LogMetrics,
    /// Requests to the object store.
    pub store: StoreMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("quiver");
        let cache = CacheMetrics::register(&mut registry);
        let http = HttpMetrics::register(&mut registry);
        let log = LogMetrics::register(&mut registry);
        let store = StoreMetrics::register(&mut registry);
        Self { registry, cache, http, log, store }
    }
}

impl Metrics {
    /// All metrics in the Prometheus text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
