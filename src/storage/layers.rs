//! What surrounds every store operation on every backend: hook, timeout, metrics, concurrency
//! limit, retry with full jitter, tracing (innermost first).
//!
//! OpenDAL has layers for this, but they cannot wrap the raw files of the `fs` backend, their
//! retry adds its jitter on top of the pause instead of drawing the whole pause, and a timeout per
//! operation kills a large object on a slow line. Here a timeout strikes when nothing moved for
//! its length, and one loop serves all five backends.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use rand::RngExt;
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::{
    error::{Failure, Result, StoreError, StoreErrorKind},
    operation::Operation,
};
use crate::{
    config::{RetryConfig, StorageConfig},
    telemetry::Metrics,
};

/// A slower store than this, in bytes per second, is given up on while it takes a single-shot PUT.
const FLOOR_BYTES_PER_SECOND: u64 = 4 << 20;

/// Called around every attempt, beneath retry and timeout: the place to inject faults.
pub type Hook = Arc<dyn Fn(Attempt) -> BoxFuture<'static, Verdict> + Send + Sync>;

/// One attempt of a store operation, as a [`Hook`] sees it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What is attempted.
    pub operation: Operation,
    /// The object's key; the prefix of a listing; the first key of a batch.
    pub key: Arc<str>,
    /// Before the backend is asked, or after it answered.
    pub stage: Stage,
}

/// When a [`Hook`] is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before the backend is asked.
    Before,
    /// After the backend answered, whatever it answered.
    After,
}

/// What a [`Hook`] decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// Fail the attempt. After the effect of a write the kind is always
    /// [`StoreErrorKind::Unknown`], since any other would be a lie.
    Fail(StoreErrorKind, String),
    /// Before the effect only: answer as if no answer had come, and let the write take effect this
    /// much later. Elsewhere the same as [`Verdict::Proceed`].
    LandLater(Duration),
}

/// Tells the timeout that the operation moves.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The operation that is run: what, on which key, and how many bytes it sends.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub operation: Operation,
    pub key: Arc<str>,
    pub bytes: u64,
}

pub(super) struct Layers {
    retry: RetryConfig,
    timeout: Duration,
    permits: Semaphore,
    metrics: Arc<Metrics>,
    hook: Option<Hook>,
    /// Whether an attempt is the unit that `store_requests` counts (else it is an HTTP request).
    counts_attempts: bool,
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("retry", &self.retry)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Layers {
    pub fn new(
        config: &StorageConfig,
        metrics: Arc<Metrics>,
        hook: Option<Hook>,
        counts_attempts: bool,
    ) -> Self {
        Self {
            retry: config.retry.clone(),
            timeout: config.timeout(),
            permits: Semaphore::new(config.concurrency().clamp(1, Semaphore::MAX_PERMITS)),
            metrics,
            hook,
            counts_attempts,
        }
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Runs an operation until it succeeds, fails for good, or its tries are used up.
    pub async fn run<T, F, Fut>(&self, call: Call, mut attempt: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(Pulse) -> Fut,
        Fut: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let span = tracing::debug_span!("store", operation = call.operation.as_str(), key = %call.key);
        async {
            let tries = if call.operation.is_retried() { self.retry.tries.max(1) } else { 1 };
            let mut made = 0;
            loop {
                let pulse = Pulse::default();
                let failure = match self.once(&call, &pulse, attempt(pulse.clone())).await {
                    Ok(value) => return Ok(value),
                    Err(failure) => failure,
                };
                made += 1;
                let passing = matches!(failure.kind, StoreErrorKind::Unavailable | StoreErrorKind::Unknown);
                if made >= tries || !passing {
                    return Err(report(failure, &call, made));
                }
                let pause = self.pause(made);
                tracing::debug!(attempt = made, ?pause, error = failure.message, "will retry");
                self.metrics.store.count_retry(call.operation.as_str());
                tokio::time::sleep(pause).await;
            }
        }
        .instrument(span)
        .await
    }

    /// Runs one step of an operation, once. The pulse may be shared by all steps.
    pub async fn attempt<T, Fut>(&self, call: Call, pulse: &Pulse, attempt: Fut) -> Result<T>
    where
        T: Send + 'static,
        Fut: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let span = tracing::debug_span!("store", operation = call.operation.as_str(), key = %call.key);
        async { self.once(&call, pulse, attempt).await.map_err(|failure| report(failure, &call, 1)) }
            .instrument(span)
            .await
    }

    /// The pause after the `made`-th try: anything between zero and an exponentially growing bound.
    fn pause(&self, made: usize) -> Duration {
        let exponent = i32::try_from(made.saturating_sub(1)).unwrap_or(i32::MAX);
        let growth = f64::from(self.retry.factor.max(1.0)).powi(exponent);
        let bound = (self.retry.min_delay.as_secs_f64() * growth).min(self.retry.max_delay.as_secs_f64());
        Duration::from_secs_f64(bound * rand::rng().random::<f64>())
    }

    async fn once<T, Fut>(&self, call: &Call, pulse: &Pulse, attempt: Fut) -> Result<T, Failure>
    where
        T: Send + 'static,
        Fut: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        // Never closed, so the error cannot occur; an attempt without permit would do no harm.
        let _permit = self.permits.acquire().await.ok();
        let mut record = Record { layers: self, call, started: Instant::now(), outcome: None };
        let limit = self.timeout + Duration::from_secs(call.bytes / FLOOR_BYTES_PER_SECOND);
        let result = match &self.hook {
            None => within(limit, pulse, attempt).await,
            Some(hook) => within(limit, pulse, hooked(hook, call, attempt)).await,
        };
        let result = result.unwrap_or_else(|| {
            Err(Failure::no_answer(call.operation, format!("no answer within {limit:?}")))
        });
        record.outcome = Some(match &result {
            Ok(_) => "ok",
            Err(failure) => failure.kind.as_str(),
        });
        result
    }
}

