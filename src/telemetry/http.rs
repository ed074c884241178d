//! Metrics: Requests to this server.
//!
//! The `route` label is the route's template, never a path, so that the number of series is
//! bounded by the number of routes, whatever clients send.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Requests to this server.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Requests that are being worked on.
    pub in_flight: Gauge,
    /// Bytes of request bodies as received, before decompression.
    pub received: Counter,
    /// Bytes of response bodies as sent, after compression.
    pub sent: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

/// From a cached read to a large batch on a slow store.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
            received: Counter::default(),
            sent: Counter::default(),
        };
        registry.register(
            "http_requests",
            "Requests answered, by route, method and status (499: the client left)",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's header to its response's header",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests that are being worked on",
            metrics.in_flight.clone(),
        );
        registry.register_with_unit(
            "http_request_body",
            "Request bodies received, before decompression",
            Unit::Bytes,
            metrics.received.clone(),
        );
        registry.register_with_unit(
            "http_response_body",
            "Response bodies sent, after compression",
            Unit::Bytes,
            metrics.sent.clone(),
        );
        metrics
    }

    /// Counts one request.
    pub fn observe(&self, route: &str, method: &'static str, status: u16, elapsed: Duration) {
        self.requests.get_or_create(&RequestLabels { route: route.into(), method, status }).inc();
        self.latency
            .get_or_create(&RouteLabels { route: route.into(), method })
            .observe(elapsed.as_secs_f64());
    }
}
