//! Metrics: Requests to the object store.

use prometheus_client::registry::Registry;

/// Requests to the object store.
#[derive(Debug)]
pub struct StoreMetrics {}

impl StoreMetrics {
    pub(super) fn register(_registry: &mut Registry) -> Self {
        Self {}
    }
}
