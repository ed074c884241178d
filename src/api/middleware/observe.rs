//! One span, one log line and one count per request, and its id.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, Span, field::Empty};

use super::{route_of, tracked_body::TrackedBody};
use crate::{
    api::{Gate, error::Cause},
    telemetry::Metrics,
};

/// Where the request id travels, in and out.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request that matches no route is counted under.
const NO_ROUTE: &str = "(none)";

/// The status that is counted for a client that left before the answer; it never sees one.
const CLIENT_LEFT: u16 = 499;

pub(super) async fn observe(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let route = route_of(&request).unwrap_or(NO_ROUTE).to_owned();
    let method = method_name(request.method());
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method,
        path = request.uri().path(),
        caller = Empty
    );
    let mut observation = Observation::begin(Arc::clone(&gate.state.metrics), route, method, span.clone());
    let mut response = next.run(request).instrument(span).await;
    observation.end(&response);
    response.headers_mut().insert(REQUEST_ID, id);
    let sent = gate.state.metrics.http.sent.clone();
    response.map(|body| Body::new(TrackedBody::new(body, sent)))
}

/// The client's id if it is short and printable, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let usable = |value: &&HeaderValue| {
        (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    request.headers().get(REQUEST_ID).filter(usable).cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().to_string();
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("-"))
    })
}

/// Clients can send any method name; labels have a fixed set.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// Counts a request exactly once, also when its future is dropped because the client left.
struct Observation {
    metrics: Arc<Metrics>,
    route: String,
    method: &'static str,
    span: Span,
    start: Instant,
    status: u16,
}

impl Observation {
    fn begin(metrics: Arc<Metrics>, route: String, method: &'static str, span: Span) -> Self {
        metrics.http.in_flight.inc();
        Self { metrics, route, method, span, start: Instant::now(), status: CLIENT_LEFT }
    }

    fn end(&mut self, response: &Response) {
        self.status = response.status().as_u16();
        let _in_span = self.span.enter();
        let latency = self.start.elapsed();
        match response.extensions().get::<Cause>() {
            Some(Cause(error)) if self.status >= 500 => {
                tracing::error!(status = self.status, ?latency, %error, "failed");
            }
            Some(Cause(error)) => tracing::info!(status = self.status, ?latency, %error, "refused"),
            None if self.is_routine() => tracing::debug!(status = self.status, ?latency, "answered"),
            None => tracing::info!(status = self.status, ?latency, "answered"),
        }
    }

    /// Asked every few seconds by machines; a log full of it helps nobody.
    fn is_routine(&self) -> bool {
        self.route.starts_with("/health") || self.route == "/metrics"
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let elapsed: Duration = self.start.elapsed();
        if self.status == CLIENT_LEFT {
            self.span.in_scope(|| tracing::info!(latency = ?elapsed, "the client left before the answer"));
        }
        self.metrics.http.in_flight.dec();
        self.metrics.http.observe(&self.route, self.method, self.status, elapsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: Option<&[u8]>) -> Request {
        let mut request = Request::new(Body::empty());
        if let Some(id) = id {
            request.headers_mut().insert(REQUEST_ID, HeaderValue::from_bytes(id).unwrap());
        }
        request
    }

    #[test]
    fn a_usable_id_is_kept_and_any_other_replaced() {
        assert_eq!(request_id(&request(Some(b"abc-123/x"))), "abc-123/x");
        for unusable in [&b""[..], &[b'x'; 129], b"a b", b"\xff"] {
            let id = request_id(&request(Some(unusable)));
            assert_eq!(id.len(), 36, "{unusable:?}");
        }
        assert_ne!(request_id(&request(None)), request_id(&request(None)));
    }
}
