//! Metrics: Requests to this server.

use prometheus_client::registry::Registry;

/// Requests to this server.
#[derive(Debug)]
pub struct HttpMetrics {}

impl HttpMetrics {
    pub(super) fn register(_registry: &mut Registry) -> Self {
        Self {}
    }
}
