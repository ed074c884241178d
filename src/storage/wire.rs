//! What became of each HTTP request: counted, and kept for the classification of errors.
//!
//! OpenDAL's errors do not tell a request that was never sent from one whose answer was lost, but
//! the commit protocol lives on that difference. So each operation gets a transport of its own
//! that notes how its last request ended.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{Request, Response, StatusCode};
use opendal::{Buffer, HttpBody, HttpTransport, HttpTransporter};

use super::{
    error::{StoreErrorKind, is_connect_error},
    operation::Operation,
};
use crate::telemetry::Metrics;

/// How an operation's last HTTP request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// None was sent.
    Nothing,
    /// No connection could be made.
    Unreachable,
    /// It was sent, wholly or in part, and no answer came.
    Lost,
    /// It was answered with this status.
    Answered(u16),
}

/// Where an operation's transport notes how its requests ended.
#[derive(Debug, Clone)]
pub(super) struct Trace(Arc<Mutex<Noted>>);

#[derive(Debug)]
struct Noted {
    last: Sent,
    out_of_range: bool,
}

impl Trace {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Noted { last: Sent::Nothing, out_of_range: false })))
    }

    pub fn last(&self) -> Sent {
        self.noted().last
    }

    /// Whether any request asked for bytes that the object does not have. Ranges are read by several
    /// requests at once, of which the last to be answered need not be the one that failed.
    pub fn out_of_range(&self) -> bool {
        self.noted().out_of_range
    }

    fn note(&self, sent: Sent) {
        let mut noted = self.noted();
        noted.last = sent;
        noted.out_of_range |= sent == Sent::Answered(StatusCode::RANGE_NOT_SATISFIABLE.as_u16());
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transport that counts and notes what passes through it.
pub(super) struct Observed {
    pub inner: HttpTransporter,
    pub operation: Operation,
    pub metrics: Arc<Metrics>,
    pub trace: Trace,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl HttpTransport for Observed {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        // Counts even if the future is dropped before an answer came.
        let mut exchange = Exchange { observed: self, sent: Sent::Lost };
        self.trace.note(Sent::Lost);
        let answer = self.inner.fetch(request).await;
        exchange.sent = match &answer {
            Ok(response) => Sent::Answered(response.status().as_u16()),
            Err(error) if is_connect_error(error) => Sent::Unreachable,
            Err(_) => Sent::Lost,
        };
        answer
    }
}

struct Exchange<'a> {
    observed: &'a Observed,
    sent: Sent,
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let Observed { operation, metrics, trace, .. } = self.observed;
        trace.note(self.sent);
        metrics.store.count_request(operation.as_str(), outcome(*operation, self.sent));
    }
}

fn outcome(operation: Operation, sent: Sent) -> &'static str {
    let unanswered = if operation.is_write() { StoreErrorKind::Unknown } else { StoreErrorKind::Unavailable };
    let kind = match sent {
        Sent::Answered(200..=299 | 304 | 308) => return "ok",
        Sent::Answered(404) => StoreErrorKind::NotFound,
        Sent::Answered(409 | 412) => StoreErrorKind::Conflict,
        Sent::Answered(429 | 503) | Sent::Unreachable => StoreErrorKind::Unavailable,
        Sent::Answered(300..=499) => StoreErrorKind::Refused,
        Sent::Answered(_) | Sent::Lost | Sent::Nothing => unanswered,
    };
    kind.as_str()
}
