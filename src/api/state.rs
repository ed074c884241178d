//! What handlers share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::auth::ApiKeys;
use crate::{
    clock::{SharedClock, Timestamp},
    config::{BackendConfig, Config, LimitsConfig, ServerConfig},
    engine::Engine,
    error::Result,
    service::Admission,
    telemetry::Metrics,
};

/// Everything that a request can reach.
#[derive(Debug)]
pub struct AppState {
    pub(super) engine: Engine,
    pub(super) limits: Arc<LimitsConfig>,
    pub(super) server: ServerConfig,
    pub(super) backend: &'static str,
    pub(super) keys: ApiKeys,
    pub(super) admission: Admission,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: SharedClock,
    draining: AtomicBool,
}

impl AppState {
    /// The state of one server. Fails if a configured API key's digest is not one.
    pub fn new(engine: Engine, config: &Config, metrics: Arc<Metrics>, clock: SharedClock) -> Result<Self> {
        Ok(Self {
            engine,
            limits: Arc::new(config.limits.clone()),
            server: config.server.clone(),
            backend: backend_name(&config.storage.backend),
            keys: ApiKeys::new(&config.auth)?,
            admission: Admission::new(config.server.max_concurrent_requests),
            metrics,
            clock,
            draining: AtomicBool::new(false),
        })
    }

    /// From now on readiness says no, so that load balancers send requests elsewhere while those
    /// that are open are finished.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`AppState::start_draining`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now().wall
    }
}

fn backend_name(backend: &BackendConfig) -> &'static str {
    match backend {
        BackendConfig::Fs { .. } => "fs",
        BackendConfig::Memory {} => "memory",
        BackendConfig::S3 { .. } => "s3",
        BackendConfig::Azblob { .. } => "azblob",
        BackendConfig::Gcs { .. } => "gcs",
    }
}
