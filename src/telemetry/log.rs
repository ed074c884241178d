//! Metrics: Commits, refreshes and what namespaces hold.

use prometheus_client::registry::Registry;

/// Commits, refreshes and what namespaces hold.
#[derive(Debug)]
pub struct LogMetrics {}

impl LogMetrics {
    pub(super) fn register(_registry: &mut Registry) -> Self {
        Self {}
    }
}