/// Waits for `work`, but no longer than `limit` since it last moved. `None`: it stood still.
async fn within<T>(limit: Duration, pulse: &Pulse, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    let mut seen = pulse.count();
    loop {
        if let Ok(done) = tokio::time::timeout(limit, &mut work).await {
            return Some(done);
        }
        let now = pulse.count();
        if now == seen {
            return None;
        }
        seen = now;
    }
}

async fn hooked<T, Fut>(hook: &Hook, call: &Call, attempt: Fut) -> Result<T, Failure>
where
    T: Send + 'static,
    Fut: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let view = |stage| Attempt { operation: call.operation, key: call.key.clone(), stage };
    match hook(view(Stage::Before)).await {
        Verdict::Proceed => {}
        Verdict::Fail(kind, message) => return Err(Failure::new(kind, message)),
        Verdict::LandLater(_) if !call.operation.is_write() => {}
        Verdict::LandLater(delay) => {
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                // Nobody is left to hear the outcome.
                let _ = attempt.await;
            });
            return Err(Failure::no_answer(call.operation, "no answer"));
        }
    }
    let result = attempt.await;
    match hook(view(Stage::After)).await {
        Verdict::Fail(_, message) if call.operation.is_write() => {
            Err(Failure::no_answer(call.operation, message))
        }
        Verdict::Fail(kind, message) => Err(Failure::new(kind, message)),
        Verdict::Proceed | Verdict::LandLater(_) => result,
    }
}

/// Writes one attempt into the metrics, also when it is dropped half-way.
struct Record<'a> {
    layers: &'a Layers,
    call: &'a Call,
    started: Instant,
    outcome: Option<&'static str>,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let metrics = &self.layers.metrics.store;
        let operation = self.call.operation;
        metrics.observe_attempt(operation.as_str(), self.started.elapsed());
        metrics.count_written(self.call.bytes);
        if self.layers.counts_attempts {
            let dropped = Failure::no_answer(operation, "").kind.as_str();
            metrics.count_request(operation.as_str(), self.outcome.unwrap_or(dropped));
        }
    }
}

fn report(failure: Failure, call: &Call, tries: usize) -> StoreError {
    let mut failure = failure;
    if tries > 1 {
        failure.message.push_str(&format!(" (tried {tries} times)"));
    }
    match failure.kind {
        // The ordinary answers of the commit protocol.
        StoreErrorKind::NotFound | StoreErrorKind::Conflict => {}
        _ => tracing::warn!(kind = failure.kind.as_str(), error = failure.message, "store operation failed"),
    }
    failure.attach(call.operation, call.key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(retry: RetryConfig, timeout: Duration) -> Layers {
        let config = StorageConfig { retry, timeout: Some(timeout), ..StorageConfig::default() };
        Layers::new(&config, Arc::default(), None, true)
    }

    #[test]
    fn pauses_are_drawn_between_zero_and_a_growing_bound() {
        let layers = layers(
            RetryConfig {
                tries: 10,
                min_delay: Duration::from_millis(100),
                max_delay: Duration::from_millis(350),
                factor: 2.0,
            },
            Duration::from_secs(1),
        );
        for (made, bound) in [(1, 100), (2, 200), (3, 350), (9, 350), (100_000, 350)] {
            let pauses: Vec<_> = (0..500).map(|_| layers.pause(made)).collect();
            let bound = Duration::from_millis(bound);
            assert!(pauses.iter().all(|pause| *pause <= bound));
            assert!(pauses.iter().any(|pause| *pause < bound / 4), "jitter must reach down to zero");
            assert!(pauses.iter().any(|pause| *pause > bound * 3 / 4), "and up to the bound");
        }
    }

    #[tokio::test]
    async fn a_timeout_strikes_only_when_nothing_moves() {
        let layers = layers(RetryConfig { tries: 1, ..RetryConfig::default() }, Duration::from_millis(200));
        let call = |operation| Call { operation, key: "k".into(), bytes: 0 };
        let slow = layers.run(call(Operation::Get), |pulse| async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                pulse.beat();
            }
            Ok(7)
        });
        assert_eq!(slow.await.expect("it moved all the time"), 7);
        let large = Call { bytes: 2 * FLOOR_BYTES_PER_SECOND, ..call(Operation::Put) };
        let sending = layers.run(large, |_| async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(7)
        });
        assert_eq!(sending.await.expect("so much takes time"), 7);
        let hang = |operation| {
            layers.run(call(operation), |_| async move {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok(())
            })
        };
        assert_eq!(hang(Operation::Get).await.unwrap_err().kind, StoreErrorKind::Unavailable);
        assert_eq!(hang(Operation::PutIfAbsent).await.unwrap_err().kind, StoreErrorKind::Unknown);
    }
}
